package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Menu offers choices: a message that is one of the words goes to its handler, any other is
// answered with the text, at most once an hour in each conversation; see [MenuOptions]. It
// panics if the text or a word is wrong.
func Menu(text string, choices map[string]messaging.Handler) messaging.Middleware {
	o := MenuOptions{Text: text, Choices: map[string]Action{}}
	for word, h := range choices {
		o.Choices[word] = Action{Handler: h}
	}
	mw, err := o.Middleware(Env{Where: "handlers.Menu"})
	if err != nil {
		panic("handlers: Menu: " + err.Error())
	}
	return mw
}

// MenuOptions are the options of [Menu].
//
// Words are compared as those of [Keyword] are. A message without a text passes.
type MenuOptions struct {
	// Text offers the choices: a text or a template over [Data]. Required.
	Text string `yaml:"text"`
	// Words are what people may send to be shown Text, as often as they like: [MENU].
	Words []string `yaml:"words"`
	// Choices are what becomes of each word. Required.
	Choices map[string]Action `yaml:"choices"`
	// Unknown answers what is no choice. Default: Text.
	Unknown string `yaml:"unknown"`
	// Every is for how long what is no choice is answered once in a conversation; what else
	// comes meanwhile goes to the handlers after the menu. Default: 1h.
	Every Duration `yaml:"every"`
}

// Middleware makes the middleware.
func (o *MenuOptions) Middleware(env Env) (messaging.Middleware, error) {
	if len(o.Choices) == 0 {
		return nil, errors.New("choices: a menu needs at least one: write each word with its answer, such as {HOURS: \"9 to 5\"}")
	}
	if o.Every < 0 {
		return nil, fmt.Errorf("every: %v is negative: give it a positive duration such as 1h", time.Duration(o.Every))
	}
	text, err := newAnswer("text", o.Text, nil, env)
	if err != nil {
		return nil, err
	}
	m := &menu{text: text, unknown: text, shown: map[string]bool{}}
	if o.Unknown != "" {
		if m.unknown, err = newAnswer("unknown", o.Unknown, nil, env); err != nil {
			return nil, err
		}
	}
	if m.choices, err = newWordActions("choices", o.Choices, env); err != nil {
		return nil, err
	}
	for i, w := range o.Words {
		folded := Fold(w)
		switch {
		case folded == "":
			return nil, fmt.Errorf("words[%d]: %q has nothing to match: write a word, a number or an emoji", i, w)
		case m.choices[folded] != nil:
			return nil, fmt.Errorf("words[%d]: %s is one of the choices too: keep one of the two", i, w)
		}
		m.shown[folded] = true
	}
	m.once = allowance{key: nameOf("menu ", o.Text), times: 1, every: orDuration(o.Every, time.Hour)}
	return m.wrap, nil
}

type menu struct {
	text, unknown *answer
	choices       wordActions
	shown         map[string]bool
	once          allowance
}

func (m *menu) wrap(next messaging.Handler) messaging.Handler {
	choices := m.choices.wrap(next)
	p := &pure{before: []messaging.Handler{next}}
	for _, h := range choices {
		p.before = append(p.before, h)
	}
	p.run = func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		if ev.Kind != messaging.KindMessage {
			return next.HandleEvent(ctx, w, ev)
		}
		word := Fold(ev.Body)
		switch h := choices[word]; {
		case h != nil:
			return h.HandleEvent(ctx, w, ev)
		case m.shown[word]:
			return m.text.give(w, ev, matchFrom(ctx))
		case word == "":
			return next.HandleEvent(ctx, w, ev)
		}
		return answerRarely(ctx, w, ev, m.once, m.unknown, next)
	}
	return p
}

// answerRarely answers a message that nobody understood as long as that is allowed, and
// passes it on afterwards.
func answerRarely(ctx context.Context, w messaging.Responder, ev *messaging.Event, often allowance, a *answer, next messaging.Handler) error {
	// A run before the message's turn cannot read the session, and is run again in its turn.
	ok, err := often.take(ctx, w)
	if err != nil {
		return err
	}
	observeUnknown(ctx, ev.Context, ok)
	if !ok {
		return next.HandleEvent(ctx, w, ev)
	}
	return a.give(w, ev, matchFrom(ctx))
}
