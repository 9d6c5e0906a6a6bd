package policy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// mostInASecond is the largest number of segments that left within any sliding second.
func mostInASecond(all []sent) (most int) {
	for i := range all {
		n := 0
		for j := i; j >= 0 && all[i].at.Sub(all[j].at) < time.Second; j-- {
			n += segments(all[j].Body)
		}
		most = max(most, n)
	}
	return most
}

// A thousand texts of two segments keep the rate of their number at every moment, and
// answers pass them.
func TestBulkKeepsItsRateAndAnswersPassIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := open(t, policy.Config{Limits: pace.Limits{Daily: 10_000}}, echo)
		const n = 1000
		text := strings.Repeat("a long text ", 20)
		if segments(text) != 2 {
			t.Fatalf("%d segments", segments(text))
		}
		for i := range n {
			h.enqueue(messaging.Send{To: messaging.Number(person(i)), Body: fmt.Sprint(text, i)})
		}
		began := time.Now()
		asked := map[string]time.Time{}
		for i := range 100 {
			time.Sleep(3*time.Second + time.Duration(i)*17*time.Millisecond)
			body := fmt.Sprint("question ", i)
			asked["You said: "+body] = time.Now()
			h.texted(fmt.Sprintf("+1202557%04d", i), ours, body)
		}
		time.Sleep(15 * time.Minute)
		all := h.sent()
		if len(all) != n+len(asked) {
			t.Fatalf("%d texts left, want %d", len(all), n+len(asked))
		}
		if most := mostInASecond(all); most != 4 {
			t.Errorf("%d segments left within a second, want the 4 of the rate", most)
		}
		var waits []time.Duration
		var last time.Time
		for _, s := range all {
			if at, ok := asked[s.Body]; ok {
				waits = append(waits, s.at.Sub(at))
			} else {
				last = s.at
			}
		}
		slices.Sort(waits)
		if p99 := waits[len(waits)*99/100]; p99 >= time.Second {
			t.Errorf("an answer waited %v at p99, want less than a second", p99)
		}
		// 2,000 segments at 4 a second, with answers between them.
		if took := last.Sub(began); took > 11*time.Minute {
			t.Errorf("the bulk took %v: the rate was not used", took)
		}
	})
}

// Two daemons that answer each other stop, whatever they answer.
func TestTwoDaemonsStopAnsweringEachOther(t *testing.T) {
	saying := func(text string) messaging.Handler {
		return messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind == messaging.KindMessage {
				w.Reply(text)
			}
			return nil
		})
	}
	for name, handlers := range map[string][2]messaging.Handler{
		"echoing":        {echo, echo},
		"auto-answering": {saying("We are closed today."), saying("Thank you for your message, we write back soon.")},
		"one of each":    {echo, saying("ok")},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const theirs = "+12025550177"
				a, b := open(t, policy.Config{}, handlers[0]), open(t, policy.Config{}, handlers[1])
				deliver := func(to *house) func(sent) {
					return func(s sent) {
						time.AfterFunc(300*time.Millisecond, func() { to.texted(s.From, s.To, s.Body) })
					}
				}
				a.onSend, b.onSend = deliver(b), deliver(a)
				b.texted(ours, theirs, "hello")
				time.Sleep(30 * time.Minute)
				for side, h := range map[string]*house{"one": a, "the other": b} {
					if n := len(h.sent()); n == 0 || n > 5 {
						t.Errorf("%s replied %d times, want 1 to 5: %q", side, n, h.bodies())
					}
				}
			})
		})
	}
}

// People are answered, however often they ask.
func TestPeopleAreAnsweredEachTime(t *testing.T) {
	t.Run("the same word twice", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := open(t, policy.Config{}, echo)
			h.texted(person(1), ours, "HOURS")
			time.Sleep(4 * time.Second)
			h.texted(person(1), ours, "HOURS")
			synctest.Wait()
			if got := h.bodies(); len(got) != 2 {
				t.Errorf("got %q, want two answers", got)
			}
		})
	})
	t.Run("ten texts a minute", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := open(t, policy.Config{}, echo)
			const n = 100
			for i := range n {
				h.texted(person(1), ours, fmt.Sprint("and what about number ", i))
				time.Sleep(6 * time.Second)
			}
			if got := len(h.sent()); got != n {
				t.Errorf("%d answers to %d texts", got, n)
			}
		})
	})
	t.Run("the platform repeats itself", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := open(t, policy.Config{}, early{echo})
			for range 20 {
				h.deliver("the same", person(1), ours, "HOURS")
				time.Sleep(time.Second)
			}
			h.deliver("another", person(1), ours, "HOURS")
			synctest.Wait()
			if got := len(h.sent()); got != 2 {
				t.Errorf("%d answers to 2 texts", got)
			}
		})
	})
}

