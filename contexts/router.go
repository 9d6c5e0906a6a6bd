package contexts

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/signpost-sms/signpost/messaging"
)

// Router is a [messaging.Handler] that gives each event to the chain of its context. Build
// it with [NewRouter] from one goroutine; from the first event on it is read-only and safe
// for concurrent use.
type Router struct {
	table      *table
	context    string // the context being described; empty outside of Context
	middleware []messaging.Middleware
	sealed     string // why Use comes too late; empty while it does not
}

// NewRouter returns a router without contexts, which drops every message.
func NewRouter() *Router {
	t := &table{routes: make(map[string]*route)}
	t.root = &Router{table: t}
	return t.root
}

// table is what a router and all the routers that Context and With derived from it share.
type table struct {
	// frozen is set by the first look-up, after which every other field is read without
	// the mutex.
	frozen    atomic.Bool
	mu        sync.Mutex
	routes    map[string]*route
	unmatched messaging.Handler            // as given to Unmatched
	answers   map[string]messaging.Handler // composed; those of all contexts
	paused    messaging.Handler            // composed; that of all contexts
	root      *Router
	stray     messaging.Handler // composed: for messages of unknown contexts
}

// route is one context.
type route struct {
	router   *Router // the one that Context gave to its function
	walk     []Route
	message  messaging.Handler // composed
	anyState messaging.Handler // composed; the OnState without names
	states   map[messaging.State]messaging.Handler
	answers  map[string]messaging.Handler // composed; by the name of the question
	paused   messaging.Handler            // composed
}

// Use adds middleware to what is registered on r after it, outermost first. It panics once
// r has a context or a handler: those would not pass the new middleware, and which ones did
// would depend on the order of lines.
func (r *Router) Use(mw ...messaging.Middleware) {
	if r.sealed != "" {
		panic(fmt.Sprintf("contexts: Use must come before %s%s: move it up, so that everything passes it", r.sealed, r.where()))
	}
	r.checkMiddleware(mw)
	r.table.mutate("Use", func() { r.middleware = append(r.middleware, mw...) })
}

// With returns a router with more middleware that registers into the same table as r: what
// is registered through it is served by r. It ends r's Use, as a route does.
func (r *Router) With(mw ...messaging.Middleware) *Router {
	r.checkMiddleware(mw)
	r.seal("With")
	return &Router{
		table:      r.table,
		context:    r.context,
		middleware: slices.Concat(r.middleware, mw),
	}
}

// Context registers the context called name and calls fn to describe it. The name is then
// among [Router.Names], even if fn registers nothing. It panics if the name is empty or was
// registered before, and inside another context: contexts do not nest.
func (r *Router) Context(name string, fn func(r *Router)) {
	switch {
	case name == "":
		panic("contexts: a context needs a name: give Context the name that the phone number is bound to")
	case fn == nil:
		panic(fmt.Sprintf("contexts: context %q has a nil function: give it one that registers handlers", name))
	case r.context != "":
		panic(fmt.Sprintf("contexts: context %q is inside context %q: contexts do not nest, register it on the outer router", name, r.context))
	}
	sub := &Router{table: r.table, context: name, middleware: slices.Clone(r.middleware)}
	r.table.mutate("Context", func() {
		if r.table.routes[name] != nil {
			panic(fmt.Sprintf("contexts: context %q is registered twice: put its handlers into one Context call", name))
		}
		r.table.routes[name] = &route{router: sub}
	})
	r.seal(fmt.Sprintf("Context(%q)", name))
	fn(sub)
}

// OnMessage registers the handler of the context's messages, behind the middleware so far.
// It panics outside of [Router.Context] and the second time in one context.
func (r *Router) OnMessage(h messaging.Handler) {
	r.checkHandler("OnMessage", h)
	r.register("OnMessage", func(rt *route) {
		if rt.message != nil {
			panic(fmt.Sprintf("contexts: context %q has two OnMessage: chain them with middleware, one handler ends the chain", r.context))
		}
		rt.message = compose(r.middleware, messaging.Named(nameOf(h), h))
		rt.walk = append(rt.walk, r.entry(messaging.KindMessage, h, rt.message))
	})
}

