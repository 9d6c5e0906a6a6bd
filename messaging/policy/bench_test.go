package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/relay"
)

// answering is a Link that answers from a goroutine of its own, as a session's reader does.
type answering chan func(relay.Answer)

func (l answering) Go(_ uuid.UUID, _ string, _ []byte, done func(relay.Answer)) { l <- done }
func (answering) Probe()                                                        {}
func (answering) Pause(string)                                                  {}
func (answering) Resume()                                                       {}

// BenchmarkEngine is one inbound and its reply, 256 outstanding, with and without the rules.
func BenchmarkEngine(b *testing.B) {
	fast := pace.Limits{Daily: -1, Classes: map[pace.Class]pace.Rate{pace.TenDLC: {Segments: 100_000, Per: time.Second}}}
	for name, rules := range map[string]func() []messaging.Rule{
		"none":    func() []messaging.Rule { return nil },
		"all":     func() []messaging.Rule { return newPolicy(b, policy.Config{Limits: fast}).Rules() },
		"unpaced": func() []messaging.Rule { return newPolicy(b, policy.Config{LimitsOff: true}).Rules() },
	} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			const outstanding = 256
			link, answered := make(answering, outstanding), make(chan struct{}, outstanding)
			go func() {
				result := json.RawMessage(`{"code":"200","message":"Message accepted","message_id":"5c1d0000-0000-4000-8000-000000000000"}`)
				for {
					select {
					case done := <-link:
						done(relay.Answer{Code: "200", Result: result})
						answered <- struct{}{}
					case <-ctx.Done():
						return
					}
				}
			}()
			eng := messaging.NewEngine(memory.New(memory.Config{}), early{echo}, link, messaging.Config{
				Logger: slog.New(slog.DiscardHandler), Rules: rules(),
			})
			ended := make(chan error, 1)
			go func() { ended <- eng.Run(ctx, context.Background()) }()
			eng.HandleState(relay.StateSubscribed)
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			deliver := func() {
				n++
				eng.HandleEvent(&relay.Event{Type: "messaging.receive", Received: time.Now(), Frame: fmt.Appendf(nil,
					`{"jsonrpc":"2.0","id":"e-%d","method":"signalwire.event","params":{"event_type":"messaging.receive","timestamp":1790000000.125,"context":"support","params":{"message_id":"5c1d0000-0000-4000-8000-%012d","context":"support","direction":"inbound","from_number":"+1202%07d","to_number":"+12025550100","body":"When do you open today, and until when, please? %d","media":[],"segments":1,"message_state":"received","tags":[]}}}`,
					n, n, n, n)})
			}
			for range min(outstanding, b.N) {
				deliver()
			}
			for range b.N {
				<-answered
				if n < b.N {
					deliver()
				}
			}
			b.StopTimer()
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}
