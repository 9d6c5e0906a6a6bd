package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Unknown answers messages that no handler before it understood, at most so many times in
// every such time, by conversation; the others pass. See [UnknownOptions]. It panics if the
// text is wrong.
func Unknown(reply string, times int, every time.Duration) messaging.Middleware {
	mw, err := (&UnknownOptions{Reply: reply, Times: times, Every: Duration(every)}).Middleware(Env{Where: "handlers.Unknown"})
	if err != nil {
		panic("handlers: Unknown: " + err.Error())
	}
	return mw
}

// UnknownOptions are the options of [Unknown]. How many messages get so far is the metric
// signpost_unknown_messages_total, by context and by whether they were answered.
type UnknownOptions struct {
	// Reply is a text or a template over [Data]. Required.
	Reply string `yaml:"reply"`
	// Times is how often it is given within Every. Default: 1.
	Times int `yaml:"times"`
	// Every begins with the first answer. Default: 1h.
	Every Duration `yaml:"every"`
}

// SetScalar sets Reply.
func (o *UnknownOptions) SetScalar(text string) error {
	o.Reply = text
	return nil
}

// Middleware makes the middleware.
func (o *UnknownOptions) Middleware(env Env) (messaging.Middleware, error) {
	switch {
	case o.Times < 0:
		return nil, errors.New("times: it is negative: write 1 or more, or use ignore to stay silent")
	case o.Every < 0:
		return nil, fmt.Errorf("every: %v is negative: give it a positive duration such as 1h", time.Duration(o.Every))
	}
	a, err := newAnswer("reply", o.Reply, nil, env)
	if err != nil {
		return nil, err
	}
	often := allowance{key: nameOf("unknown ", o.Reply), times: max(o.Times, 1), every: orDuration(o.Every, time.Hour)}
	return func(next messaging.Handler) messaging.Handler {
		return &pure{before: []messaging.Handler{next}, run: func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind != messaging.KindMessage {
				return next.HandleEvent(ctx, w, ev)
			}
			return answerRarely(ctx, w, ev, often, a, next)
		}}
	}, nil
}