// OnState registers a handler for the delivery states of what was sent from the context:
// for the states in only, or for every state that no other OnState of the context names. It
// panics outside of [Router.Context] and when a state is named twice.
func (r *Router) OnState(h messaging.Handler, only ...messaging.State) {
	r.checkHandler("OnState", h)
	r.register("OnState", func(rt *route) {
		chain := compose(r.middleware, messaging.Named(nameOf(h), h))
		if len(only) == 0 {
			if rt.anyState != nil {
				panic(fmt.Sprintf("contexts: context %q has two OnState without a state: name the states of one of them", r.context))
			}
			rt.anyState = chain
		}
		for _, s := range only {
			if rt.states[s] != nil {
				panic(fmt.Sprintf("contexts: context %q has two OnState for %q: one handler serves a state", r.context, s))
			}
			if rt.states == nil {
				rt.states = make(map[messaging.State]messaging.Handler)
			}
			rt.states[s] = chain
		}
		entry := r.entry(messaging.KindState, h, chain)
		entry.States = slices.Clone(only)
		rt.walk = append(rt.walk, entry)
	})
}

// Unmatched replaces the handler of messages that nothing else handles; [DropUnmatched] is
// the default. It panics inside a context and the second time.
func (r *Router) Unmatched(h messaging.Handler) {
	r.checkHandler("Unmatched", h)
	if r.context != "" {
		panic(fmt.Sprintf("contexts: Unmatched is inside context %q: it serves all contexts, set it on the outer router", r.context))
	}
	r.table.mutate("Unmatched", func() {
		if r.table.unmatched != nil {
			panic("contexts: Unmatched is set twice: keep one")
		}
		r.table.unmatched = h
	})
}

// HandlerFor returns the composed chain of the event's context and kind. It is nil for a
// state that nobody listens to: there is nothing to run then. For a message it is never
// nil. A call costs a map look-up and does not allocate; the first one closes the table.
func (r *Router) HandlerFor(ev *messaging.Event) messaging.Handler {
	t := r.serving()
	rt := t.routes[ev.Context]
	if ev.Kind == messaging.KindState {
		if rt == nil {
			return nil
		}
		if h := rt.states[ev.State]; h != nil {
			return h
		}
		return rt.anyState
	}
	if rt == nil {
		return t.stray
	}
	return rt.message
}

// HandleEvent runs the chain of the event's context and kind, if there is one.
func (r *Router) HandleEvent(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	h := r.HandlerFor(ev)
	if h == nil {
		return nil
	}
	return h.HandleEvent(ctx, w, ev)
}

// register changes the route of the context that r describes.
func (r *Router) register(method string, change func(rt *route)) {
	if r.context == "" {
		panic(fmt.Sprintf("contexts: %s is outside of a context: call it inside Context(name, ...)", method))
	}
	r.table.mutate(method, func() { change(r.table.routes[r.context]) })
	r.seal(method)
}

// mutate runs change under the lock, unless the table serves already.
func (t *table) mutate(method string, change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.frozen.Load() {
		panic(fmt.Sprintf("contexts: %s after the first event: register everything first, or build a new router and swap it", method))
	}
	change()
}

// freeze composes what could not be composed before everything was known.
func (t *table) freeze() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.frozen.Load() {
		return
	}
	unmatched := t.unmatched
	if unmatched == nil {
		unmatched = DropUnmatched(nil)
	}
	t.stray = compose(t.root.middleware, unmatched)
	for _, rt := range t.routes {
		if rt.message == nil {
			rt.message = compose(rt.router.middleware, unmatched)
		}
	}
	t.frozen.Store(true)
}

func (r *Router) seal(by string) {
	if r.sealed == "" {
		r.sealed = by
	}
}

func (r *Router) where() string {
	if r.context == "" {
		return ""
	}
	return fmt.Sprintf(" of context %q", r.context)
}

func (r *Router) checkHandler(method string, h messaging.Handler) {
	if h == nil {
		panic(fmt.Sprintf("contexts: %s%s got a nil handler", method, r.where()))
	}
}

func (r *Router) checkMiddleware(mw []messaging.Middleware) {
	for i, m := range mw {
		if m == nil {
			panic(fmt.Sprintf("contexts: middleware %d of %d%s is nil", i+1, len(mw), r.where()))
		}
	}
}

// nameOf is how the journal calls a handler that decided: a function by its name, anything
// else by its type.
func nameOf(h messaging.Handler) string {
	f, ok := h.(messaging.HandlerFunc)
	if !ok {
		return fmt.Sprintf("%T", h)
	}
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return name[strings.LastIndexByte(name, '/')+1:]
}

// compose wraps h from the back, so that the first middleware is the outermost.
func compose(mw []messaging.Middleware, h messaging.Handler) messaging.Handler {
	for i, m := range slices.Backward(mw) {
		if h = m(h); h == nil {
			panic(fmt.Sprintf("contexts: middleware %d returned a nil handler", i+1))
		}
	}
	return h
}
