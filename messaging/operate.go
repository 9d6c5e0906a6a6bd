package messaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Resolution is an operator's word on a doubt.
type Resolution string

// The resolutions.
const (
	ResolveAccepted Resolution = "accepted" // the person has it
	ResolveResend   Resolution = "resend"   // the person does not have it: send it again, through the gate
	ResolveFailed   Resolution = "failed"   // the person does not have it, and need not
)

var (
	// ErrNotHere is returned for what another instance owns; ask that one.
	ErrNotHere = errors.New("messaging: another instance holds it")
	// ErrTooLate is returned when what was to be changed has gone on.
	ErrTooLate = errors.New("messaging: too late, it has gone on")
)

// revive asks for an operator's word on a dead letter to be written and waits for it.
func (e *Engine) revive(ctx context.Context, r *Revive) error {
	return e.await(ctx, func(done func(error)) {
		e.journal.revive(&reviving{Revive: r, reply: done})
	})
}

// Replay runs the chain of a dead letter again, as the chain is now. It returns once that
// is sure to happen. [ErrUnknown] if the id names no dead letter.
func (e *Engine) Replay(ctx context.Context, eventID string) error {
	return e.revive(ctx, &Revive{EventID: eventID})
}

// Drop lets a dead letter go. [ErrUnknown] if the id names none.
func (e *Engine) Drop(ctx context.Context, eventID string) error {
	return e.revive(ctx, &Revive{EventID: eventID, Drop: true})
}

