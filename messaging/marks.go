package messaging

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/signpost-sms/signpost/messaging/consent"
)

// The buckets of the engine's own values about conversations, whose keys are
// [Conversation.Key].
const (
	BucketQuestions = ownBuckets + "questions"
	BucketPauses    = ownBuckets + "pauses" // a pause lasts until the value expires
)

// Question is what a person was asked and has not answered.
type Question struct {
	Name      string // of the answer route
	AskedAt   time.Time
	ExpiresAt time.Time
	version   int64
}

// ErrPass is what the handler of an answer route returns for a text that is no answer: the
// question stays open, and the chain of the context has the message, with what was decided
// until then.
var ErrPass = errors.New("messaging: not an answer")

// AnswerTo is the question that the message in hand answers; false in every other run.
func AnswerTo(ctx context.Context) (Question, bool) {
	q, ok := ctx.Value(questionKey{}).(*Question)
	if !ok {
		return Question{}, false
	}
	return *q, true
}

type questionKey struct{}

// WithQuestion is a context in which AnswerTo gives q. It is for tests of handlers.
func WithQuestion(ctx context.Context, q Question) context.Context {
	return context.WithValue(ctx, questionKey{}, &q)
}

// Answerer is implemented by a handler, such as a router, that has answer routes. AnswerFor
// gives the chain of the route of that name for an event; nil if there is none, and then the
// question is ignored. It must be quick: it is called on the engine's goroutine.
type Answerer interface {
	AnswerFor(ev *Event, name string) Handler
}

// Attendant is implemented by a handler, such as a router, that wants to see what people
// write while their conversation is paused. PausedFor gives what runs for an event then; nil
// for nothing. It must be quick: it is called on the engine's goroutine.
type Attendant interface {
	PausedFor(ev *Event) Handler
}

// HandlerPaused is the name under which the journal shows what came during a pause.
const HandlerPaused = "paused"

const (
	// PauseMost is how long a pause lasts at most; it can be prolonged.
	PauseMost = 30 * 24 * time.Hour
	// pausesMost bounds how many conversations are paused at a time, marksMost how many have
	// a question open or are paused: beyond it some question is forgotten.
	pausesMost = 10_000
	marksMost  = 100_000
	// marksSwept is how often what has expired is looked for.
	marksSwept = time.Minute
)

func pausable(now, until time.Time) bool {
	return until.After(now) && !until.After(now.Add(PauseMost+time.Minute))
}

func pauseChange(c Conversation, until time.Time) *ValueChange {
	return &ValueChange{Bucket: BucketPauses, Key: c.Key(), Number: c.Theirs, Data: []byte{}, ExpiresAt: until}
}

// marks are what the engine knows of conversations beyond their messages: open questions and
// pauses. The journal has them too. A store with one owner is read once, at the start; of a
// shared one those of a conversation are read with each message of it, since another
// instance may have handled the last one.
type marks struct {
	loaded bool
	of     map[string]mark // by Conversation.Key
	paused int
	swept  time.Time
	// during are the conversations that changed here since a reading of a shared store began,
	// which it may not have seen; nil while there is none.
	during map[string]bool
}

type mark struct {
	question *Question
	until    time.Time // of a pause; zero if there is none
}

func (m mark) empty() bool { return m.question == nil && m.until.IsZero() }

// set notes a mark, or that there is none.
func (ms *marks) set(key string, m mark) {
	was := ms.of[key]
	if !was.until.IsZero() {
		ms.paused--
	}
	if m.empty() {
		delete(ms.of, key)
		return
	}
	if !m.until.IsZero() {
		ms.paused++
	}
	if ms.of == nil {
		ms.of = map[string]mark{}
	}
	if len(ms.of) >= marksMost && was.empty() {
		ms.forgetOne()
	}
	ms.of[key] = m
}

// forgetOne makes room by forgetting some question.
func (ms *marks) forgetOne() {
	for key, m := range ms.of {
		if m.until.IsZero() {
			delete(ms.of, key)
			return
		}
	}
}

// learn takes over a value of one of the two buckets.
func (ms *marks) learn(v *Value) {
	m := ms.of[v.Key]
	switch v.Bucket {
	case BucketQuestions:
		m.question = questionOf(v)
	case BucketPauses:
		m.until = v.ExpiresAt
	default:
		return
	}
	ms.set(v.Key, m)
}

