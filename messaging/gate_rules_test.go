package messaging_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// tokens is a rule that lends out a token for each go, and counts what it is told.
type tokens struct {
	lent   map[string]int // by body
	asked  int
	heard  []string
	refuse func(*messaging.Send) messaging.Verdict
}

func (r *tokens) Ask(now time.Time, s *messaging.Send) messaging.Verdict {
	r.asked++
	if r.refuse != nil {
		if v := r.refuse(s); !v.Go() {
			return v
		}
	}
	r.lent[s.Body]++
	return messaging.Verdict{}
}

func (r *tokens) Release(_ time.Time, s *messaging.Send) { r.lent[s.Body]-- }
func (r *tokens) Heard(ev *messaging.Event)              { r.heard = append(r.heard, ev.Body) }

// TestRulesGetBackWhatDidNotLeave: each text that left holds one token, all others none.
func TestRulesGetBackWhatDidNotLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rule := &tokens{lent: map[string]int{}}
		picky := &tokens{lent: map[string]int{}, refuse: func(s *messaging.Send) messaging.Verdict {
			if s.Body == "You said: never" {
				return messaging.Verdict{Status: messaging.StatusSuppressed, Reason: "test", Rule: "test.never"}
			}
			return messaging.Verdict{}
		}}
		b := start(t, instant{echo}, messaging.Config{Rules: []messaging.Rule{rule, picky}, MaxUnanswered: 2})
		refusals := 0
		b.wire.answer(func(f *frame) *relay.Answer {
			if f.Body == "You said: unsent" && refusals < 3 {
				refusals++
				return &relay.Answer{Err: relay.ErrNotSent}
			}
			return accepted(f)
		})
		b.inbound("1", "+12025550101", "one")
		b.inbound("1", "+12025550101", "one") // a duplicate
		b.inbound("2", "+12025550102", "unsent")
		b.inbound("3", "+12025550103", "never")
		synctest.Wait()
		time.Sleep(time.Minute)
		b.wire.answer(nil)
		for _, who := range []string{"+12025550104", "+12025550105", "+12025550106"} { // one more than there is room for
			b.inbound("m"+who, who, who)
		}
		synctest.Wait()
		want := map[string]int{
			"You said: one": 1, "You said: unsent": 1, "You said: never": 0,
			"You said: +12025550104": 1, "You said: +12025550105": 1, "You said: +12025550106": 0,
		}
		for body, n := range want {
			if rule.lent[body] != n || picky.lent[body] != n {
				t.Errorf("%q holds %d and %d tokens, want %d", body, rule.lent[body], picky.lent[body], n)
			}
		}
		if len(rule.heard) < 6 {
			t.Errorf("the rules heard of %d messages, want 6: %q", len(rule.heard), rule.heard)
		}
		for _, f := range b.wire.sent() {
			if f.Body == "You said: never" {
				t.Error("a refused send left")
			}
		}
	})
}

// TestVerdictNamesItsRule: the row of the sheet is kept with the send.
func TestVerdictNamesItsRule(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rule := &tokens{lent: map[string]int{}, refuse: func(*messaging.Send) messaging.Verdict {
			return messaging.Verdict{Status: messaging.StatusSuppressed, Reason: "geography", Rule: "geo.countries"}
		}}
		b := start(t, messaging.HandlerFunc(echo), messaging.Config{Rules: []messaging.Rule{rule}})
		b.inbound("1", "+12025550101", "hi")
		synctest.Wait()
		life, err := b.store.Life(t.Context(), "1")
		if err != nil || len(life.Sends) != 1 {
			t.Fatalf("%v, %+v", err, life)
		}
		if got := life.Sends[0]; got.Status != messaging.StatusSuppressed || got.Reason != "geography: geo.countries" {
			t.Errorf("stored as %s, %q", got.Status, got.Reason)
		}
		b.end()
	})
}
