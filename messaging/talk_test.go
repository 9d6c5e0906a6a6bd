package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

type hf = messaging.HandlerFunc

// table is a router of the context support.
func table(describe func(r *contexts.Router)) *contexts.Router {
	r := contexts.NewRouter()
	r.Context("support", describe)
	return r
}

func (b *bench) talk(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.inbound(fmt.Sprint("in-", time.Now().UnixNano(), text), somebody, text)
		synctest.Wait()
		time.Sleep(time.Second)
	}
}

func (b *bench) wantSaid(what string, want ...string) {
	b.t.Helper()
	if got := b.said(somebody); !slices.Equal(got, want) {
		b.t.Errorf("%s: said %q, want %q", what, got, want)
	}
}

// handledBy gives the names of the handlers of inbounds, in order.
func (b *bench) handledBy() (names []string) {
	for _, tr := range b.traces {
		if tr.Inbound != nil && tr.Inbound.Outcome != nil {
			names = append(names, tr.Inbound.Outcome.Handler)
		}
	}
	return names
}

// counting counts the messages of a conversation in its session.
func counting(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	n, _, err := w.Session().Get(ctx, "n")
	if err != nil {
		return err
	}
	w.Session().Set("n", n+"I", time.Hour)
	n, ok, err := w.Session().Get(ctx, "n")
	if !ok || err != nil {
		return fmt.Errorf("what was set is not read: %v, %w", ok, err)
	}
	w.Reply(n)
	if ev.Body == "clear" {
		w.Session().Delete("n")
	}
	return nil
}

func TestSessionRemembers(t *testing.T) {
	for _, name := range []string{"ordinary", "instant"} { // what calls itself pure and is not is run in its turn
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var h messaging.Handler = hf(counting)
				if name == "instant" {
					h = instant{counting}
				}
				b := start(t, h, messaging.Config{})
				b.talk("a", "b", "clear", "c")
				b.inbound("other", "+12025550199", "x")
				synctest.Wait()
				time.Sleep(2 * time.Hour)
				b.talk("d")
				b.wantSaid("one conversation", "I", "II", "III", "I", "I")
				b.end()
			})
		})
	}
}

// A run that fails remembers nothing, however often it is tried.
func TestSessionIsStoredWithTheEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fails := 3
		b := start(t, hf(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if err := counting(ctx, w, ev); err != nil {
				return err
			}
			if fails--; fails >= 0 {
				return errors.New("not yet")
			}
			return nil
		}), messaging.Config{})
		b.talk("a")
		time.Sleep(5 * time.Minute)
		b.talk("b")
		b.wantSaid("after failures", "I", "II")
		b.end()
	})
}

// A burst is handled one after the other, each with what the one before it remembered, also
// where the append of the next one is on its way with the completion of the last.
func TestSessionInABurst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{counting}, messaging.Config{})
		for i := range 20 {
			b.inbound(fmt.Sprint("in", i), somebody, "x")
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		got := b.said(somebody)
		for i, n := range got {
			if n != strings.Repeat("I", i+1) {
				t.Fatalf("answer %d is %q", i, n)
			}
		}
		if len(got) != 20 {
			t.Errorf("%d answers, want 20", len(got))
		}
		b.end()
	})
}

func TestMistakesOfASession(t *testing.T) {
	for name, do := range map[string]func(w messaging.Responder){
		"no time to live": func(w messaging.Responder) { w.Session().Set("k", "v", 0) },
		"no key":          func(w messaging.Responder) { w.Session().Set("", "v", time.Hour) },
		"too large": func(w messaging.Responder) {
			w.Session().Set("k", strings.Repeat("x", messaging.MaxValueData+1), time.Hour)
		},
		"a question without": func(w messaging.Responder) { w.Ask("", "n", time.Hour) },
		"a question unnamed": func(w messaging.Responder) { w.Ask("Which?", "", time.Hour) },
		"a pause in the past": func(w messaging.Responder) {
			w.Pause(time.Now().Add(-time.Second))
		},
		"a pause without end": func(w messaging.Responder) { w.Pause(time.Now().AddDate(1, 0, 0)) },
		"too many": func(w messaging.Responder) {
			for i := range 65 {
				w.Session().Set(fmt.Sprint(i), "v", time.Hour)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, hf(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
					w.Reply("never")
					do(w)
					return nil
				}), messaging.Config{})
				b.talk("x")
				b.wantSaid("after a mistake")
				time.Sleep(2 * time.Second) // until the status is published
				if s := b.eng.Status(); s.Dead != 1 {
					t.Errorf("%d dead letters, want 1", s.Dead)
				}
				b.end()
			})
		})
	}
}

