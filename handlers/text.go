package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// ReplyTemplate answers every message with a named text, filled in with the variables given
// and those of the message: Body, From, To and Context. It panics if a variable is missing.
// Those that are given may be templates over [Data].
func ReplyTemplate(t *texts.Template, variables map[string]string) messaging.Handler {
	if t == nil {
		panic("handlers: ReplyTemplate has no template: is there one of this name in the set?")
	}
	f, err := newFilling(t, "", variables, Env{Where: "handlers.ReplyTemplate"})
	if err != nil {
		panic("handlers: ReplyTemplate: " + err.Error())
	}
	return f.wrap(ignore)
}

// TemplateOptions are the options of the handler that answers with a text of the
// configuration's templates.
//
// A text that lacks a value, or is longer than its template allows, makes the message a dead
// letter. A blank one sends nothing.
type TemplateOptions struct {
	// Name is the template's. Required.
	Name string `yaml:"name"`
	// Locale chooses the variant, such as es. Default: the text for all others.
	Locale string `yaml:"locale"`
	// Variables are the values of the template's, each a text or a template over [Data]. Body,
	// From, To and Context are those of the message unless they are here.
	Variables map[string]string `yaml:"variables"`
}

// SetScalar sets Name.
func (o *TemplateOptions) SetScalar(text string) error {
	o.Name = text
	return nil
}

// Middleware makes a middleware that answers messages and lets everything else pass.
func (o *TemplateOptions) Middleware(env Env) (messaging.Middleware, error) {
	t, err := env.template("name", o.Name)
	if err != nil {
		return nil, err
	}
	f, err := newFilling(t, o.Locale, o.Variables, env)
	if err != nil {
		return nil, err
	}
	return f.wrap, nil
}

// template finds a template of the configuration; key is the option that names it.
func (e Env) template(key, name string) (*texts.Template, error) {
	if name == "" {
		return nil, fmt.Errorf("%s: there is none: write the name of one of the templates", key)
	}
	t, err := e.Templates.Find(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return t, nil
}

// filling is a template that is ready to be filled in for a message.
type filling struct {
	template *texts.Template
	locale   string
	given    map[string]*Template
	brand    string
}

// ofMessage are the variables that every message has.
var ofMessage = []string{"Body", "From", "To", "Context"}

func newFilling(t *texts.Template, locale string, variables map[string]string, env Env) (*filling, error) {
	f := &filling{template: t, locale: locale, given: map[string]*Template{}, brand: env.Brand}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if !t.Uses(name) {
			return nil, fmt.Errorf("variables: the template %s has no variable %s: its own are %s", t.Name(), name, strings.Join(t.Variables(), ", "))
		}
		inner := env
		inner.Where = where(env) + ".variables." + name
		var err error
		if f.given[name], err = parseTemplate(variables[name], inner); err != nil {
			return nil, fmt.Errorf("variables: %s: %w", name, err)
		}
	}
	var missing []string
	for _, v := range t.Variables() {
		if f.given[v] == nil && !slices.Contains(ofMessage, v) {
			missing = append(missing, v)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("variables: the template %s needs %s: give each a value", t.Name(), strings.Join(missing, ", "))
	}
	return f, nil
}

func (f *filling) wrap(next messaging.Handler) messaging.Handler {
	return &pure{before: []messaging.Handler{next}, run: func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		if ev.Kind != messaging.KindMessage {
			return next.HandleEvent(ctx, w, ev)
		}
		return f.give(w, ev, matchFrom(ctx))
	}}
}

// give decides the reply to a message.
func (f *filling) give(w messaging.Responder, ev *messaging.Event, m *match) error {
	text, err := f.text(ev, m)
	if err == nil && text != "" {
		w.Reply(text)
	}
	return err
}

// text fills in the template for a message; empty if there is nothing to say.
func (f *filling) text(ev *messaging.Event, m *match) (string, error) {
	d := dataOf(ev, f.brand, m)
	vars := map[string]string{"Body": d.Body, "From": d.From, "To": d.To, "Context": d.Context}
	for name, t := range f.given {
		value, err := t.Execute(&d)
		if err != nil {
			return "", err
		}
		vars[name] = value
	}
	out, err := f.template.Render(f.locale, vars)
	if missing, ok := errors.AsType[*texts.MissingError](err); ok {
		// A message may have no text, and a regular expression's group nothing in it.
		return "", messaging.Drop(fmt.Errorf("%w, or make it optional in the template", missing))
	}
	return out.Body, messaging.Drop(err)
}
