package messagingtest

import (
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
			frames += PlayConsent(t, ConsentPlay{
				Open:     func(*testing.T) messaging.Store { return &sharedStore{store.sharedData} },
				Replicas: 2, Scripts: each, Seed: seed + uint64(n),
				Settle: synctest.Wait, Pause: time.Sleep, Within: 250 * time.Millisecond,
			})
		})
	}
	t.Logf("%d interleavings, %d frames judged", *sharedInterleavings, frames)
	if frames < *sharedInterleavings {
		t.Error("too few frames to judge by")
	}
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
