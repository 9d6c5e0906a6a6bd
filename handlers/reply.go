package handlers

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
)

// Reply answers every message with a text, which may be a template over [Data]. It panics
// if the template is wrong: the text is yours and part of the program. Never build it from
// what people write; refer to that with {{.Body}}.
//
// A template whose result is blank sends nothing. Reply does not answer delivery states: the
// answer would have states of its own, and those be answered again. A result of more than
// [MaxReply] characters is cut there and ends with an ellipsis, and a warning is logged:
// whoever wrote gets an answer all the same.
func Reply(text string) messaging.Handler {
	mw, err := (&ReplyOptions{Text: text}).Middleware(Env{Where: "handlers.Reply"})
	if err != nil {
		panic("handlers: Reply: " + err.Error())
	}
	return mw(ignore)
}

// ReplyOptions are the options of [Reply].
type ReplyOptions struct {
	// Text is a text or a template over [Data]. It may be empty if there is media.
	Text string `yaml:"text"`
	// Media are the addresses of the attachments; the platform takes up to 8.
	Media []string `yaml:"media"`
}

// Middleware makes a middleware that answers messages and lets everything else pass.
func (o *ReplyOptions) Middleware(env Env) (messaging.Middleware, error) {
	a, err := newAnswer("text", o.Text, o.Media, env)
	if err != nil {
		return nil, err
	}
	return func(next messaging.Handler) messaging.Handler {
		// next counts because states reach it, though no message does.
		return &pure{before: []messaging.Handler{next}, run: func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind != messaging.KindMessage {
				return next.HandleEvent(ctx, w, ev)
			}
			return a.give(w, ev, matchFrom(ctx))
		}}
	}, nil
}

// SetScalar sets Text.
func (o *ReplyOptions) SetScalar(text string) error {
	o.Text = text
	return nil
}

// answer is a reply that is ready to be given.
type answer struct {
	text  *Template // nil for media alone
	media []string
	brand string
}

// newAnswer reads a reply; key is what its text is called in the options.
func newAnswer(key, text string, media []string, env Env) (*answer, error) {
	a := &answer{media: slices.Clip(slices.Clone(media)), brand: env.Brand}
	for i, m := range media {
		if u, err := url.Parse(m); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("media[%d]: not a web address: give the full http or https URL of the file", i)
		}
	}
	if text == "" && len(media) > 0 {
		return a, nil
	}
	var err error
	if a.text, err = parseTemplate(text, env); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return a, nil
}

// give decides the reply to a message.
func (a *answer) give(w messaging.Responder, ev *messaging.Event, m *match) error {
	text, err := a.fill(ev, m)
	if err != nil {
		return err
	}
	switch {
	case len(a.media) > 0:
		w.ReplyMedia(text, a.media...)
	case strings.TrimSpace(text) != "":
		w.Reply(text)
	}
	return nil
}

func (a *answer) fill(ev *messaging.Event, m *match) (string, error) {
	switch {
	case a.text == nil:
		return "", nil
	case a.text.full == nil:
		return a.text.static, nil
	case a.text.segments != nil:
		d := dataOf(ev, a.brand, m) // stays on the stack
		return a.text.join(&d)
	}
	d := dataOf(ev, a.brand, m)
	return a.text.run(&d)
}

func dataOf(ev *messaging.Event, brand string, m *match) Data {
	d := Data{
		Body: ev.Body, From: string(ev.From), To: string(ev.To), Context: ev.Context,
		Brand: brand, Media: ev.Media, ReceivedAt: ev.ReceivedAt,
	}
	if m != nil {
		d.Match, d.Groups = m.all, m.named
	}
	return d
}

// match is what a keyword's regular expression found.
type match struct {
	all   []string
	named map[string]string
}

type matchKey struct{}

func (matchKey) String() string { return "handlers: the match of an enclosing keyword" }

func matchFrom(ctx context.Context) *match {
	m, _ := ctx.Value(matchKey{}).(*match)
	return m
}
