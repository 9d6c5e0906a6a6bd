package messaging

import (
	"context"
	"errors"
	"time"
)

// ErrValueChanged is returned when a value is not of the version that was expected; what is
// there now must be read, and the change decided anew.
var ErrValueChanged = errors.New("messaging: the value has been changed by somebody else: read it again")

// Values reads values as the journal has them.
func (e *Engine) Values(ctx context.Context, q ValueQuery) ([]Value, error) {
	r, ok := e.store.(ValueReader)
	if !ok {
		return nil, errNoValues
	}
	if q.Now.IsZero() {
		q.Now = time.Now()
	}
	return r.Values(ctx, q)
}

// Value reads one value. One that is not there has the Version [Absent].
func (e *Engine) Value(ctx context.Context, bucket, key string) (Value, error) {
	found, err := e.Values(ctx, ValueQuery{Bucket: bucket, Keys: []string{key}})
	if err != nil {
		return Value{}, err
	}
	if len(found) == 0 {
		return Value{Bucket: bucket, Key: key, Version: Absent}, nil
	}
	return found[0], nil
}

// SetValue changes values, each for itself, and returns once that is durable; the changes
// hold their results. [ErrValueChanged] if one of them was not applied. Buckets whose names
// begin with "signpost." are the engine's own.
func (e *Engine) SetValue(ctx context.Context, changes ...*ValueChange) error {
	now := time.Now()
	for _, c := range changes {
		if err := c.Check(now); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		return nil
	}
	err := e.await(ctx, func(done func(error)) {
		waits := len(changes)
		var first error
		for _, c := range changes {
			e.journal.value(&valuing{ValueChange: c, reply: func(err error) {
				if first == nil {
					first = err
				}
				if waits--; waits == 0 {
					done(first)
				}
			}})
		}
	})
	if err != nil {
		return err
	}
	for _, c := range changes {
		if !c.Applied {
			return ErrValueChanged
		}
	}
	return nil
}

// EnqueueWith is [Engine.Enqueue] together with changes of values: all of it happens, or
// nothing. [ErrValueChanged] if a change cannot be applied, and then nothing is sent.
func (e *Engine) EnqueueWith(ctx context.Context, s Send, changes ...*ValueChange) (Send, error) {
	now := time.Now()
	for _, c := range changes {
		if err := c.Check(now); err != nil {
			return Send{}, err
		}
	}
	all, err := e.EnqueueAll(ctx, []Send{s}, func(*Send) []*ValueChange { return changes })
	if err != nil {
		return Send{}, err
	}
	return all[0].Send.Shown(), all[0].Err
}

var errPausesFull = errors.New("messaging: too many conversations are paused; resume some, or let pauses end sooner")

// Pause hands a conversation to a person: until that time, at most [PauseMost] ahead, no
// chain runs for what is written in it. Opt-outs, opt-ins and HELP are answered all the
// same. It returns once that is durable; a handler that runs already is not stopped. Other
// instances of a shared store know of it at the next message.
func (e *Engine) Pause(ctx context.Context, c Conversation, until time.Time) error {
	if c.Ours == "" || c.Theirs == "" {
		return errors.New("a pause is of a conversation: say which number of yours and which person")
	}
	if !pausable(time.Now(), until) {
		return errPauseFor
	}
	return e.await(ctx, func(done func(error)) {
		if e.marks.paused >= pausesMost && !e.marks.pausedAt(c, e.now) {
			done(errPausesFull)
			return
		}
		e.journal.value(&valuing{ValueChange: pauseChange(c, until), reply: done})
	})
}

// Resume ends a pause. One that there is not is no mistake.
func (e *Engine) Resume(ctx context.Context, c Conversation) error {
	return e.SetValue(ctx, &ValueChange{Bucket: BucketPauses, Key: c.Key(), Delete: true})
}

