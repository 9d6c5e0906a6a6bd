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

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
)

const somebody = "+12025550101"

// said gives the texts to one somebody.
func (b *bench) said(to string) (bodies []string) {
	for _, f := range b.wire.sent() {
		if f.To == to {
			bodies = append(bodies, f.Body)
		}
	}
	return bodies
}

// stands tells where a somebody stands, in all scopes together.
func (b *bench) stands(n messaging.Number) (out, review bool) {
	b.t.Helper()
	states, err := b.store.ConsentOf(b.t.Context(), n)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range states {
		out, review = out || s.OptedOut, review || s.Review
	}
	return out, review
}

// lines gives the ledger, checked.
func (b *bench) lines() (entries []messaging.ConsentEntry) {
	b.t.Helper()
	entries, err := b.store.Entries(b.t.Context(), messaging.LedgerQuery{})
	if err != nil {
		b.t.Fatal(err)
	}
	var prev [32]byte
	for i, e := range entries {
		if e.Seq != int64(i+1) || e.Prev != prev || e.Hash != e.Sum() {
			b.t.Errorf("line %d of the ledger does not follow the one before it: %+v", i+1, e)
		}
		prev = e.Hash
	}
	return entries
}

func confirmations(said []string) (stops, starts, helps int) {
	words := consent.Wording("", "", consent.English)
	for _, s := range said {
		switch s {
		case words.Stop:
			stops++
		case words.Start:
			starts++
		case words.Help:
			helps++
		}
	}
	return stops, starts, helps
}

func TestStopIsConfirmedOnceAndSilences(t *testing.T) {
	for name, h := range map[string]messaging.Handler{"pure": instant{echo}, "ordinary": messaging.HandlerFunc(echo)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, h, messaging.Config{})
				b.inbound("1", somebody, "hello")
				synctest.Wait()
				b.inbound("2", somebody, "Stop. Thank you")
				b.inbound("2", somebody, "Stop. Thank you") // delivered again
				b.inbound("3", somebody, "STOP")
				b.inbound("4", somebody, "are you still there?")
				synctest.Wait()
				_, err := b.eng.Enqueue(t.Context(), messaging.Send{From: ours, To: somebody, Context: "support", Body: "offer"})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				diff(t, "said", []string{"You said: hello", consent.Wording("", "", consent.English).Stop}, b.said(somebody))
				out, _ := b.stands(somebody)
				diff(t, "opted out", true, out)
				time.Sleep(2 * time.Second) // a status may be a second old
				diff(t, "opted out, of the status", 1, b.eng.Status().OptedOut)
				lines := b.lines()
				diff(t, "lines", 2, len(lines))
				diff(t, "the first one's evidence", messaging.ConsentChange{
					Number: somebody, Verb: messaging.ConsentStop, Origin: messaging.OriginMessage, EventID: "2", Ours: ours, Context: "support",
					ReceivedAt: lines[0].ReceivedAt, Tier: "phrase", Word: lines[0].Word, Rule: lines[0].Rule, Changed: true, State: lines[0].State,
				}, lines[0].ConsentChange)
				diff(t, "the second changed something", false, lines[1].Changed)

				b.inbound("5", somebody, "start")
				synctest.Wait()
				b.inbound("6", somebody, "hello again")
				synctest.Wait()
				stops, starts, _ := confirmations(b.said(somebody))
				diff(t, "stop and start confirmations", []int{1, 1}, []int{stops, starts})
				diff(t, "last word", "You said: hello again", b.said(somebody)[len(b.said(somebody))-1])
				b.end()
			})
		})
	}
}

// From the moment a stop is decoded nothing starts to leave, although the store is still
// writing it, and although what waits was claimed before.
func TestNothingLeavesWhileAStopIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		release := b.store.Hold()
		b.inbound("1", somebody, "hello") // its reply is claimed in the transaction that is held
		synctest.Wait()
		b.inbound("2", somebody, "stop")
		release()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		diff(t, "said", []string{consent.Wording("", "", consent.English).Stop}, b.said(somebody))
		b.end()
		diff(t, "suppressed", int64(1), b.eng.Status().Suppressed)
	})
}

