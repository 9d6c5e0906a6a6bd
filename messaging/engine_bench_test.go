package messaging_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/relay"
)

// loop is a Link that answers on a goroutine of its own, as a session's reader does, and
// tells when a send has been answered.
type loop struct {
	mu    sync.Mutex
	calls []call
	wake  chan struct{}
	sent  chan struct{}
}

type call struct {
	id   uuid.UUID
	done func(relay.Answer)
}

func (l *loop) Go(id uuid.UUID, _ string, _ []byte, done func(relay.Answer)) {
	l.mu.Lock()
	l.calls = append(l.calls, call{id, done})
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
func (*loop) Probe()       {}
func (*loop) Pause(string) {}
func (*loop) Resume()      {}

func (l *loop) answer(ctx context.Context) {
	result := json.RawMessage(`{"code":"200","message":"Message accepted","message_id":"5c1d0000-0000-4000-8000-000000000000"}`)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.mu.Lock()
		calls := l.calls
		l.calls = nil
		l.mu.Unlock()
		for _, c := range calls {
			c.done(relay.Answer{Code: "200", Result: result})
			l.sent <- struct{}{}
		}
	}
}

// BenchmarkEngine is one inbound and its reply, 256 outstanding from 1,000 senders.
func BenchmarkEngine(b *testing.B) {
	for name, h := range map[string]messaging.Handler{"instant": instant{echo}, "ordinary": messaging.HandlerFunc(echo)} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			const outstanding = 256
			l := &loop{wake: make(chan struct{}, 1), sent: make(chan struct{}, outstanding)}
			go l.answer(ctx)
			eng := messaging.NewEngine(memory.New(memory.Config{}), h, l, messaging.Config{Logger: slog.New(slog.DiscardHandler)})
			done := make(chan error, 1)
			go func() { done <- eng.Run(ctx, context.Background()) }()
			eng.HandleState(relay.StateSubscribed)
			body := strings.Repeat("x", 50)
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			deliver := func() {
				n++
				eng.HandleEvent(&relay.Event{Type: "messaging.receive", Received: time.Now(), Frame: fmt.Appendf(nil,
					`{"jsonrpc":"2.0","id":"e-%d","method":"signalwire.event","params":{"event_type":"messaging.receive","event_channel":"signalwire_q71f_ab12","timestamp":1790000000.125,"space_id":"3b9ad2c4-0000-4000-8000-000000000000","project_id":"3b9ad2c4-0000-4000-8000-000000000001","context":"support","params":{"message_id":"5c1d0000-0000-4000-8000-%012d","context":"support","direction":"inbound","from_number":"+1202555%04d","to_number":"+12025550100","body":"%s","media":[],"segments":1,"message_state":"received","tags":[]}}}`,
					n, n, n%1000, body)})
			}
			for range min(outstanding, b.N) {
				deliver()
			}
			for i := 0; i < b.N; i++ {
				<-l.sent
				if n < b.N {
					deliver()
				}
			}
			b.StopTimer()
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
