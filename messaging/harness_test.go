package messaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
)

const ours = "+12025550100"

// wire is a Link whose other end is the test.
type wire struct {
	mu      sync.Mutex
	frames  []*frame
	auto    func(*frame) *relay.Answer // answers at once, unless nil or it returns nil
	probes  int
	paused  bool
	pauses  int
	resumes int
}

type frame struct {
	id   uuid.UUID
	done func(relay.Answer)
	From string   `json:"from_number"`
	To   string   `json:"to_number"`
	Body string   `json:"body"`
	Tags []string `json:"tags"`
}

func (w *wire) Go(id uuid.UUID, method string, params []byte, done func(relay.Answer)) {
	f := &frame{id: id, done: done}
	if method != "messaging.send" {
		panic(method)
	}
	if err := json.Unmarshal(params, f); err != nil {
		panic(err)
	}
	w.mu.Lock()
	w.frames = append(w.frames, f)
	auto := w.auto
	w.mu.Unlock()
	if auto != nil {
		if a := auto(f); a != nil {
			done(*a)
		}
	}
}

// answer sets how sends are answered from now on; nil leaves them unanswered.
func (w *wire) answer(auto func(*frame) *relay.Answer) {
	w.mu.Lock()
	w.auto = auto
	w.mu.Unlock()
}

func (w *wire) Probe() { w.mu.Lock(); w.probes++; w.mu.Unlock() }

func (w *wire) Pause(string) { w.mu.Lock(); w.paused = true; w.pauses++; w.mu.Unlock() }

func (w *wire) Resume() { w.mu.Lock(); w.paused = false; w.resumes++; w.mu.Unlock() }

func (w *wire) sent() []*frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.frames)
}

func (w *wire) bodies() []string {
	var out []string
	for _, f := range w.sent() {
		out = append(out, f.Body)
	}
	return out
}

func accepted(f *frame) *relay.Answer {
	return &relay.Answer{Code: "200", Result: json.RawMessage(`{"code":"200","message_id":"pm-` + f.id.String() + `"}`)}
}

func refused(code string) *relay.Answer {
	return &relay.Answer{Code: code, Err: &relay.Error{Method: "messaging.send", Code: code, Message: "no"}}
}

// bench is an engine in a synctest bubble, with a session that is up.
type bench struct {
	t      *testing.T
	eng    *messaging.Engine
	wire   *wire
	store  *messagingtest.FaultyStore
	stop   context.CancelFunc
	result chan error
	ended  bool
	traces []messaging.Trace // read after synctest.Wait
}

// blockingStore is a memory store that the engine takes for one that waits for a disk, so
// that batches form while a commit runs.
func blockingStore() *messagingtest.FaultyStore {
	s := memory.New(memory.Config{})
	traits := s.Traits()
	traits.Blocking = true
	f := messagingtest.Faulty(s)
	f.SetTraits(traits)
	return f
}

// picky is a store that refuses a certain text for good.
type picky struct{ *messagingtest.FaultyStore }

func (p picky) Commit(ctx context.Context, b *messaging.Batch) error {
	for _, a := range b.Appends {
		if a.Event.Body == "poison" {
			return errors.New("cannot be stored")
		}
	}
	return p.FaultyStore.Commit(ctx, b)
}

func start(t *testing.T, h messaging.Handler, cfg messaging.Config) *bench {
	t.Helper()
	return startOn(t, blockingStore(), h, cfg)
}

func startOn(t *testing.T, store *messagingtest.FaultyStore, h messaging.Handler, cfg messaging.Config) *bench {
	t.Helper()
	b := &bench{t: t, wire: &wire{auto: accepted}, store: store, result: make(chan error, 1)}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	cfg.Trace = func(tr messaging.Trace) { b.traces = append(b.traces, tr) }
	b.eng = messaging.NewEngine(b.store, h, b.wire, cfg)
	stop, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	work, giveUp := context.WithCancel(context.Background())
	go func() { b.result <- b.eng.Run(stop, work) }()
	t.Cleanup(func() { // for a test that does not drain
		giveUp()
		if !b.ended {
			<-b.result
		}
	})
	b.eng.HandleState(relay.StateSubscribed)
	synctest.Wait()
	return b
}

// end drains the engine and checks that every inbound is accounted for.
func (b *bench) end() {
	b.t.Helper()
	b.stop()
	err := <-b.result
	b.ended = true
	if b.eng.Status().InDoubt > 0 && errors.Is(err, messaging.ErrDrainIncomplete) {
		err = nil // memory takes its doubts with it, and Run says so
	}
	if err != nil {
		b.t.Errorf("Run: %v", err)
	}
	s := b.eng.Status()
	if s.Unaccounted != 0 || s.HeldBytes != 0 || s.UnjournaledBytes != 0 || s.SendsUnanswered != 0 {
		b.t.Errorf("at the end: %+v", s)
	}
}

func (b *bench) inbound(id, from, body string) {
	b.frame("messaging.receive", fmt.Sprintf(`{"message_id":%q,"context":"support","from_number":%q,"to_number":%q,"body":%q}`, id, from, ours, body))
}

func (b *bench) state(messageID, state string, tags ...string) {
	list, _ := json.Marshal(tags)
	b.frame("messaging.state", fmt.Sprintf(`{"message_id":%q,"context":"support","message_state":%q,"tags":%s}`, messageID, state, list))
}

func (b *bench) frame(eventType, params string) {
	b.eng.HandleEvent(&relay.Event{
		Type: eventType, Received: time.Now(),
		Frame: []byte(`{"jsonrpc":"2.0","method":"signalwire.event","params":{"event_type":"` + eventType + `","params":` + params + `}}`),
	})
}

func echo(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
	if ev.Kind != messaging.KindMessage {
		return nil
	}
	w.Reply("You said: " + ev.Body)
	return nil
}

// instant makes a handler that says it is pure.
type instant struct{ messaging.HandlerFunc }

func (instant) Instant() bool { return true }

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
