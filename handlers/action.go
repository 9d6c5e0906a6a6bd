package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/signpost-sms/signpost/messaging"
)

// Action is what becomes of a word: a text, one of the templates, or a chain. Exactly one of
// Reply, Template, Chain and Handler is set; media go with a reply or alone.
type Action struct {
	// Reply is a text or a template over [Data]; what an action is that is written as a text.
	Reply string `yaml:"reply"`
	// Media are the addresses of the reply's attachments.
	Media []string `yaml:"media"`
	// Template names one of the templates; Locale and Variables are as in [TemplateOptions].
	Template  string            `yaml:"template"`
	Locale    string            `yaml:"locale"`
	Variables map[string]string `yaml:"variables"`
	// Chain takes the message.
	Chain Chain `yaml:"handlers"`

	// Handler takes the message; it is for Go.
	Handler messaging.Handler `yaml:"-"`
}

// SetScalar sets Reply.
func (a *Action) SetScalar(text string) error {
	a.Reply = text
	return nil
}

// middleware makes what the action does.
func (a *Action) middleware(env Env) (messaging.Middleware, error) {
	var made []messaging.Middleware
	if a.Reply != "" || len(a.Media) > 0 {
		answer, err := newAnswer("reply", a.Reply, a.Media, env)
		if err != nil {
			return nil, err
		}
		made = append(made, giving(answer.give))
	}
	if a.Template != "" {
		t, err := env.template("template", a.Template)
		if err != nil {
			return nil, err
		}
		f, err := newFilling(t, a.Locale, a.Variables, env)
		if err != nil {
			return nil, err
		}
		made = append(made, giving(f.give))
	}
	if a.Chain.Then != nil {
		made = append(made, a.Chain.Then)
	}
	if a.Handler != nil {
		made = append(made, func(messaging.Handler) messaging.Handler { return a.Handler })
	}
	switch {
	case len(made) == 0:
		return nil, errors.New("it does nothing: give it a text, a template, or handlers")
	case len(made) > 1:
		return nil, errors.New("it does several things: keep a text, a template, or handlers")
	}
	return made[0], nil
}

// giving makes a middleware of what answers a message.
func giving(give func(messaging.Responder, *messaging.Event, *match) error) messaging.Middleware {
	return func(messaging.Handler) messaging.Handler {
		return &pure{run: func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			return give(w, ev, matchFrom(ctx))
		}}
	}
}

// wordActions are actions by the words that people choose them with, folded.
type wordActions map[string]messaging.Middleware

// newWordActions reads the option key.
func newWordActions(key string, actions map[string]Action, env Env) (wordActions, error) {
	all := wordActions{}
	for _, word := range slices.Sorted(maps.Keys(actions)) {
		folded := Fold(word)
		if folded == "" {
			return nil, fmt.Errorf("%s: %q has nothing to match: write a word, a number or an emoji", key, word)
		}
		if all[folded] != nil {
			return nil, fmt.Errorf("%s: %s is there twice, once in another spelling: keep one", key, word)
		}
		a, inner := actions[word], env
		inner.Where = where(env) + "." + key + "." + word
		mw, err := a.middleware(inner)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", key, word, err)
		}
		all[folded] = mw
	}
	return all, nil
}

// wrap gives every action the handler that it may pass on to.
func (a wordActions) wrap(next messaging.Handler) map[string]messaging.Handler {
	made := make(map[string]messaging.Handler, len(a))
	for word, mw := range a {
		made[word] = mw(next)
	}
	return made
}
