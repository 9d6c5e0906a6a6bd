package daemon

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// GNU timeout sends the same signal twice; that is one request to stop.
func TestSecondSignalIsNotTheEchoOfTheFirst(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]bool{0: false, echoWithin - 1: false, echoWithin: true, time.Hour: true} {
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 2)
			time.AfterFunc(after, func() {
				signals <- syscall.SIGTERM
				close(signals)
			})
			if s, got := second(signals, time.Now()); got != want || got && s != syscall.SIGTERM {
				t.Errorf("after %v: got %v %v, want %v", after, s, got, want)
			}
		})
	}
}