// early is a handler that may run before its event is journaled.
type early struct{ messaging.HandlerFunc }

func (early) Instant() bool { return true }

func TestQuietHoursHoldNotificationsAndNoAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := open(t, policy.Config{}, echo)
		eastern, _ := time.LoadLocation("America/New_York")
		time.Sleep(time.Until(time.Date(2000, 1, 4, 2, 0, 0, 0, eastern)))
		held := h.enqueue(messaging.Send{To: messaging.Number(person(1)), Body: "a notice"})
		late := h.enqueue(messaging.Send{To: messaging.Number(person(2)), Body: "until seven", ExpiresAt: time.Date(2000, 1, 4, 7, 0, 0, 0, eastern)})
		h.enqueue(messaging.Send{To: messaging.Number(person(3)), Body: "a code", Category: messaging.CategoryTransactional})
		h.texted(person(4), ours, "hello")
		synctest.Wait()
		if got, want := h.bodies(), []string{"a code", "You said: hello"}; !slices.Equal(got, want) {
			t.Errorf("at night left %q, want %q", got, want)
		}
		if status, reason := h.outcome(late.ID.String()); status != messaging.StatusExpired || !strings.HasPrefix(reason, "quiet_hours") {
			t.Errorf("what is worth nothing in the morning: %s, %q", status, reason)
		}
		if status, reason := h.outcome(held.ID.String()); status != messaging.StatusQueued || reason != "quiet_hours: quiet.conservative" {
			t.Errorf("the notice: %s, %q", status, reason)
		}
		time.Sleep(12 * time.Hour)
		all := h.sent()
		last := all[len(all)-1]
		opens := time.Date(2000, 1, 4, 9, 0, 0, 0, eastern)
		if late := last.at.Sub(opens); len(all) != 3 || last.Body != "a notice" || late < 0 || late > 15*time.Minute {
			t.Errorf("left %v after the opening: %+v", last.at.Sub(opens), all)
		}
	})
}

func TestOwnNumbersAreNotAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const second = "+12025550101"
		h := open(t, policy.Config{Numbers: map[messaging.Number]sms.Class{second: ""}}, echo)
		id := h.texted(second, ours, "hello")
		synctest.Wait()
		if status, reason := h.outcome(id); status != messaging.StatusSuppressed || reason != "loop: loop.own_number" {
			t.Errorf("a configured number: %s, %q", status, reason)
		}
		// One that was texted itself is known as ours without being configured.
		const third = "+12025550102"
		h.texted(person(1), third, "hello")
		id = h.texted(third, third, "hello")
		synctest.Wait()
		if status, reason := h.outcome(id); status != messaging.StatusSuppressed || reason != "loop: loop.own_number" {
			t.Errorf("a number that was texted: %s, %q", status, reason)
		}
		if got := h.bodies(); len(got) != 1 {
			t.Errorf("%q left, want the answer to the person", got)
		}
	})
}

// Without limits everything leaves at once that no other rule holds.
func TestLimitsOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := open(t, policy.Config{LimitsOff: true, Limits: pace.Limits{Budget: pace.Budget{Messages: 5}, Daily: 5}}, echo)
		for i := range 200 {
			h.enqueue(messaging.Send{To: messaging.Number(person(i)), Body: "hello"})
			h.texted(person(999), ours, "again")
		}
		synctest.Wait()
		if got := len(h.sent()); got != 400 {
			t.Errorf("%d left at once, want 400", got)
		}
		again := h.enqueue(messaging.Send{To: messaging.Number(person(1)), Body: "hello"})
		abroad := h.enqueue(messaging.Send{To: "+4420794600001", Body: "hello"})
		var adverts [4]messaging.Send
		for i := range adverts {
			adverts[i] = h.enqueue(messaging.Send{To: messaging.Number(person(1)), Body: fmt.Sprint("offer ", i), Category: messaging.CategoryMarketing})
		}
		synctest.Wait()
		for _, c := range []struct {
			send messaging.Send
			want string
		}{
			{again, "suppressed duplicate_content: duplicate_content"},
			{abroad, "suppressed geography: geography.own"},
			{adverts[2], "accepted "},
			{adverts[3], "queued frequency_cap: frequency_cap.marketing"},
		} {
			status, reason := h.outcome(c.send.ID.String())
			if got := string(status) + " " + reason; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		}
	})
}
