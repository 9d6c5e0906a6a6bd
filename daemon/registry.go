package daemon

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

// Handler gives a handler of your own a name under which the configuration can use it, as
// an item of a context's handlers: "- name" or "- name: options". It ends the chain.
//
// Options are decoded strictly into an O: a struct whose yaml tags name the keys, or any
// type with a short form, such as a string. If *O has a method SetDefaults(), it is called
// before. Use struct{} for a handler without options.
//
// Texts and words in the options are judged by "signpost check" in what their keys say they
// are: reply, text, body and greeting; question and reminder; template, notification and
// marketing; help_message, opt_out_message and opt_in_message; words (with match: regexp,
// expressions), choices and answers. Other keys are not looked at.
//
// build checks the options and makes the handler. It is called at every load of the
// configuration, by "signpost check" too, so that it must neither do I/O nor start anything.
// Its error becomes a finding at the place of the item; an error that begins with a key and
// a colon, such as "url: no host", at the place of the key. Handler panics if the name is
// empty, or that of a built-in handler or of an earlier option.
func Handler[O any](name string, build func(O) (messaging.Handler, error)) Option {
	return Middleware(name, func(opts O) (messaging.Middleware, error) {
		h, err := build(opts)
		if err != nil {
			return nil, err
		}
		if h == nil {
			return nil, errors.New("its factory returned no handler; return one, or an error")
		}
		return func(messaging.Handler) messaging.Handler { return h }, nil
	})
}

// Middleware is [Handler] for what may pass an event on to the items after it.
func Middleware[O any](name string, build func(O) (messaging.Middleware, error)) Option {
	return func(o *options) {
		o.registry.add(name, entry{newOptions: func() handlers.Options { return &userOptions[O]{build: build} }})
	}
}

// userOptions are the options of a registered factory.
type userOptions[O any] struct {
	value O
	build func(O) (messaging.Middleware, error)
}

// target is what the options are decoded into.
func (u *userOptions[O]) target() any { return &u.value }

// Middleware calls the factory.
func (u *userOptions[O]) Middleware(handlers.Env) (mw messaging.Middleware, err error) {
	defer func() {
		// A factory is somebody else's code, and "check" has to report all findings.
		if p := recover(); p != nil {
			mw, err = nil, fmt.Errorf("its factory panicked with a %T; this is a defect of the handler", p)
		}
	}()
	mw, err = u.build(u.value)
	if err == nil && mw == nil {
		err = errors.New("its factory returned no middleware; return one, or an error")
	}
	return mw, err
}

// entry is a handler that a configuration can name.
type entry struct {
	kind       messaging.Kind // what it serves; 0 for either
	newOptions func() handlers.Options
}

// registry is what names in a configuration mean. The zero registry has the built-in
// handlers; it is immutable once the options of a Main or New are applied.
type registry struct {
	entries map[string]entry
}

func (r *registry) fill() {
	if r.entries != nil {
		return
	}
	r.entries = make(map[string]entry)
	for name, b := range handlers.Builtins() {
		r.entries[name] = entry{kind: b.Kind, newOptions: b.New}
	}
}

func (r *registry) add(name string, e entry) {
	r.fill()
	if name == "" {
		panic("daemon: a handler needs a name: give it the name that the configuration should use")
	}
	if _, taken := r.entries[name]; taken {
		panic(fmt.Sprintf("daemon: there is a handler %q already: choose another name", name))
	}
	r.entries[name] = e
}

// names lists what can be used for messages or for states, sorted.
func (r *registry) names(kind messaging.Kind) []string {
	r.fill()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.entries)) {
		if e := r.entries[name]; e.kind == 0 || e.kind == kind {
			names = append(names, name)
		}
	}
	return names
}

// registryOf is the registry that the options describe.
func registryOf(opts []Option) *registry {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	r := o.registry
	r.fill()
	return &r
}
