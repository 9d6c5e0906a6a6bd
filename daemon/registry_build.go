package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp/syntax"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// HandlerConfig is one item of a chain: a handler by its name, with options.
type HandlerConfig struct {
	Name  string
	Place Place

	key     string     // contexts.support.handlers[1]
	options *yaml.Node // nil for none
	doc     *document
}

// decode reads "name" or "{name: options}".
func (h *HandlerConfig) decode(d *decoder, n *yaml.Node, key string) {
	*h = HandlerConfig{Place: d.doc.place(n), key: key, doc: d.doc}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	const mend = "write the name of a handler, or name: options"
	switch {
	case n.Kind == yaml.ScalarNode && !isNull(n):
		if !d.unsetBelow(n, key) {
			h.Name = n.Value
		}
	case n.Kind != yaml.MappingNode || len(n.Content) == 0:
		d.bad(n, key, "bad-handler", "an item of a chain is "+shape(n)+" and not a handler", mend)
	case len(n.Content) > 2:
		mend := `begin each handler with a dash of its own: "- name: options"`
		if isNull(n.Content[1]) {
			mend = fmt.Sprintf("indent the options of %s further than its name", n.Content[0].Value)
		}
		var names []string
		d.pairs(n, key, func(name string, _, _ *yaml.Node) { names = append(names, name) })
		d.bad(n, key, "bad-handler", "an item of a chain has several keys: "+strings.Join(names, ", "), mend)
	default:
		d.pairs(n, key, func(name string, _, v *yaml.Node) { h.Name, h.options = name, v })
	}
}

// builder builds chains of handlers.
type builder struct {
	registry *registry
	report   func(Finding)
}

// chain builds the items of a chain that serves a kind of event. Items that cannot be built
// are reported and left out.
func (b *builder) chain(items []HandlerConfig, kind messaging.Kind, env handlers.Env) []messaging.Middleware {
	var chain []messaging.Middleware
	for _, item := range items {
		if item.Name == "" {
			continue // was reported when it was decoded
		}
		if mw := b.item(item, kind, env); mw != nil {
			chain = append(chain, named(item, mw))
		}
	}
	return chain
}

// named gives a link of a chain its place in the configuration for a name, under which the
// journal shows who decided.
func named(item HandlerConfig, mw messaging.Middleware) messaging.Middleware {
	name := item.key + "." + item.Name
	if parts := strings.SplitN(name, ".", 3); len(parts) == 3 { // the context is known
		name = parts[2]
	}
	return func(next messaging.Handler) messaging.Handler { return messaging.Named(name, mw(next)) }
}

func (b *builder) item(item HandlerConfig, kind messaging.Kind, env handlers.Env) messaging.Middleware {
	bad := func(rule, message, mend string) {
		b.report(Finding{SeverityError, item.Place, rule, item.key, message, mend})
	}
	e, ok := b.registry.entries[item.Name]
	if !ok {
		names := b.registry.names(kind)
		message, mend := unknownKey("handler", item.Name, names)
		if nearest(item.Name, names) != "" {
			mend += " The handlers are " + strings.Join(names, ", ")
		}
		bad("unknown-handler", message, mend)
		return nil
	}
	switch {
	case e.kind == messaging.KindState && kind == messaging.KindMessage:
		bad("wrong-chain", fmt.Sprintf("%s serves delivery states and stands among the handlers of messages", item.Name), `move it to the "states" of the context`)
		return nil
	case e.kind == messaging.KindMessage && kind == messaging.KindState:
		bad("wrong-chain", fmt.Sprintf("%s serves messages and stands among the states", item.Name), `move it to the "handlers" of the context`)
		return nil
	}
	failed := false
	o := &optionsReader{
		builder: b, item: item, kind: kind, env: env, options: e.newOptions(),
		decoder: decoder{doc: item.doc, report: func(f Finding) {
			failed = failed || f.Severity == SeverityError
			b.report(f)
		}},
	}
	o.env.Where = item.key
	o.chain = func(n *yaml.Node, key string) messaging.Middleware { return o.inner(n, key, o.env) }
	o.read()
	if failed {
		return nil // more would be said about options that were never read
	}
	mw, err := o.options.Middleware(o.env)
	if err != nil {
		o.explain(err)
		return nil
	}
	return mw
}

// optionsReader reads the options of one item.
type optionsReader struct {
	decoder

	builder *builder
	item    HandlerConfig
	kind    messaging.Kind
	env     handlers.Env
	options handlers.Options
	node    *yaml.Node // of the options; nil for none
}

// read decodes the options, and builds the chain nested in them.
func (o *optionsReader) read() {
	var target any = o.options
	if user, ok := o.options.(interface{ target() any }); ok {
		target = user.target()
	}
	if d, ok := target.(interface{ SetDefaults() }); ok {
		d.SetDefaults()
	}
	v, key := reflect.ValueOf(target).Elem(), o.item.key+"."+o.item.Name
	short, hasShort := target.(interface{ SetScalar(text string) error })

	n := o.item.options
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	o.node = n
	switch empty := n == nil || isNull(n); {
	case empty && hasShort, !empty && n.Kind == yaml.ScalarNode && hasShort:
		o.scalar(short, n, key)
	case empty:
	case n.Kind == yaml.MappingNode && v.Kind() == reflect.Struct:
		o.long(n, v, key)
	default:
		if v.Kind() == reflect.Struct && n.Kind != yaml.MappingNode {
			var known []string
			for _, f := range fieldsOf(v.Type()) {
				known = append(known, f.name)
			}
			mend := "write it without a value"
			if len(known) > 0 {
				mend = "write its options as keys with values: " + strings.Join(known, ", ")
			}
			o.bad(n, key, "wrong-type", fmt.Sprintf("the options of %s are %s", o.item.Name, shape(n)), mend)
			return
		}
		o.decode(n, v, key)
	}
}

