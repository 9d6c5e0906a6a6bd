package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/messaging/sms"
	"github.com/signpost-sms/signpost/relay"
)

const ours = "+12025550100"

// sent is a text that left.
type sent struct {
	at   time.Time
	From string `json:"from_number"`
	To   string `json:"to_number"`
	Body string `json:"body"`
}

// house is an engine under a policy, with a session that is up and a platform that takes
// everything.
type house struct {
	t      testing.TB
	eng    *messaging.Engine
	policy *policy.Policy
	store  messaging.Store
	onSend func(sent) // on the engine's goroutine; may be nil

	mu   sync.Mutex
	left []sent
	n    int
}

func (h *house) Go(_ uuid.UUID, _ string, params []byte, done func(relay.Answer)) {
	s := sent{at: time.Now()}
	if err := json.Unmarshal(params, &s); err != nil {
		panic(err)
	}
	h.mu.Lock()
	h.left = append(h.left, s)
	id := fmt.Sprintf("pm-%p-%d", h, len(h.left))
	h.mu.Unlock()
	if h.onSend != nil {
		h.onSend(s)
	}
	done(relay.Answer{Code: "200", Result: json.RawMessage(`{"code":"200","message_id":"` + id + `"}`)})
}

func (*house) Probe()       {}
func (*house) Pause(string) {}
func (*house) Resume()      {}

func (h *house) sent() []sent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]sent(nil), h.left...)
}

func (h *house) bodies() []string {
	bodies := []string{}
	for _, s := range h.sent() {
		bodies = append(bodies, s.Body)
	}
	return bodies
}

// open starts a house; it is closed at the end of the test.
func open(t testing.TB, cfg policy.Config, handler messaging.Handler) *house {
	t.Helper()
	p, err := policy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, policy: p, store: memory.New(memory.Config{MaxBytes: 64 << 20})}
	h.eng = messaging.NewEngine(h.store, handler, h, messaging.Config{Logger: slog.New(slog.DiscardHandler), Rules: p.Rules()})
	work, giveUp := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.eng.Run(work, work) }()
	t.Cleanup(func() { giveUp(); <-ended })
	h.eng.HandleState(relay.StateSubscribed)
	return h
}

// texted is a message from somebody to a number of ours.
func (h *house) texted(from, to, body string) string {
	h.mu.Lock()
	h.n++
	id := fmt.Sprintf("in-%p-%d", h, h.n)
	h.mu.Unlock()
	h.deliver(id, from, to, body)
	return id
}

func (h *house) deliver(id, from, to, body string) {
	text, _ := json.Marshal(body)
	h.eng.HandleEvent(&relay.Event{
		Type: "messaging.receive", Received: time.Now(),
		Frame: fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"signalwire.event","params":{"event_type":"messaging.receive","params":`+
			`{"message_id":%q,"context":"support","from_number":%q,"to_number":%q,"body":%s}}}`, id, from, to, text),
	})
}

func (h *house) enqueue(s messaging.Send) messaging.Send {
	h.t.Helper()
	if s.From == "" {
		s.From = ours
	}
	s.Context = "support"
	out, err := h.eng.Enqueue(h.t.Context(), s)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// outcome is what became of the only send that a message, or nobody, asked for.
func (h *house) outcome(id string) (messaging.Status, string) {
	h.t.Helper()
	life, err := h.store.(messaging.Archive).Life(h.t.Context(), id)
	if err != nil || len(life.Sends) != 1 {
		h.t.Fatalf("%v, %+v", err, life)
	}
	return life.Sends[0].Status, life.Sends[0].Reason
}

// bubble runs a test in virtual time, on a Monday morning in America.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2000, 1, 3, 18, 0, 0, 0, time.UTC)))
		f(t)
	})
}

func person(i int) string { return fmt.Sprintf("+1202556%04d", i) }

var echo = messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
	if ev.Kind == messaging.KindMessage {
		w.Reply("You said: " + ev.Body)
	}
	return nil
})

func segments(body string) int { return sms.Segments(body, sms.Options{}) }
