package messagingtest

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

var sharedInterleavings = flag.Int("shared-interleavings", 1000, "random interleavings of stops, starts, sends and restarts over two replicas")

// TestNothingLeavesAfterAStopOfAnother plays two replicas of one journal in virtual time.
func TestNothingLeavesAfterAStopOfAnother(t *testing.T) {
	t.Parallel()
	const each = 40 // a life of the stage
	seed, frames := rand.Uint64(), 0
	for n := 0; n < *sharedInterleavings && !t.Failed(); n += each {
		synctest.Test(t, func(t *testing.T) {
			store := newSharedStore(os.Getenv(wrongVariable))
			store.lease, store.margin = 10*time.Second, 5*time.Second
			open := func(*testing.T) messaging.Store { return &sharedStore{store.sharedData} }
			if n/each%2 == 1 {
				open = func(*testing.T) messaging.Store {
					return &slowStore{&sharedStore{store.sharedData}, rand.New(rand.NewPCG(seed, uint64(n)))}
				}
			}
			frames += PlayConsent(t, ConsentPlay{
				Open: open, Replicas: 2, Scripts: each, Seed: seed + uint64(n),
				Settle: synctest.Wait, Pause: time.Sleep, Within: 250 * time.Millisecond,
			})
		})
	}
	t.Logf("%d interleavings, %d frames judged", *sharedInterleavings, frames)
	if frames < *sharedInterleavings {
		t.Error("too few frames to judge by")
	}
}

// slowStore is an instance that hears late of what it has committed, and of what others have.
type slowStore struct {
	*sharedStore
	rnd *rand.Rand
}

func (s *slowStore) Commit(ctx context.Context, b *messaging.Batch) error {
	err := s.sharedStore.Commit(ctx, b)
	says := false
	b.EachConsent(func(*messaging.ConsentChange) { says = true })
	if !says { // the judge takes the answer for the time of a stop
		time.Sleep(time.Duration(s.rnd.IntN(600)) * time.Millisecond)
	}
	return err
}

func (s *slowStore) Consents(ctx context.Context, after int64, limit int) ([]messaging.ConsentState, error) {
	time.Sleep(time.Second)
	return s.sharedStore.Consents(ctx, after, limit)
}

func (s *slowStore) Traits() messaging.Traits {
	t := s.sharedStore.Traits()
	t.Blocking = true // another goroutine than the engine's waits for it
	return t
}

// TestThePlayNoticesWhatIsWrong plays on stores that do not look into the ledger, each in
// another place.
func TestThePlayNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs this program once for each promise")
	}
	for _, wrong := range []string{"nothing is overruled", "a claim is not overruled", "an insertion is not overruled", "nothing crosses"} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			wantNoticed(t, "TestNothingLeavesAfterAStopOfAnother", wrong)
		})
	}
}
