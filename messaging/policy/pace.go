package policy

import (
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// paceRule keeps the rates, the caps and the budget. It is the last rule: what it lets go
// leaves.
type paceRule struct{ *Policy }

func (r paceRule) Ask(now time.Time, s *messaging.Send) messaging.Verdict {
	st := r.now.Load()
	a := st.ask(s)
	given, waited := r.promises.of(s.ID)
	if waited {
		a.Promised = given.at
		if !s.NotBefore.IsZero() && s.NotBefore.Before(given.at) {
			a.Promised = s.NotBefore // as the journal keeps it
		}
	}
	v := st.pacer.Reserve(now, a)
	if v.OK {
		if waited {
			r.promises.drop(s.ID)
			r.waits.WithLabelValues(string(a.Class)).Observe(now.Sub(given.since).Seconds())
		}
		return messaging.Verdict{}
	}
	if !waited {
		given.since = now
	}
	given.at = roundUp(v.At)
	r.promises.keep(s.ID, given)
	return messaging.Verdict{Status: messaging.StatusQueued, Reason: string(v.Reason), Rule: v.Rule, Until: given.at}
}

func (r paceRule) Release(at time.Time, s *messaging.Send) {
	st := r.now.Load()
	st.pacer.Cancel(at, st.ask(s))
}

// roundUp gives a time that stores keep as it is, which is to the millisecond, and that is
// not too early.
func roundUp(t time.Time) time.Time { return t.Add(time.Millisecond - 1).Truncate(time.Millisecond) }

// ask is what the pacer is to know of a send.
func (st *state) ask(s *messaging.Send) pace.Ask {
	class := st.class(s.From)
	a := pace.Ask{
		From: string(s.From), To: string(s.To), Class: pace.Class(class), Segments: 1, Media: len(s.Media) > 0,
		Priority: int(s.Priority), Category: string(s.Category),
	}
	if !a.Media {
		a.Segments = st.segments(class, s.Body)
	}
	return a
}

func (st *state) segments(class sms.Class, body string) int {
	if st.cfg.SmartEncoding {
		body, _ = sms.Smart(body)
	}
	return sms.Segments(body, sms.Options{Limits: class.Limits(), Prefix: st.cfg.Prefix})
}

// promise is what a send was told that has to wait.
type promise struct {
	at    time.Time // when to come back
	since time.Time // when it first had to wait
}

// promises are those of the sends that wait, in two generations. A send whose promise was
// forgotten waits behind those that are new.
type promises struct{ young, old map[uuid.UUID]promise }

// promisesMost bounds a generation.
const promisesMost = 50_000

func newPromises() promises { return promises{young: map[uuid.UUID]promise{}} }

func (ps *promises) of(id uuid.UUID) (promise, bool) {
	if g, ok := ps.young[id]; ok {
		return g, true
	}
	g, ok := ps.old[id]
	return g, ok
}

func (ps *promises) keep(id uuid.UUID, g promise) {
	if len(ps.young) >= promisesMost {
		ps.old, ps.young = ps.young, map[uuid.UUID]promise{}
	}
	ps.young[id] = g
	delete(ps.old, id)
}

func (ps *promises) drop(id uuid.UUID) {
	delete(ps.young, id)
	delete(ps.old, id)
}