// asking is a desk that asks for a date, which must be of digits.
func asking(answers *[]messaging.Question) *contexts.Router {
	return table(func(r *contexts.Router) {
		r.OnMessage(instant{func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Body == "book" {
				w.Ask("Which day?", "day", 10*time.Minute)
				return nil
			}
			w.Reply("chain: " + ev.Body)
			return nil
		}})
		r.Answer("day", hf(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			q, ok := messaging.AnswerTo(ctx)
			if !ok {
				return errors.New("no question")
			}
			*answers = append(*answers, q)
			switch ev.Body {
			case "pass":
				return messaging.ErrPass
			case "what":
				w.Ask("A number, please.", "day", 10*time.Minute)
				return nil
			}
			w.Reply("booked: " + ev.Body)
			return nil
		}))
	})
}

func TestAsk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var answers []messaging.Question
		b := start(t, asking(&answers), messaging.Config{})
		asked := time.Now()
		b.talk("hello", "book", "pass", "HELP", "what", "12", "13")
		b.wantSaid("a talk", "chain: hello", "Which day?", "chain: pass", "chain: HELP", "A number, please.", "booked: 12", "chain: 13")
		if q := answers[0]; q.Name != "day" || q.AskedAt.Sub(asked) > 2*time.Second || q.ExpiresAt.Sub(q.AskedAt) != 10*time.Minute {
			t.Errorf("AnswerTo gave %+v", q)
		}
		b.end()
	})
}

func TestAskExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var answers []messaging.Question
		b := start(t, asking(&answers), messaging.Config{})
		b.talk("book")
		time.Sleep(10*time.Minute - 2*time.Second)
		b.talk("1")
		b.talk("book")
		time.Sleep(10*time.Minute + time.Second)
		b.talk("2")
		b.wantSaid("in time and late", "Which day?", "booked: 1", "Which day?", "chain: 2")
		b.end()
	})
}

// Who wrote before the question was asked did not answer it.
func TestAskIsNotAnsweredByWhatCameBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		r := table(func(r *contexts.Router) {
			r.OnMessage(hf(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
				if ev.Body == "book" {
					<-release
					w.Ask("Which day?", "day", time.Hour)
					return nil
				}
				w.Reply("chain: " + ev.Body)
				return nil
			}))
			r.Answer("day", hf(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
				w.Reply("booked: " + ev.Body)
				return nil
			}))
		})
		b := start(t, r, messaging.Config{})
		b.talk("book", "at once, please")
		close(release)
		synctest.Wait()
		time.Sleep(time.Second)
		b.talk("12")
		b.wantSaid("a hasty person", "Which day?", "chain: at once, please", "booked: 12")
		b.end()
	})
}

// An answer route that fails leaves the question open for the next try, and one that nobody
// serves is ignored.
func TestAskOfAFailingRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fails := 2
		r := table(func(r *contexts.Router) {
			r.OnMessage(hf(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
				if name, ok := strings.CutPrefix(ev.Body, "ask "); ok {
					w.Ask("?", name, time.Hour)
					return nil
				}
				w.Reply("chain: " + ev.Body)
				return nil
			}))
			r.Answer("day", hf(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
				if fails--; fails >= 0 {
					return errors.New("not yet")
				}
				w.Reply("booked: " + ev.Body)
				return nil
			}))
		})
		b := start(t, r, messaging.Config{})
		b.talk("ask day", "12")
		time.Sleep(time.Minute)
		b.talk("13", "ask nobody", "14")
		b.wantSaid("at last", "?", "booked: 12", "chain: 13", "?", "chain: 14")
		b.end()
	})
}

// YES is an opt-in of somebody who opted out, unless a question is open that it may answer.
func TestYesWhileAQuestionIsOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var answers []messaging.Question
		b := start(t, asking(&answers), messaging.Config{})
		b.talk("book", "STOP", "YES")
		if out, _ := b.stands(somebody); !out {
			t.Error("YES was taken for an opt-in while a question was open")
		}
		time.Sleep(10 * time.Minute)
		b.talk("YES")
		if out, _ := b.stands(somebody); out {
			t.Error("YES was not taken for an opt-in after the question had expired")
		}
		if len(answers) > 0 {
			t.Errorf("%d answers were taken from somebody who opted out", len(answers))
		}
		b.talk("book", "YES")
		if len(answers) != 1 {
			t.Errorf("YES of somebody who may be written to: %d answers, want 1", len(answers))
		}
		b.end()
	})
}

func TestPause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := table(func(r *contexts.Router) {
			r.OnMessage(instant{func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
				w.Reply("chain: " + ev.Body)
				if ev.Body == "person" {
					w.Pause(time.Now().Add(time.Hour))
				}
				return nil
			}})
			r.Paused(hf(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
				if ev.Body == "bot" {
					w.Reply("resumed")
					w.Resume()
				}
				return nil
			}))
		})
		b := start(t, r, messaging.Config{})
		b.talk("a", "person", "b", "HELP", "bot", "c", "person")
		if s := b.eng.Status(); s.Paused != 0 { // published once a second
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		b.talk("d")
		said := b.said(somebody)
		if len(said) != 7 || !strings.Contains(said[2], "STOP") {
			t.Fatalf("said %q, want the built-in HELP third", said)
		}
		said[2] = "help"
		want := []string{"chain: a", "chain: person", "help", "resumed", "chain: c", "chain: person", "chain: d"}
		if !slices.Equal(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
		if names := b.handledBy(); names[2] != "paused" || names[4] != "paused" {
			t.Errorf("handled by %q, want the third and fifth by paused", names)
		}
		b.end()
	})
}

