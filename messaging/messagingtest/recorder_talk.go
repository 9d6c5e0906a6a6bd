package messagingtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Asked is a question that a handler asked.
type Asked struct {
	Text, Name string
	TTL        time.Duration
}

type remembered struct {
	value string
	until time.Time
}

// Ask implements messaging.Responder.
func (r *Recorder) Ask(question, name string, ttl time.Duration) {
	if question == "" || name == "" || ttl <= 0 {
		r.mistake(errAsk)
		return
	}
	r.Reply(question)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sealed {
		r.asked = append(r.asked, Asked{question, name, ttl})
	}
}

// Asked gives the questions that were asked, in order. Their texts are among the replies.
func (r *Recorder) Asked() []Asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// Pause implements messaging.Responder.
func (r *Recorder) Pause(until time.Time) {
	if now := time.Now(); !until.After(now) || until.After(now.Add(messaging.PauseMost+time.Minute)) {
		r.mistake(errPause)
		return
	}
	r.pause(until)
}

// Resume implements messaging.Responder.
func (r *Recorder) Resume() { r.pause(time.Time{}) }

func (r *Recorder) pause(until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sealed {
		r.pauses = append(r.pauses, until)
	}
}

// Pauses gives the ends of the pauses that were decided, in order; a zero time stands for a
// Resume.
func (r *Recorder) Pauses() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.pauses)
}

// Session implements messaging.Responder.
func (r *Recorder) Session() messaging.Session { return (*recordedSession)(r) }

// Remembered gives what the session holds now.
func (r *Recorder) Remembered() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]string{}
	for key, v := range r.session {
		if v.until.After(time.Now()) {
			found[key] = v.value
		}
	}
	return found
}

type recordedSession Recorder

func (s *recordedSession) Get(ctx context.Context, key string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.session[key]
	if !ok || !v.until.After(time.Now()) {
		return "", false, ctx.Err()
	}
	return v.value, true, ctx.Err()
}

func (s *recordedSession) Set(key, value string, ttl time.Duration) {
	if key == "" || len(key) > messaging.MaxValueName || len(value) > messaging.MaxValueData || ttl <= 0 {
		(*Recorder)(s).mistake(errSession)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sealed {
		if s.session == nil {
			s.session = map[string]remembered{}
		}
		s.session[key] = remembered{value, time.Now().Add(ttl)}
	}
}

func (s *recordedSession) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sealed {
		delete(s.session, key)
	}
}

func (r *Recorder) mistake(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sealed {
		r.err = err
	}
}

var (
	errAsk     = errors.New("messagingtest: a question needs a text, a name and a time to live above zero")
	errPause   = errors.New("messagingtest: a pause ends in the future, and no later than messaging.PauseMost from now")
	errSession = errors.New("messagingtest: a value of a session has a key and a time to live above zero, and keeps the bounds of package messaging")
)

// Talk runs a handler on one message of a conversation after the other, as the engine does:
// what a run remembered in the session is there for the next one. The zero value is a new
// conversation.
type Talk struct {
	session map[string]remembered
}

// Run is RunContext with the session of the conversation. What a run that failed remembered
// is gone.
func (t *Talk) Run(ctx context.Context, h messaging.Handler, ev *messaging.Event) (*Recorder, error) {
	r := &Recorder{session: map[string]remembered{}}
	for key, v := range t.session {
		r.session[key] = v
	}
	err := run(ctx, h, r, ev)
	if err == nil {
		t.session = r.session
	}
	return r, err
}
