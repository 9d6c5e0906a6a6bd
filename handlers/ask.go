package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// AskOptions describe a question with the answers that are expected: the options of the
// handler ask, and in Go of [NewQuestion].
//
// The question is open until it is answered, for TTL at most, and until another is asked in
// the same conversation. An answer is taken wherever in the context the question was asked;
// any other message goes its ordinary way, and the question stays open. HELP, STOP and START
// are never answers.
type AskOptions struct {
	// Question is a text or a template over [Data]. Required.
	Question string `yaml:"question"`
	// Name is what the question is kept under while it is open. Default: made of Question, so
	// that whoever was asked in other words is not answered.
	Name string `yaml:"name"`
	// TTL is how long an answer is waited for. Default: 1h.
	TTL Duration `yaml:"ttl"`
	// Answers are what becomes of each word that is expected.
	Answers map[string]Action `yaml:"answers"`
	// Chain takes what is none of the words. What it passes on was no answer.
	Chain Chain `yaml:"handlers"`
	// Otherwise answers what is no answer, in the place of the context's other handlers; the
	// question stays open.
	Otherwise string `yaml:"otherwise"`
}

// Question is a question that can be asked; see [NewQuestion].
type Question struct {
	name    string
	text    *answer
	ttl     time.Duration
	answers wordActions
	then    messaging.Middleware
	other   *answer
}

// NewQuestion makes a question. Register its answers with the context that asks it:
//
//	r.Context("support", func(r *contexts.Router) {
//		r.With(handlers.Keyword("BOOK", q.Ask())).OnMessage(handlers.Ignore())
//		r.Answer(q.Name(), q.Answer())
//	})
func NewQuestion(o AskOptions) (*Question, error) {
	return o.question(Env{Where: "handlers.NewQuestion"})
}

func (o *AskOptions) question(env Env) (*Question, error) {
	if len(o.Answers) == 0 && o.Chain.Then == nil {
		return nil, errors.New("answers: a question needs at least one: write each word with what becomes of it, or handlers that take the answer")
	}
	if o.TTL < 0 {
		return nil, fmt.Errorf("ttl: %v is negative: give it a positive duration such as 1h", time.Duration(o.TTL))
	}
	if len(o.Name) > messaging.MaxValueName {
		return nil, fmt.Errorf("name: it has more than %d bytes: shorten it", messaging.MaxValueName)
	}
	q := &Question{name: o.Name, ttl: orDuration(o.TTL, time.Hour), then: o.Chain.Then}
	if q.name == "" {
		q.name = nameOf("ask ", o.Question)
	}
	var err error
	if q.text, err = newAnswer("question", o.Question, nil, env); err != nil {
		return nil, err
	}
	if o.Otherwise != "" {
		if q.other, err = newAnswer("otherwise", o.Otherwise, nil, env); err != nil {
			return nil, err
		}
	}
	q.answers, err = newWordActions("answers", o.Answers, env)
	return q, err
}

// Middleware makes a middleware that asks, and registers the answers with the context.
func (o *AskOptions) Middleware(env Env) (messaging.Middleware, error) {
	q, err := o.question(env)
	if err != nil {
		return nil, err
	}
	if env.Routes == nil {
		return nil, errors.New("ask has no context to register its answers with: in Go use handlers.NewQuestion")
	}
	if !env.Routes.addAnswer(q.name, q.Answer()) {
		return nil, errors.New("name: another question of this context has this name, or the same text: give each a name of its own")
	}
	return func(next messaging.Handler) messaging.Handler {
		ask := q.Ask()
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind != messaging.KindMessage {
				return next.HandleEvent(ctx, w, ev)
			}
			return ask.HandleEvent(ctx, w, ev)
		})
	}, nil
}

// Name is what the answers are registered under.
func (q *Question) Name() string { return q.name }

// Ask is the handler that asks.
func (q *Question) Ask() messaging.Handler {
	return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		text, err := q.text.fill(ev, matchFrom(ctx))
		if err == nil && text == "" {
			err = messaging.Drop(errors.New("ask: the question is blank for this message: make it say something for any"))
		}
		if err == nil {
			w.Ask(text, q.name, q.ttl)
		}
		return err
	})
}

// Answer is the handler of the answers.
func (q *Question) Answer() messaging.Handler {
	pass := messaging.Handler(messaging.HandlerFunc(q.noAnswer))
	answers := q.answers.wrap(pass)
	then := pass
	if q.then != nil {
		then = q.then(pass)
	}
	return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		if h := answers[Fold(ev.Body)]; h != nil {
			return h.HandleEvent(ctx, w, ev)
		}
		return then.HandleEvent(ctx, w, ev)
	})
}

// noAnswer leaves the question open.
func (q *Question) noAnswer(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	if q.other == nil {
		return messaging.ErrPass
	}
	text, err := q.other.fill(ev, matchFrom(ctx))
	if err != nil {
		return err
	}
	open, ok := messaging.AnswerTo(ctx)
	left := time.Until(open.ExpiresAt)
	if !ok || left <= 0 {
		return messaging.ErrPass
	}
	if text == "" {
		return messaging.ErrPass
	}
	w.Ask(text, q.name, left) // which leaves it open for as long as it was
	return nil
}