// Who writes twice before the pause is stored is answered once.
func TestPauseInABurst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			w.Reply("chain: " + ev.Body)
			w.Pause(time.Now().Add(time.Hour))
			return nil
		}}, messaging.Config{})
		b.inbound("first", somebody, "a")
		b.inbound("second", somebody, "b")
		synctest.Wait()
		b.wantSaid("a burst", "chain: a")
		b.end()
	})
}

func TestPauseByTheOperator(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		pair := messaging.Conversation{Ours: ours, Theirs: somebody}
		ctx := t.Context()
		for what, err := range map[string]error{
			"in the past": b.eng.Pause(ctx, pair, time.Now()),
			"for ever":    b.eng.Pause(ctx, pair, time.Now().AddDate(1, 0, 0)),
			"of nobody":   b.eng.Pause(ctx, messaging.Conversation{Ours: ours}, time.Now().Add(time.Hour)),
		} {
			if err == nil {
				t.Errorf("a pause %s: no error", what)
			}
		}
		if err := b.eng.Pause(ctx, pair, time.Now().Add(time.Hour)); err != nil {
			t.Fatalf("Pause: %v", err)
		}
		b.talk("a", "STOP", "b", "START")
		time.Sleep(2 * time.Second)
		if s := b.eng.Status(); s.Paused != 1 {
			t.Errorf("%d conversations are paused, want 1", s.Paused)
		}
		if err := errors.Join(b.eng.Resume(ctx, pair), b.eng.Resume(ctx, pair)); err != nil {
			t.Fatalf("Resume: %v", err)
		}
		b.talk("c")
		if said := b.said(somebody); len(said) != 3 || said[2] != "You said: c" {
			t.Errorf("said %q, want two confirmations and one answer", said)
		}
		b.end()
	})
}

// kept is a memory store that outlives an engine.
func kept() *messagingtest.FaultyStore {
	f := blockingStore()
	traits := f.Traits()
	traits.Durable = true
	f.SetTraits(traits)
	return f
}

// The next process knows which questions are open and who is paused.
func TestMarksOutliveTheProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var answers []messaging.Question
		store := kept()
		b := startOn(t, store, asking(&answers), messaging.Config{})
		b.talk("book")
		other := messaging.Conversation{Ours: ours, Theirs: "+12025550199"}
		if err := b.eng.Pause(t.Context(), other, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		b.end()
		next := startOn(t, store, asking(&answers), messaging.Config{})
		next.inbound("paused", string(other.Theirs), "hello")
		next.talk("12")
		if got := next.wire.bodies(); !slices.Equal(got, []string{"booked: 12"}) {
			t.Errorf("the next process said %q", got)
		}
		next.end()
	})
}

func TestValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, hf(echo), messaging.Config{})
		ctx := t.Context()
		v, err := b.eng.Value(ctx, "b", "k")
		if err != nil || v.Version != messaging.Absent {
			t.Fatalf("a value that is not there: %+v, %v", v, err)
		}
		set := func(data string, expect int64) error {
			return b.eng.SetValue(ctx, &messaging.ValueChange{Bucket: "b", Key: "k", Data: []byte(data), ExpiresAt: time.Now().Add(time.Hour), Expect: expect})
		}
		if err := set("one", v.Version); err != nil {
			t.Fatalf("SetValue: %v", err)
		}
		if err := set("two", v.Version); !errors.Is(err, messaging.ErrValueChanged) {
			t.Errorf("SetValue of an old version: %v", err)
		}
		if err := b.eng.SetValue(ctx, &messaging.ValueChange{Bucket: "b", Key: "k"}); err == nil {
			t.Error("SetValue without an end: no error")
		}
		send := messaging.Send{From: ours, To: somebody, Context: "support", Body: "text", Key: "key"}
		change := func(expect int64) *messaging.ValueChange {
			return &messaging.ValueChange{Bucket: "b", Key: "k", Delete: true, Expect: expect}
		}
		if _, err := b.eng.EnqueueWith(ctx, send, change(messaging.Absent)); !errors.Is(err, messaging.ErrValueChanged) {
			t.Errorf("EnqueueWith a change that cannot be: %v", err)
		}
		if v, err = b.eng.Value(ctx, "b", "k"); err != nil || string(v.Data) != "one" {
			t.Errorf("the value is %q, %v", v.Data, err)
		}
		if _, err := b.eng.EnqueueWith(ctx, send, change(v.Version)); err != nil {
			t.Errorf("EnqueueWith: %v", err)
		}
		b.wantSaid("sends", "text")
		b.end()
	})
}
