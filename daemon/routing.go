package daemon

import (
	"context"
	"fmt"
	"slices"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
)

// routing is the handler that the engine runs: the router of the configuration in force
// and, for contexts that a reload has removed, the router that last had them. Messages that
// were taken before the removal are thus still answered by the chain they were sent to.
// It is immutable; a reload makes a new one.
type routing struct {
	router  *contexts.Router
	retired map[string]*contexts.Router // by context; as many as were ever configured
	heard   func(*messaging.Event)      // told of each event that is to be handled; may be nil
}

// newRouting builds a router: configured describes what the configuration says, then setup
// adds its own. A panic of theirs, which is how wrong wiring speaks, becomes an error.
func newRouting(configured func(*contexts.Router) error, setup func(*contexts.Router)) (rt *routing, err error) {
	defer func() {
		if p := recover(); p != nil {
			rt, err = nil, fmt.Errorf("set up the contexts: %v", p)
		}
	}()
	r := contexts.NewRouter()
	if err := configured(r); err != nil {
		return nil, err
	}
	if setup != nil {
		// A router of its own, so that setup may begin with Use although contexts exist.
		setup(r.With())
	}
	return &routing{router: r, retired: map[string]*contexts.Router{}}, nil
}

// names is what the session subscribes to.
func (rt *routing) names() []string { return rt.router.Names() }

// after makes rt the successor of old.
func (rt *routing) after(old *routing) {
	now := rt.names()
	for name, r := range old.retired {
		if !slices.Contains(now, name) {
			rt.retired[name] = r
		}
	}
	for _, name := range old.names() {
		if !slices.Contains(now, name) {
			rt.retired[name] = old.router
		}
	}
}

// HandlerFor gives the chain of an event; the engine asks for it before each run.
func (rt *routing) HandlerFor(ev *messaging.Event) messaging.Handler {
	if rt.heard != nil {
		rt.heard(ev)
	}
	return rt.of(ev).HandlerFor(ev)
}

// AnswerFor gives what takes the answer to a question, PausedFor what sees the messages of a
// paused conversation.
func (rt *routing) AnswerFor(ev *messaging.Event, name string) messaging.Handler {
	return rt.of(ev).AnswerFor(ev, name)
}

func (rt *routing) PausedFor(ev *messaging.Event) messaging.Handler { return rt.of(ev).PausedFor(ev) }

// of is the router that serves an event's context.
func (rt *routing) of(ev *messaging.Event) *contexts.Router {
	if r, ok := rt.retired[ev.Context]; ok {
		return r
	}
	return rt.router
}

// HandleEvent runs the chain of the event, if there is one.
func (rt *routing) HandleEvent(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	if h := rt.HandlerFor(ev); h != nil {
		return h.HandleEvent(ctx, w, ev)
	}
	return nil
}
