package messagingtest

import (
	"flag"
	"math/rand/v2"
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
			store := newSharedStore("")
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
