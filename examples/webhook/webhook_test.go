// Package webhook proves that webhook handlers as tutorials write them run behind the daemon
// unchanged, with real Python and real Node.
package webhook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

const person = "+12025550123"

// A handler answers HELP with brand and contact, once, and hears that it was delivered.
func TestHandlerAnswersAndSeesDelivered(t *testing.T) {
	t.Parallel()
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, v)
			if _, err := s.space.Inject(relaytest.SMS{From: person, Context: "support", Body: "HELP"}, relaytest.Target{}); err != nil {
				t.Fatal(err)
			}
			ctx, enough := context.WithTimeout(t.Context(), patience)
			defer enough()
			text, err := s.space.Handset(person).Next(ctx, 0)
			if err != nil || !strings.HasPrefix(text.Body, "Corner Shop: ") || !strings.Contains(text.Body, "help@shop.example") {
				t.Fatalf("HELP was answered with %q, %v; want brand and contact", text.Body, err)
			}
			id, _, _ := strings.Cut(s.app.line("accepted"), " ")
			s.app.line(id + " delivered")

			// What comes after it proves that nothing came twice.
			if _, err := s.space.Inject(relaytest.SMS{From: person, Context: "support", Body: "hours"}, relaytest.Target{}); err != nil {
				t.Fatal(err)
			}
			if text, err = s.space.Handset(person).Next(ctx, text.Seq); err != nil || text.Body != "We're open Mon-Fri 9am-5pm." {
				t.Errorf("hours was answered with %q, %v", text.Body, err)
			}
		})
	}
}

const (
	people   = 20
	rounds   = 6  // texts of each person
	killings = 10 // of the handler and of the daemon in turn
	spacing  = 50 * time.Millisecond
)

// The handler and the daemon are killed in turn while people write: every text is answered,
// and none twice.
func TestKilledMidLoadMissesNothingAndAnswersNothingTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("kills for half a minute")
	}
	t.Parallel()
	for name, v := range variants {
		if !v.standin {
			continue // they are tested above
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, v, func(c *relaytest.Config) {
				c.NoMagic = true
				c.Faults.QueueUnsubscribed = true
				c.Faults.Redelivery.OnReconnect = true // what is unacknowledged comes again
			})
			want := map[string]int{}
			written := make(chan error, 1)
			go func() {
				tick := time.NewTicker(spacing)
				defer tick.Stop()
				for n := range people * rounds {
					<-tick.C
					from, body := fmt.Sprintf("+1202555%04d", 200+n%people), fmt.Sprintf("text %d", n)
					if _, err := s.space.Inject(relaytest.SMS{From: from, Context: "support", Body: body}, relaytest.Target{}); err != nil {
						written <- err
						return
					}
				}
				written <- nil
			}()
			for n := range people * rounds {
				want[fmt.Sprintf("+1202555%04d You said: text %d", 200+n%people, n)] = 1
			}
			for n := range killings {
				time.Sleep(time.Duration(100+37*n) * time.Millisecond)
				p := []*process{s.app, s.daemon}[n%2]
				p.kill()
				p.start()
				s.ready(t)
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			ctx, enough := context.WithTimeout(t.Context(), 2*patience)
			defer enough()
			answered := func() map[string]int {
				got := map[string]int{}
				for _, send := range s.space.Sends() {
					if send.Executed {
						got[send.To+" "+send.Body]++
					}
				}
				return got
			}
			err := s.space.Wait(ctx, func() bool { return len(answered()) == len(want) })
			time.Sleep(3 * time.Second) // what would be sent twice had time to
			got := answered()
			if !maps.Equal(got, want) {
				for _, key := range slices.Sorted(maps.Keys(want)) {
					if got[key] != 1 {
						t.Errorf("%s: sent %d times, want once", key, got[key])
					}
				}
				t.Errorf("%d different answers, want %d (%v)", len(got), len(want), err)
			}
		})
	}
}