// scalar reads the short form, such as "reply: text".
func (o *optionsReader) scalar(short interface{ SetScalar(text string) error }, n *yaml.Node, key string) {
	text := ""
	if n != nil && !isNull(n) {
		if o.unsetBelow(n, key) {
			return
		}
		text = n.Value
	}
	if err := short.SetScalar(text); err != nil {
		o.explain(err)
	}
}

// long reads the options as a mapping, with the nested chain taken out.
func (o *optionsReader) long(n *yaml.Node, v reflect.Value, key string) {
	nester, nests := o.options.(handlers.Nester)
	var nested *yaml.Node
	if nests {
		rest := *n
		rest.Content = nil
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == nestedKey && nested == nil {
				nested = n.Content[i+1]
				continue
			}
			rest.Content = append(rest.Content, n.Content[i], n.Content[i+1])
		}
		n = &rest
	}
	o.structure(n, v, key)
	if nested == nil {
		return
	}
	env, err := nester.NestedEnv(o.env)
	if err != nil {
		o.explain(err)
		return
	}
	if chain := o.inner(nested, key+"."+nestedKey, env); chain != nil {
		nester.SetNested(chain)
	}
}

// inner builds a chain within the options; nil, with a finding, for none.
func (o *optionsReader) inner(n *yaml.Node, key string, env handlers.Env) messaging.Middleware {
	var items []HandlerConfig
	o.decode(n, reflect.ValueOf(&items).Elem(), key)
	if len(items) == 0 {
		o.bad(n, parentKey(key), "no-handlers", "the nested chain has no handlers", "list at least one, or remove the key")
		return nil
	}
	inner := builder{registry: o.builder.registry, report: o.report}
	return compose(inner.chain(items, o.kind, env))
}

// nestedKey is the key of a chain within the options of a handler.
const nestedKey = "handlers"

// compose makes one middleware of a chain.
func compose(chain []messaging.Middleware) messaging.Middleware {
	return func(next messaging.Handler) messaging.Handler {
		for _, mw := range slices.Backward(chain) {
			next = mw(next)
		}
		return next
	}
}

// explain reports the error of a handler about its options, at the key that it begins with.
func (o *optionsReader) explain(err error) {
	if errors.Is(err, texts.ErrBroken) {
		return // it was reported where the template stands
	}
	text := err.Error()
	p, key := o.item.Place, o.item.key+"."+o.item.Name
	if o.node != nil && !isNull(o.node) {
		p = o.doc.place(o.node)
	}
	if name, _, ok := strings.Cut(text, ":"); ok {
		if n := childAt(o.node, name); n != nil {
			p, key = o.doc.place(n), key+"."+name
		}
	}
	rule := "handler-options"
	var expression *syntax.Error
	if errors.As(err, &expression) {
		rule = "bad-regexp"
	}
	o.report(Finding{SeverityError, p, rule, key, o.item.Name + ": " + text, ""})
}

// childAt finds the value of a key such as words[1] in a mapping; nil if there is none.
func childAt(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	name, index, indexed := strings.Cut(key, "[")
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != name {
			continue
		}
		v := n.Content[i+1]
		for v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		var at int
		if !indexed {
			return v
		}
		if _, err := fmt.Sscanf(index, "%d]", &at); err == nil && v.Kind == yaml.SequenceNode && 0 <= at && at < len(v.Content) {
			return v.Content[at]
		}
		return v
	}
	return nil
}

// context builds the chains of one context, and what its handlers need besides them.
func (b *builder) context(c *Config, name string, log *slog.Logger) (messages, states []messaging.Middleware, routes *handlers.Routes) {
	templates, _ := c.texts() // what is wrong with one was reported where it stands
	env := handlers.Env{Brand: c.Brand, Logger: log, Templates: templates, Routes: new(handlers.Routes)}
	ctx := c.Contexts[name]
	messages = b.chain(ctx.Handlers, messaging.KindMessage, env)
	states = b.chain(ctx.States, messaging.KindState, env)
	return slices.Concat(env.Routes.First(), messages), states, env.Routes
}

// addContexts registers the configured contexts with r, handlers built anew. It cannot fail
// for a configuration that LoadConfig gave: that has built the same before.
func (c *Config) addContexts(r *contexts.Router, log *slog.Logger) error {
	var found Findings
	b := builder{registry: c.registry, report: func(f Finding) { found = append(found, f) }}
	if b.registry == nil {
		b.registry = registryOf(nil)
	}
	for _, name := range c.ContextNames() {
		messages, states, routes := b.context(c, name, log)
		r.Context(name, func(r *contexts.Router) {
			// Who is through all handlers wanted nothing: the event is complete.
			nobody := messaging.Named("", handlers.Ignore())
			r.With(messages...).OnMessage(nobody)
			if len(states) > 0 {
				r.With(states...).OnState(nobody)
			}
			for question, h := range routes.Answers() {
				r.Answer(question, messaging.Named("answer to "+question, h))
			}
			if h := routes.Paused(); h != nil {
				r.Paused(h)
			}
		})
	}
	return found.Err()
}
