package messagingtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// receiver is a wire that accepts everything and keeps the texts.
type receiver struct {
	mu    sync.Mutex
	texts []string
}

func (r *receiver) Go(id uuid.UUID, _ string, params []byte, done func(relay.Answer)) {
	var p struct{ Body string }
	_ = json.Unmarshal(params, &p)
	r.mu.Lock()
	r.texts = append(r.texts, p.Body)
	r.mu.Unlock()
	done(relay.Answer{Code: "200", Result: json.RawMessage(`{"code":"200","message_id":"` + id.String() + `"}`)})
}
func (*receiver) Probe()       {}
func (*receiver) Pause(string) {}
func (*receiver) Resume()      {}

// questioner asks, and has the route of the answer. Its chain calls itself pure, so that it is
// run in advance.
type questioner struct{}

func (questioner) Instant() bool { return true }

func (questioner) HandleEvent(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
	switch {
	case ev.Kind != messaging.KindMessage:
	case ev.Body == "book":
		w.Ask("Which day?", "day", time.Hour)
	default:
		w.Reply("chain: " + ev.Body)
	}
	return nil
}

func (questioner) AnswerFor(*messaging.Event, string) messaging.Handler {
	return messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
		w.Reply("booked: " + ev.Body)
		return nil
	})
}

// One instance asks, another has the answer; one pauses, the other runs nothing.
func TestQuestionsAndPausesOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore("")
		store.lease, store.margin = 30*time.Second, 5*time.Second
		ctx, cancel := context.WithCancel(t.Context())
		wire := &receiver{}
		var running sync.WaitGroup
		engines := make([]*messaging.Engine, 2)
		for i := range engines {
			engines[i] = messaging.NewEngine(&sharedStore{store.sharedData}, questioner{}, wire, messaging.Config{Logger: slog.New(slog.DiscardHandler)})
			running.Go(func() { _ = engines[i].Run(ctx, context.Background()) })
			engines[i].HandleState(relay.StateSubscribed)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		n := 0
		say := func(engine int, text string) {
			t.Helper()
			n++
			engines[engine].HandleEvent(&relay.Event{Type: "messaging.receive", Received: time.Now(), Frame: fmt.Appendf(nil,
				`{"jsonrpc":"2.0","method":"signalwire.event","params":{"event_type":"messaging.receive","params":{"message_id":"m%d","context":"support","from_number":%q,"to_number":%q,"body":%q}}}`,
				n, theirs, ours, text)})
			synctest.Wait()
			time.Sleep(time.Second)
		}
		say(0, "hello")
		say(0, "book")
		say(1, "12")
		say(0, "13") // the first one does not know that the question was answered
		pair := messaging.Conversation{Ours: ours, Theirs: theirs}
		if err := engines[0].Pause(t.Context(), pair, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		say(1, "to the person")
		if err := engines[1].Resume(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		say(0, "to the bot")
		say(0, "book")
		say(0, "STOP")
		time.Sleep(10 * time.Second) // until the other one knows
		say(1, "YES")                // of which the second one cannot know before it is written that it may be an answer
		if states, err := store.ConsentOf(t.Context(), theirs); err != nil || len(states) != 1 || !states[0].OptedOut {
			t.Errorf("YES was taken for an opt-in while a question of another instance was open: %+v, %v", states, err)
		}
		say(1, "START")
		say(1, "12")
		wire.texts = slices.DeleteFunc(wire.texts, func(s string) bool { return strings.Contains(s, "unsubscribed") || strings.Contains(s, "HELP") })
		want := []string{"chain: hello", "Which day?", "booked: 12", "chain: 13", "chain: to the bot", "Which day?", "booked: 12"}
		if !slices.Equal(wire.texts, want) {
			t.Errorf("said %q, want %q", wire.texts, want)
		}
		cancel()
		running.Wait()
	})
}
