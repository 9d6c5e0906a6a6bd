package postgres_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/postgres"
)

var interleavings = flag.Int("interleavings", 100, "random interleavings of stops, starts, sends and restarts over two replicas")

// TestNothingLeavesAfterAStopOfAnother plays two replicas on a real database, in real time:
// the pauses are part of the scripts, and too short to wait for anything. It has the server
// to itself, whose connections are few.
func TestNothingLeavesAfterAStopOfAnother(t *testing.T) {
	at := schema(t)
	pause := func(d time.Duration) { <-time.After(d / 20) }
	frames := messagingtest.PlayConsent(t, messagingtest.ConsentPlay{
		Open: func(t *testing.T) messaging.Store {
			s, err := postgres.Open(context.Background(), at.url, postgres.Config{Readers: 1})
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			return s
		},
		Replicas: 2, Scripts: *interleavings, Seed: rand.Uint64(),
		Settle: func() { pause(time.Second) }, Pause: pause, Within: 250 * time.Millisecond,
	})
	t.Logf("%d interleavings, %d frames judged", *interleavings, frames)
	if frames < *interleavings/2 {
		t.Error("too few frames to judge by")
	}
}
