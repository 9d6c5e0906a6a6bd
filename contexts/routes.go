package contexts

import (
	"maps"
	"slices"

	"github.com/signpost-sms/signpost/messaging"
)

// Routes is the read-only side of a [Router].
type Routes interface {
	// Names lists the registered contexts, sorted: what a session subscribes to.
	Names() []string
	// Walk visits every registered handler; see [Router.Walk].
	Walk(visit func(Route) error) error
	// HandlerFor gives the chain that an event would run, nil for none.
	HandlerFor(ev *messaging.Event) messaging.Handler
}

var (
	_ Routes            = (*Router)(nil)
	_ messaging.Handler = (*Router)(nil)
)

// Route is one registered handler.
type Route struct {
	Context string
	Kind    messaging.Kind
	// States are the states that the handler serves. For a KindState route none means: all
	// that no other route of the context names.
	States []messaging.State
	// Middleware is what the handler was wrapped in, outermost first.
	Middleware []messaging.Middleware
	Handler    messaging.Handler // as registered, without middleware
	Chain      messaging.Handler // composed: what runs
}

// Names lists the registered contexts, sorted: what a session subscribes to. Contexts that
// were described but given no handler are among them.
func (r *Router) Names() []string {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	return slices.Sorted(maps.Keys(r.table.routes))
}

// Walk calls visit for every registered handler: contexts in the order of Names, handlers
// of a context in the order of registration. It stops at the first error and returns it.
// Unmatched is not visited.
func (r *Router) Walk(visit func(Route) error) error {
	for _, route := range r.snapshot() {
		if err := visit(route); err != nil {
			return err
		}
	}
	return nil
}

// snapshot copies the routes, so that visit runs outside of the lock.
func (r *Router) snapshot() []Route {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	var all []Route
	for _, name := range slices.Sorted(maps.Keys(r.table.routes)) {
		for _, e := range r.table.routes[name].walk {
			e.States, e.Middleware = slices.Clone(e.States), slices.Clone(e.Middleware)
			all = append(all, e)
		}
	}
	return all
}

func (r *Router) entry(kind messaging.Kind, h, chain messaging.Handler) Route {
	return Route{
		Context:    r.context,
		Kind:       kind,
		Middleware: slices.Clone(r.middleware),
		Handler:    h,
		Chain:      chain,
	}
}