// A stop that cannot be journaled as it is still counts.
func TestStopInAPoisonousEventCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startOn(t, messagingtest.Faulty(bodyHater{blockingStore()}), instant{echo}, messaging.Config{})
		b.inbound("1", somebody, "please stop")
		synctest.Wait()
		b.inbound("2", somebody, "hello")
		synctest.Wait()
		diff(t, "said", []string(nil), b.said(somebody))
		out, _ := b.stands(somebody)
		diff(t, "opted out", true, out)
	})
}

// bodyHater refuses texts.
type bodyHater struct{ *messagingtest.FaultyStore }

func (p bodyHater) Commit(ctx context.Context, b *messaging.Batch) error {
	for _, a := range b.Appends {
		if strings.Contains(a.Event.Body, "stop") {
			return fmt.Errorf("cannot be stored")
		}
	}
	return p.FaultyStore.Commit(ctx, b)
}

func TestSendsOnTheWireAreMarkedAsCrossing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.wire.answer(nil)
		b.inbound("1", somebody, "hello")
		synctest.Wait()
		b.inbound("2", somebody, "stop")
		synctest.Wait()
		sent := b.wire.sent()
		diff(t, "sent", 1, len(sent))
		diff(t, "crossing", []string{sent[0].id.String()}, []string{fmt.Sprint(b.lines()[0].Crossing[0])})
	})
}

func TestOptOutsSurviveARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := blockingStore()
		b := startOn(t, store, instant{echo}, messaging.Config{})
		b.inbound("1", somebody, "unsubscribe")
		synctest.Wait()
		b.end()
		store.FailNextLoads(3, messaging.ErrUnavailable)
		b = startOn(t, store, instant{echo}, messaging.Config{})
		b.inbound("2", somebody, "hello")
		b.inbound("3", "+12025550102", "hello")
		diff(t, "said before the ledger is read", 0, len(b.wire.sent()))
		time.Sleep(time.Minute)
		diff(t, "said", []string{"You said: hello"}, b.wire.bodies())
		b.end()
	})
}

func TestHelpIsAnsweredByTheChainElseByTheSheet(t *testing.T) {
	helper := func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
		if ev.Kind == messaging.KindMessage && strings.EqualFold(ev.Body, "help") && ev.From == "+12025550102" {
			w.Reply("our own help")
		}
		if ev.From == "+12025550103" || ev.From == somebody {
			messaging.Answered(w) // which helps nobody who opted out
		}
		return nil
	}
	for name, h := range map[string]messaging.Handler{"pure": instant{helper}, "ordinary": messaging.HandlerFunc(helper)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, h, messaging.Config{Consent: messaging.ConsentPolicy{
					Wording: func(_ string, lang consent.Language) consent.Texts {
						return consent.Wording("Acme", "acme.example", lang)
					},
				}})
				b.inbound("1", "+12025550102", "HELP")
				b.inbound("2", somebody, "stop")
				b.inbound("3", "+12025550103", "HELP")
				synctest.Wait()
				for i := range 4 { // two at once, then one a day; also to somebody who opted out
					b.inbound(fmt.Sprint("h", i), somebody, "Info?")
					synctest.Wait()
				}
				time.Sleep(25 * time.Hour)
				b.inbound("h9", somebody, "help")
				synctest.Wait()
				words := consent.Wording("Acme", "acme.example", consent.English)
				diff(t, "own", []string{"our own help"}, b.said("+12025550102"))
				diff(t, "answered elsewhere", []string(nil), b.said("+12025550103"))
				diff(t, "built in", []string{words.Stop, words.Help, words.Help, words.Help}, b.said(somebody))
				b.end()
			})
		})
	}
}

func TestConfirmationsThatAreNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		to  string
		age time.Duration
	}{
		"late":      {ours, 6 * time.Minute},
		"toll-free": {"+18885550100", 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{})
				release := b.store.Hold()
				b.inbound("0", "+12025550109", "hi") // occupies the store
				synctest.Wait()
				params := fmt.Sprintf(`{"message_id":"1","context":"support","from_number":%q,"to_number":%q,"body":"stop"}`, somebody, c.to)
				b.eng.HandleEvent(&relay.Event{
					Type: "messaging.receive", Received: time.Now().Add(-c.age),
					Frame: []byte(`{"jsonrpc":"2.0","method":"signalwire.event","params":{"event_type":"messaging.receive","params":` + params + `}}`),
				})
				release()
				synctest.Wait()
				diff(t, "said", []string(nil), b.said(somebody))
				out, _ := b.stands(somebody)
				diff(t, "opted out", true, out)
				b.end()
			})
		})
	}
}

