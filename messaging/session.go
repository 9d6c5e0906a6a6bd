package messaging

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Session is what is remembered of a conversation, under keys, each with a time to live.
// Changes are stored in one transaction with the event's completion, or not at all; reads
// see what this run changed. It is for one run of a handler, as its Responder is.
//
// A handler that uses it is not pure; see [Instant].
type Session interface {
	// Get reads a value. The whole session is read at the first call. An error means that
	// the store cannot be read now: return it, and the event is tried again.
	Get(ctx context.Context, key string) (value string, ok bool, err error)
	// Set keeps a value for ttl, counted from now. Keys have at most MaxValueName bytes,
	// values MaxValueData, and a run changes at most 64 of them.
	Set(key, value string, ttl time.Duration)
	// Delete forgets a value. One that is not there is no mistake.
	Delete(key string)
}

// SessionBucket is the bucket of a conversation's [Session].
func SessionBucket(c Conversation) string { return ownBuckets + "session " + c.Key() }

// ownBuckets begins the names of the buckets that are the engine's.
const ownBuckets = "signpost."

// Key names a conversation in a bucket.
func (c Conversation) Key() string { return string(c.Ours) + " " + string(c.Theirs) }

const (
	// changesMost bounds what one run changes.
	changesMost = 64
	// sessionMost bounds what is read of a session.
	sessionMost = 1000
)

var (
	errNoValues = errors.New("messaging: the store keeps no values; every store must implement ValueReader")
	errEarly    = errors.New("messaging: an instant handler cannot read the session; the event is run again in its turn")
	errTTL      = errors.New("what is remembered needs a time to live above zero")
	errChanges  = fmt.Errorf("a handler changes at most %d values at once", changesMost)
	errQuestion = fmt.Errorf("a question needs a text, a name of at most %d bytes and a time to live above zero", MaxValueName)
	errPauseFor = fmt.Errorf("a pause ends in the future, and at most %d days from now", int(PauseMost/(24*time.Hour)))
)

// Session implements Responder.
func (r *responder) Session() Session { return (*session)(r) }

// session is a responder as a Session.
type session responder

func (s *session) Get(ctx context.Context, key string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = true
	bucket := SessionBucket(s.ev.Conversation())
	if c := (*responder)(s).changeOf(bucket, key); c != nil {
		return string(c.Data), !c.Delete, nil
	}
	if s.early {
		return "", false, errEarly
	}
	if s.stored == nil {
		if s.reader == nil {
			return "", false, errNoValues
		}
		found, err := s.reader.Values(ctx, ValueQuery{Bucket: bucket, Now: time.Now(), Limit: sessionMost})
		if err != nil {
			return "", false, fmt.Errorf("read the session: %w", err)
		}
		s.stored = make(map[string]string, len(found))
		for _, v := range found {
			s.stored[v.Key] = string(v.Data)
		}
	}
	value, ok := s.stored[key]
	return value, ok, nil
}

func (s *session) Set(key, value string, ttl time.Duration) {
	r := (*responder)(s)
	if ttl <= 0 {
		r.mistake(errTTL)
		return
	}
	r.keep(&ValueChange{Key: key, Data: []byte(value), ExpiresAt: time.Now().Add(ttl)}, SessionBucket(r.ev.Conversation()))
}

func (s *session) Delete(key string) {
	r := (*responder)(s)
	r.keep(&ValueChange{Key: key, Delete: true}, SessionBucket(r.ev.Conversation()))
}

// Ask implements Responder.
func (r *responder) Ask(question, name string, ttl time.Duration) {
	if question == "" || name == "" || len(name) > MaxValueName || ttl <= 0 {
		r.mistake(errQuestion)
		return
	}
	now := time.Now()
	q := &Question{Name: name, AskedAt: now}
	r.Reply(question)
	r.keep(&ValueChange{Key: r.ev.Conversation().Key(), Data: q.data(), ExpiresAt: now.Add(ttl)}, BucketQuestions)
}

// Pause implements Responder.
func (r *responder) Pause(until time.Time) {
	if !pausable(time.Now(), until) {
		r.mistake(errPauseFor)
		return
	}
	r.keep(pauseChange(r.ev.Conversation(), until), BucketPauses)
}

// Resume implements Responder.
func (r *responder) Resume() {
	r.keep(&ValueChange{Key: r.ev.Conversation().Key(), Delete: true}, BucketPauses)
}

// keep takes a change of a value of the event's conversation, in the place of an earlier one.
func (r *responder) keep(c *ValueChange, bucket string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return
	}
	r.late = true
	c.Bucket, c.Number = bucket, r.ev.Conversation().Theirs
	if c.Number == "" {
		r.err = errNobody
		return
	}
	if err := c.Check(time.Time{}); err != nil {
		r.err = err
		return
	}
	if old := r.changeOf(bucket, c.Key); old != nil {
		*old = *c
		return
	}
	if len(r.values) >= changesMost {
		r.err = errChanges
		return
	}
	r.values = append(r.values, c)
}

// changeOf is what the run changes of a value; nil if nothing. The caller holds the lock.
func (r *responder) changeOf(bucket, key string) *ValueChange {
	for _, c := range r.values {
		if c.Bucket == bucket && c.Key == key {
			return c
		}
	}
	return nil
}

// mistake fails the event for good when the handler returns.
func (r *responder) mistake(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sealed {
		r.late, r.err = true, err
	}
}

// close closes the question that the event has answered, unless another was asked.
func (r *responder) close(version int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.ev.Conversation()
	if !r.sealed && r.changeOf(BucketQuestions, c.Key()) == nil {
		r.values = append(r.values, &ValueChange{Bucket: BucketQuestions, Key: c.Key(), Number: c.Theirs, Delete: true, Expect: version})
	}
}

// data is a question as it is stored: when it was asked, in milliseconds, and its name.
func (q *Question) data() []byte {
	return append(strconv.AppendInt(nil, q.AskedAt.UnixMilli(), 10), " "+q.Name...)
}