// learnMarks reads the open questions and the pauses of a store with one owner, before
// anything is handled.
func (e *Engine) learnMarks() {
	r, ok := e.store.(ValueReader)
	if !ok || e.traits.Shared || !e.traits.Durable {
		e.marks.loaded = true
		return
	}
	e.journal.group.Go(func() {
		for _, bucket := range []string{BucketQuestions, BucketPauses} {
			for after, more := "", true; more; {
				page, err := e.readValues(r, ValueQuery{Bucket: bucket, Now: time.Now(), After: after, Limit: marksPage})
				if err != nil {
					return // the work is over
				}
				if more = len(page) == marksPage; more {
					after = page[len(page)-1].Key
				}
				e.post(func() {
					for i := range page {
						e.marks.learn(&page[i])
					}
				})
			}
		}
		e.post(func() { e.marks.loaded = true })
	})
}

// marksPage is how many values one reading brings.
const marksPage = 1000

// readValues reads until it succeeds or the work is over.
func (e *Engine) readValues(r ValueReader, q ValueQuery) ([]Value, error) {
	for wait := journalRetryFirst; ; wait = min(2*wait, journalRetryMost) {
		found, err := r.Values(e.reading, q)
		if err == nil {
			return found, nil
		}
		if e.reading.Err() == nil {
			e.cfg.Logger.Warn("questions and pauses cannot be read", "err", err)
		}
		select {
		case <-e.reading.Done():
			return nil, e.reading.Err()
		case <-time.After(wait):
		}
	}
}

// sharedMarks are the marks of some conversations as a shared store has them.
type sharedMarks struct {
	keys   []string
	values []Value
}

// readShared reads the marks of the conversations that messages came in; nil if there are
// none, or the work is over.
func (e *Engine) readShared(keys []string) *sharedMarks {
	r, ok := e.store.(ValueReader)
	if !ok || len(keys) == 0 {
		return nil
	}
	m := &sharedMarks{keys: keys}
	for _, bucket := range []string{BucketQuestions, BucketPauses} {
		found, err := e.readValues(r, ValueQuery{Bucket: bucket, Now: time.Now(), Keys: keys, Limit: len(keys)})
		if err != nil {
			return nil
		}
		m.values = append(m.values, found...)
	}
	return m
}

// relearn takes over what a shared store says of some conversations, but for those that
// changed here since it was asked.
func (ms *marks) relearn(m *sharedMarks, since map[string]bool) {
	if m == nil {
		return
	}
	for _, key := range m.keys {
		if !since[key] {
			ms.set(key, mark{})
		}
	}
	for i := range m.values {
		if !since[m.values[i].Key] {
			ms.learn(&m.values[i])
		}
	}
}

// conversations are those of a batch's fresh messages, as keys.
func (b *batch) conversations() (keys []string) {
	for _, a := range b.appends {
		if a.Fresh && a.Event.Kind == KindMessage {
			keys = append(keys, a.Event.Conversation().Key())
		}
	}
	return keys
}

// marksOf reads the marks of the conversations of messages that came out of a shared store.
func (e *Engine) marksOf(w *Work) *sharedMarks {
	if !e.traits.Shared {
		return nil
	}
	var keys []string
	for _, u := range w.Events {
		if u.Event.Kind == KindMessage {
			keys = append(keys, u.Event.Conversation().Key())
		}
	}
	return e.readShared(keys)
}

// decidedValues are the changes that a chain decided, without a pause for which there is no
// room.
func (e *Engine) decidedValues(ev *Event, cs []*ValueChange) []*ValueChange {
	if e.marks.paused < pausesMost || e.marks.pausedAt(ev.Conversation(), e.now) {
		return cs
	}
	for i, c := range cs {
		if c.Bucket == BucketPauses && !c.Delete {
			e.cfg.Logger.Error("a conversation is not paused: too many are already; resume some", "context", ev.Context, "event_id", ev.ID)
			return append(cs[:i:i], cs[i+1:]...)
		}
	}
	return cs
}