// A confirmation that cannot leave within five minutes does not leave.
func TestConfirmationExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.eng.HandleState(relay.StateBackoff)
		b.inbound("1", somebody, "stop")
		time.Sleep(6 * time.Minute)
		b.eng.HandleState(relay.StateSubscribed)
		synctest.Wait()
		diff(t, "said", 0, len(b.wire.sent()))
		b.end()
	})
}

// A start that is confirmed only after the next stop would be a lie, and a message too many.
func TestStopSilencesTheConfirmationOfAStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.inbound("1", somebody, "stop")
		synctest.Wait()
		b.eng.HandleState(relay.StateBackoff)
		synctest.Wait()
		b.inbound("2", somebody, "start")
		synctest.Wait()
		b.inbound("3", somebody, "stop")
		synctest.Wait()
		b.eng.HandleState(relay.StateSubscribed)
		synctest.Wait()
		stops, starts, _ := confirmations(b.said(somebody))
		diff(t, "confirmations of stop and start", []int{2, 0}, []int{stops, starts})
		b.end()
	})
}

func TestYesIsAnAnswerUnlessOptedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		for i, text := range []string{"yes", "stop", "Yes!", "yes"} {
			b.inbound(fmt.Sprint(i), somebody, text)
			synctest.Wait()
		}
		words := consent.Wording("", "", consent.English)
		diff(t, "said", []string{"You said: yes", words.Stop, words.Start, "You said: yes"}, b.said(somebody))
		b.end()
	})
}

func TestObservedContextsSeeEverythingAndAnswerNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen []string
		h := messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			seen = append(seen, ev.Body)
			return echo(ctx, w, ev)
		})
		b := start(t, h, messaging.Config{Consent: messaging.ConsentPolicy{Observe: func(c string) bool { return c == "support" }}})
		for i, text := range []string{"stop", "anybody?", "start", "fine"} {
			b.inbound(fmt.Sprint(i), somebody, text)
			synctest.Wait()
		}
		words := consent.Wording("", "", consent.English)
		diff(t, "seen", []string{"stop", "anybody?", "start", "fine"}, seen)
		said := b.said(somebody)
		slices.Sort(said) // a confirmation does not wait for the chain
		want := []string{words.Stop, words.Start, "You said: start", "You said: fine"}
		slices.Sort(want)
		diff(t, "said", want, said)
		b.end()
	})
}

func TestReviewPausesWhatIsNoReply(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.inbound("1", somebody, "we have to stop this bill before monday")
		synctest.Wait()
		_, review := b.stands(somebody)
		diff(t, "in review", true, review)
		diff(t, "answered", 1, len(b.said(somebody)))
		if _, err := b.eng.Enqueue(t.Context(), messaging.Send{From: ours, To: somebody, Context: "support", Body: "offer"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		diff(t, "said in review", 1, len(b.said(somebody)))
		diff(t, "in review, of the status", 1, b.eng.Status().InReview)
		keep := &messaging.ConsentChange{Number: somebody, Verb: messaging.ConsentKeep, Origin: messaging.OriginOperator, Actor: "ann", Note: "about a bill"}
		if err := b.eng.SetConsent(t.Context(), keep); err != nil || !keep.Changed {
			t.Fatalf("changed %v, %v", keep.Changed, err)
		}
		time.Sleep(time.Hour)
		diff(t, "said after it", []string{"You said: we have to stop this bill before monday", "offer"}, b.said(somebody))
		b.end()
	})
}

func TestHandlersOptOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind == messaging.KindMessage && ev.Body == "I moved to Mars" {
				w.OptOut("lives on Mars")
				w.Reply("Sorry to see you go")
			}
			return nil
		})
		b := start(t, h, messaging.Config{})
		b.inbound("1", somebody, "I moved to Mars")
		synctest.Wait()
		diff(t, "said", []string{consent.Wording("", "", consent.English).Stop}, b.said(somebody))
		lines := b.lines()
		if len(lines) != 1 || lines[0].Origin != messaging.OriginHandler || lines[0].Note != "lives on Mars" {
			t.Errorf("ledger %+v", lines)
		}
		b.end()
	})
}

