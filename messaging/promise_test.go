package messaging_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

var interleavings = flag.Int("interleavings", 4000, "random interleavings of stops, starts, sends and restarts")

// TestNothingLeavesAfterAStop plays one process in virtual time.
func TestNothingLeavesAfterAStop(t *testing.T) {
	t.Parallel()
	const each = 200 // a life of the stage
	seed, frames := rand.Uint64(), 0
	for n := 0; n < *interleavings && !t.Failed(); n += each {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New(memory.Config{})
			frames += messagingtest.PlayConsent(t, messagingtest.ConsentPlay{
				Open: func(*testing.T) messaging.Store { return store }, Replicas: 1, Scripts: each, Seed: seed + uint64(n),
				Settle: synctest.Wait, Pause: time.Sleep,
			})
		})
	}
	t.Logf("%d interleavings, %d frames judged", *interleavings, frames)
	if frames < *interleavings {
		t.Error("too few frames to judge by")
	}
}