// await runs f on the engine's goroutine and waits until done is called.
func (e *Engine) await(ctx context.Context, f func(done func(error))) error {
	result := make(chan error, 1)
	e.post(func() {
		if e.draining {
			result <- errNotTaken
			return
		}
		f(func(err error) { result <- err })
	})
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// revived follows the commit of a Revive.
func (e *Engine) revived(r *reviving) {
	switch {
	case !r.Done:
		r.reply(ErrUnknown)
		return
	case r.Unheld:
		e.spill.dirty = true
	case r.Event == nil:
	case e.spill.on && r.Event.Seq > e.spill.cursor:
		e.spill.dirty = true // paging has it before it
	default:
		e.account(r.Event)
		it := newItem(r.Event)
		t := e.talkOf(r.Event)
		t.queue.push(it)
		e.hold(t, it)
	}
	r.reply(nil)
}

// account makes this process account for an inbound that came out of the store.
func (e *Engine) account(ev *Event) {
	if ev.Kind == KindMessage {
		e.tallies.received++
		e.tallies.waiting++
	}
}

// Cancel takes back a send that has not left. [ErrUnknown] if there is none, [ErrTooLate] if
// it is claimed, in doubt or final.
func (e *Engine) Cancel(ctx context.Context, send uuid.UUID) error {
	err := e.await(ctx, func(done func(error)) { e.cancel(send, done) })
	if errors.Is(err, ErrTooLate) {
		if _, gone := e.record(ctx, send); gone != nil {
			return gone
		}
	}
	return err
}

func (e *Engine) cancel(send uuid.UUID, done func(error)) {
	f := e.out.queued[send]
	if f != nil {
		if f.phase != phaseQueued && f.phase != phaseDeferred || f.talk.busy == f {
			done(ErrTooLate)
			return
		}
		f.alarm.cancel()
		e.out.take(f)
		f.phase = phaseClaimed
	}
	e.journal.claim(&claiming{
		Claim:  &Claim{SendID: send, Status: StatusCancelled, Reason: "operator"},
		flight: f, reply: done,
	})
}

// Resolve ends a doubt. [ErrUnknown] if the id names no send, [ErrTooLate] if it is not in
// doubt any more, [ErrNotHere] if another instance holds it.
func (e *Engine) Resolve(ctx context.Context, send uuid.UUID, r Resolution) error {
	switch r {
	case ResolveAccepted, ResolveResend, ResolveFailed:
	default:
		return fmt.Errorf("a doubt is resolved as %s, %s or %s, not as %q", ResolveAccepted, ResolveResend, ResolveFailed, r)
	}
	err := e.await(ctx, func(done func(error)) { e.resolveAs(send, r, nil, done) })
	if !errors.Is(err, ErrTooLate) {
		return err
	}
	// Not in memory: the journal may have it all the same.
	stored, gone := e.record(ctx, send)
	if gone != nil {
		return gone
	}
	if stored.Status != StatusInDoubt || len(stored.Attempts) == 0 {
		return ErrTooLate
	}
	if e.traits.Shared {
		return ErrNotHere
	}
	last := stored.Attempts[len(stored.Attempts)-1]
	d := &Doubt{Attempt: last.Attempt, Send: stored.Send, Outcome: OutcomeInDoubt, Since: last.Since}
	return e.await(ctx, func(done func(error)) { e.resolveAs(send, r, d, done) })
}

// resolveAs does what the operator says about a doubt. Otherwise is the doubt as the journal
// knows it, for one that is not in memory.
func (e *Engine) resolveAs(send uuid.UUID, as Resolution, otherwise *Doubt, done func(error)) {
	f := e.doubtOf(send)
	if f == nil && otherwise != nil {
		e.out.adopt(e, otherwise)
		e.out.forgotten = max(e.out.forgotten-1, 0)
		f = e.doubtOf(send)
	}
	if f == nil {
		done(ErrTooLate)
		return
	}
	e.cfg.Logger.Info("doubt settled by the operator", "context", f.out.Context, "send_id", f.out.ID, "as", string(as))
	r := &Report{SendID: send, AttemptID: f.attempt.ID, Outcome: OutcomeAbsent, Reason: "the operator says so"}
	switch as {
	case ResolveAccepted:
		r.Outcome, r.Status = OutcomeAccepted, StatusAccepted
		e.resolve(f)
	case ResolveResend:
		r.Status = StatusQueued
		f.phase = phaseClaimed
		f.alarm.cancel()
		e.out.doubting--
	default:
		r.Status = StatusFailed
		e.out.finish(e, f, StatusFailed, "operator")
	}
	e.journal.report(&reporting{Report: r, flight: f, reply: done})
}

// doubtOf finds the doubt about a send; nil if there is none in memory.
func (e *Engine) doubtOf(send uuid.UUID) *flight {
	for _, f := range e.out.doubts {
		if f.out.ID == send && f.phase == phaseDoubt {
			return f
		}
	}
	return nil
}

// record reads a send from the journal.
func (e *Engine) record(ctx context.Context, send uuid.UUID) (*SendRecord, error) {
	archive, ok := e.store.(Archive)
	if !ok {
		return nil, ErrTooLate
	}
	life, err := archive.Life(ctx, send.String())
	if err != nil {
		return nil, err
	}
	for _, s := range life.Sends {
		if s.Send.ID == send {
			return s, nil
		}
	}
	return nil, ErrUnknown
}

// SetConsent writes changes of consent into the ledger, in one transaction, and fills in
// their results. From the call on nothing is sent to a number that a ConsentStop names. It
// is for what reaches the operator by other ways: calls, forms, lists. Up to 1,000 changes
// make one transaction; a longer list is several.
func (e *Engine) SetConsent(ctx context.Context, changes ...*ConsentChange) error {
	const most = 1000
	for len(changes) > 0 {
		n := min(len(changes), most)
		if err := e.setConsent(ctx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

func (e *Engine) setConsent(ctx context.Context, changes []*ConsentChange) error {
	for _, c := range changes {
		if c.Number == "" {
			return errors.New("a change of consent needs the person's Number")
		}
		switch c.Verb {
		case ConsentStop, ConsentStart, ConsentReview, ConsentKeep:
		default:
			return errors.New("a change of consent is a stop, a start, a review or a keep")
		}
	}
	return e.await(ctx, func(done func(error)) {
		waits := len(changes)
		var first error
		wired := e.out.allWired()
		for _, c := range changes {
			if c.Verb == ConsentStop {
				c.Crossing = wired[c.Number]
			}
			e.standing.begin(c.Number, c.Verb)
			e.journal.consent(&consenting{ConsentChange: c, reply: func(err error) {
				e.standing.end(c.Number, c.Verb)
				if first == nil {
					first = err
				}
				if waits--; waits == 0 {
					done(first)
				}
			}})
		}
	})
}