// What a handler makes of a person's words holds back what would leave meanwhile, as the
// words of the list do, and no longer than until it is written.
func TestNothingLeavesWhileAHandlersOptOutIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const friend = "+12025550177"
		h := messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Body == "I moved to Mars" {
				w.OptOut("lives on Mars")
				return nil
			}
			return echo(ctx, w, ev)
		})
		b := start(t, instant{h}, messaging.Config{})
		release := b.store.Hold()
		b.inbound("1", somebody, "hello") // its reply is claimed in the transaction that is held
		synctest.Wait()
		b.inbound("2", somebody, "I moved to Mars")
		release()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		diff(t, "said", []string{consent.Wording("", "", consent.English).Stop}, b.said(somebody))

		// The same event again, and one whose commit is refused, leave nobody held.
		b.inbound("2", somebody, "I moved to Mars")
		b.store.Poison("3", errors.New("cannot be written"))
		b.inbound("3", friend, "I moved to Mars")
		synctest.Wait()
		b.inbound("4", friend, "hello")
		b.inbound("5", somebody, "start")
		synctest.Wait()
		b.inbound("6", somebody, "back again")
		synctest.Wait()
		diff(t, "said to one whose opt-out was refused", []string{"You said: hello"}, b.said(friend))
		said := b.said(somebody)
		diff(t, "said after a start", "You said: back again", said[len(said)-1])
		b.end()
	})
}

func TestNobodyForgesAConfirmation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			w.Send(messaging.Send{Body: "read this", Category: messaging.CategoryConsent})
			return nil
		})
		b := start(t, h, messaging.Config{})
		b.inbound("1", somebody, "hello")
		synctest.Wait()
		_, err := b.eng.Enqueue(t.Context(), messaging.Send{From: ours, To: somebody, Context: "support", Body: "x", Category: messaging.CategoryConsent})
		if err == nil {
			t.Error("the local side forged one")
		}
		diff(t, "said", 0, len(b.wire.sent()))
		time.Sleep(2 * time.Second)
		diff(t, "dead", int64(1), b.eng.Status().Dead)
		b.end()
	})
}

func TestThePlatformsWordIsAnOptOut(t *testing.T) {
	for name, tell := range map[string]func(b *bench){
		"by an answer": func(b *bench) {
			b.wire.answer(func(*frame) *relay.Answer {
				return &relay.Answer{Err: &relay.Error{Method: "messaging.send", Code: "422", Message: "recipient has opted out"}}
			})
			b.inbound("1", somebody, "hello")
		},
		"by a state": func(b *bench) {
			b.inbound("1", somebody, "hello")
			synctest.Wait()
			f := b.wire.sent()[0]
			b.frame("messaging.state", fmt.Sprintf(`{"message_id":"pm-%s","context":"support","from_number":%q,"to_number":%q,"message_state":"undelivered","reason":"Unsubscribed recipient","tags":[%q]}`,
				f.id, ours, somebody, f.Tags[0]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{})
				tell(b)
				synctest.Wait()
				b.wire.answer(accepted)
				b.inbound("2", somebody, "hello?")
				synctest.Wait()
				diff(t, "frames", 1, len(b.wire.sent()))
				lines := b.lines()
				if len(lines) != 1 || lines[0].Origin != messaging.OriginPlatform || !lines[0].State.OptedOut {
					t.Errorf("ledger %+v", lines)
				}
				b.end()
			})
		})
	}
}

func TestScopeOfAnOptOut(t *testing.T) {
	for name, c := range map[string]struct {
		reach messaging.Reach
		other int // answers of the other number, in the other context
	}{
		"everything": {messaging.ReachAll, 0},
		"number":     {messaging.ReachNumber, 1},
		"context":    {messaging.ReachContext, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t, instant{echo}, messaging.Config{Consent: messaging.ConsentPolicy{Scope: c.reach}})
				b.inbound("1", somebody, "stop")
				b.inbound("2", somebody, "hello")
				synctest.Wait()
				b.frame("messaging.receive", fmt.Sprintf(`{"message_id":"3","context":"sales","from_number":%q,"to_number":"+12025550199","body":"hello"}`, somebody))
				synctest.Wait()
				diff(t, "said", 1+c.other, len(b.said(somebody)))
				// An opt-out that the operator wrote for everything is ended by the somebody's start.
				all := &messaging.ConsentChange{Number: somebody, Verb: messaging.ConsentStop, Origin: messaging.OriginOperator}
				if err := b.eng.SetConsent(t.Context(), all); err != nil {
					t.Fatal(err)
				}
				b.inbound("4", somebody, "start")
				b.inbound("5", somebody, "hello")
				time.Sleep(2 * time.Second)
				diff(t, "said after the start", 3+c.other, len(b.said(somebody)))
				b.end()
			})
		})
	}
}