// changed follows the commit of a change.
func (ms *marks) changed(c *ValueChange) {
	if c.Bucket != BucketQuestions && c.Bucket != BucketPauses || !c.Applied {
		return
	}
	if ms.during != nil {
		ms.during[c.Key] = true
	}
	if !c.Delete {
		v := c.value()
		ms.learn(&v)
		return
	}
	m := ms.of[c.Key]
	if c.Bucket == BucketQuestions {
		m.question = nil
	} else {
		m.until = time.Time{}
	}
	ms.set(c.Key, m)
}

// sweep forgets what has expired.
func (ms *marks) sweep(now time.Time) {
	if now.Sub(ms.swept) < marksSwept {
		return
	}
	ms.swept = now
	for key, m := range ms.of {
		was := m
		if m.question != nil && !m.question.ExpiresAt.After(now.Add(-marksSwept)) { // an answer that came in time may still wait
			m.question = nil
		}
		if !m.until.After(now) {
			m.until = time.Time{}
		}
		if m != was {
			ms.set(key, m)
		}
	}
}

// pausedAt reports whether a conversation is paused.
func (ms *marks) pausedAt(c Conversation, now time.Time) bool {
	return len(ms.of) > 0 && ms.of[c.Key()].until.After(now)
}

// questionTo is the question that a message may answer: one that was open when it came. Who
// wrote before the question was asked did not answer it.
func (ms *marks) questionTo(ev *Event) *Question {
	if len(ms.of) == 0 || ev.Kind != KindMessage {
		return nil
	}
	q := ms.of[ev.Conversation().Key()].question
	if q == nil || !q.ExpiresAt.After(ev.ReceivedAt) || ev.ReceivedAt.Before(q.AskedAt) {
		return nil
	}
	return q
}

// marked reports whether a conversation needs more than its chain.
func (ms *marks) marked(c Conversation) bool {
	if len(ms.of) == 0 {
		return false
	}
	_, ok := ms.of[c.Key()]
	return ok
}

// questionOf reads a stored question; nil if it cannot be read.
func questionOf(v *Value) *Question {
	at, name, ok := bytes.Cut(v.Data, []byte(" "))
	ms, err := strconv.ParseInt(string(at), 10, 64)
	if !ok || err != nil || len(name) == 0 {
		return nil
	}
	return &Question{Name: string(name), AskedAt: time.UnixMilli(ms).UTC(), ExpiresAt: v.ExpiresAt, version: v.Version}
}

// attend finds what runs for a message in a conversation that is paused or was asked
// something. HELP is no answer: the chain has it, and the built-in answer behind it.
func (e *Engine) attend(r *run, h Handler) Handler {
	ev := r.it.ev
	if ev.Kind != KindMessage || len(e.marks.of) == 0 {
		return h
	}
	if e.marks.pausedAt(ev.Conversation(), e.now) {
		Entered(r.resp, HandlerPaused)
		e.cfg.Metrics.pausedMessages.Inc()
		if a, ok := (*e.handler.Load()).(Attendant); ok {
			return a.PausedFor(ev)
		}
		return nil
	}
	q := e.marks.questionTo(ev)
	if q == nil || consent.Classify(ev.Body, consent.State{}).Kind == consent.Help {
		return h
	}
	if a, ok := (*e.handler.Load()).(Answerer); ok {
		if answer := a.AnswerFor(ev, q.Name); answer != nil {
			return answering{q, answer, h}
		}
	}
	e.cfg.Logger.Warn("nobody takes the answer to a question; the chain has the message", "context", ev.Context, "event_id", ev.ID, "question", q.Name)
	return h
}

// answering gives a message to an answer route first, and to the chain if it is no answer.
type answering struct {
	question      *Question
	answer, chain Handler
}

func (a answering) HandleEvent(ctx context.Context, w Responder, ev *Event) error {
	err := a.answer.HandleEvent(context.WithValue(ctx, questionKey{}, a.question), w, ev)
	switch {
	case errors.Is(err, ErrPass) && a.chain != nil:
		return a.chain.HandleEvent(ctx, w, ev)
	case errors.Is(err, ErrPass):
		return nil
	case err == nil:
		if r, ok := w.(*responder); ok {
			r.close(a.question.version)
		}
	}
	return err
}