// A daily repeat is for short-code programmes.
func TestRepeatedStopIsConfirmedDailyIfWanted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{Consent: messaging.ConsentPolicy{RepeatStop: consent.RepeatDaily}})
		for i := range 4 {
			b.inbound(fmt.Sprint(i), somebody, "stop")
			synctest.Wait()
		}
		stops, _, _ := confirmations(b.said(somebody))
		diff(t, "confirmations on the first day", 2, stops)
		time.Sleep(24 * time.Hour)
		b.inbound("9", somebody, "stop")
		synctest.Wait()
		stops, _, _ = confirmations(b.said(somebody))
		diff(t, "confirmations on the second day", 3, stops)
		b.end()
	})
}

func BenchmarkConsentOfAMillion(b *testing.B) {
	store := memory.New(memory.Config{})
	for n := 0; n < 1_000_000; n += 1000 {
		batch := &messaging.Batch{Now: time.Unix(int64(n), 0)}
		for i := range 1000 {
			batch.Consents = append(batch.Consents, &messaging.ConsentChange{
				Number: messaging.Number(fmt.Sprintf("+1%010d", 2020000000+n+i)), Verb: messaging.ConsentStop, Origin: messaging.OriginImport,
			})
		}
		if err := store.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	ask, err := messaging.StandingOf(b.Context(), store)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	out := &messaging.Send{From: ours, To: "+12020500000", Context: "support", Category: messaging.CategoryReply}
	in := &messaging.Send{From: ours, To: "+13030500000", Context: "support", Category: messaging.CategoryReply}
	if ask(now, out).Go() || !ask(now, in).Go() {
		b.Fatal("the wrong one may be written to")
	}
	for b.Loop() {
		ask(now, out)
		ask(now, in)
	}
}

// A store that would forget opt-outs is not run.
func TestAStoreWithoutALedgerIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := struct{ messaging.Store }{memory.New(memory.Config{})}
		eng := messaging.NewEngine(store, instant{echo}, &wire{auto: accepted}, messaging.Config{})
		err := eng.Run(t.Context(), t.Context())
		if err == nil || !strings.Contains(err.Error(), "ConsentLedger") {
			t.Errorf("Run: %v", err)
		}
	})
}

// HELP is answered also where a chain is shown it and says something that will not leave.
func TestHelpOfAnObservedPersonIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{Consent: messaging.ConsentPolicy{Observe: func(string) bool { return true }}})
		b.inbound("1", somebody, "stop")
		synctest.Wait()
		b.inbound("2", somebody, "help")
		synctest.Wait()
		words := consent.Wording("", "", consent.English)
		diff(t, "said", []string{words.Stop, words.Help}, b.said(somebody))
		b.end()
	})
}

// A person has one name, whether or not the platform writes the plus.
func TestStopFromANumberWithoutItsPlus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.frame("messaging.receive", fmt.Sprintf(`{"message_id":"1","context":"support","from_number":%s,"to_number":%q,"body":"stop"}`, strings.TrimPrefix(somebody, "+"), ours))
		synctest.Wait()
		b.inbound("2", somebody, "hello")
		synctest.Wait()
		stops, _, _ := confirmations(b.said(somebody))
		diff(t, "said, confirmations", []int{1, 1}, []int{len(b.said(somebody)), stops})
		b.end()
	})
}

// A flood that fills the memory before the journal does not drown an opt-out.
func TestStopHasRoomInAFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{MaxUnjournaled: 4000})
		release := b.store.Hold()
		for i := range 20 {
			b.inbound(fmt.Sprint("f", i), "+12025550109", "hello")
		}
		b.inbound("s", somebody, "stop")
		release()
		synctest.Wait()
		out, _ := b.stands(somebody)
		diff(t, "opted out", true, out)
	})
}

func TestWhatThePlatformMeansByOptedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		b.wire.answer(func(*frame) *relay.Answer {
			return &relay.Answer{Err: &relay.Error{Method: "messaging.send", Code: "422", Message: "missing opt-out language"}}
		})
		b.inbound("1", somebody, "hello")
		synctest.Wait()
		diff(t, "lines", 0, len(b.lines()))
		b.end()
	})
}
