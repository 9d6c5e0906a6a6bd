package contexts

import (
	"fmt"

	"github.com/signpost-sms/signpost/messaging"
)

// Answer registers the handler of the answers to a question: messages that come while the
// question of that name, asked with [messaging.Responder.Ask], is open. Within a context it
// serves the context, on the outer router every context that has none of that name. It runs
// behind the middleware so far, and may return [messaging.ErrPass] for a text that is no
// answer: then the context's OnMessage has it. It panics the second time for a name.
//
//	r.Context("support", func(r *contexts.Router) {
//		r.OnMessage(askForDate)
//		r.Answer("date", bookDate)
//	})
func (r *Router) Answer(name string, h messaging.Handler) {
	r.checkHandler("Answer", h)
	if name == "" {
		panic(fmt.Sprintf("contexts: Answer%s got an empty name: give it the name that Ask is given", r.where()))
	}
	chain := compose(r.middleware, messaging.Named(nameOf(h), h))
	r.besides("Answer", func(answers *map[string]messaging.Handler, _ *messaging.Handler) {
		if (*answers)[name] != nil {
			panic(fmt.Sprintf("contexts: two Answer%s for the question %q: one handler serves a question", r.where(), name))
		}
		if *answers == nil {
			*answers = map[string]messaging.Handler{}
		}
		(*answers)[name] = chain
	})
}

// Paused registers what sees messages while their conversation is paused; without it nothing
// runs then. Within a context it serves the context, on the outer router every context that
// has none. It runs behind the middleware so far. The journal shows its messages as handled
// by "paused". It panics the second time.
func (r *Router) Paused(h messaging.Handler) {
	r.checkHandler("Paused", h)
	chain := compose(r.middleware, messaging.Named(messaging.HandlerPaused, h))
	r.besides("Paused", func(_ *map[string]messaging.Handler, paused *messaging.Handler) {
		if *paused != nil {
			panic(fmt.Sprintf("contexts: two Paused%s: keep one", r.where()))
		}
		*paused = chain
	})
}

// besides changes what a context, or outside of one the table, has besides its chains.
func (r *Router) besides(method string, change func(answers *map[string]messaging.Handler, paused *messaging.Handler)) {
	t := r.table
	t.mutate(method, func() {
		if r.context == "" {
			change(&t.answers, &t.paused)
			return
		}
		rt := t.routes[r.context]
		change(&rt.answers, &rt.paused)
	})
	r.seal(method)
}

// AnswerFor implements [messaging.Answerer].
func (r *Router) AnswerFor(ev *messaging.Event, name string) messaging.Handler {
	t := r.serving()
	if rt := t.routes[ev.Context]; rt != nil && rt.answers[name] != nil {
		return rt.answers[name]
	}
	return t.answers[name]
}

// PausedFor implements [messaging.Attendant].
func (r *Router) PausedFor(ev *messaging.Event) messaging.Handler {
	t := r.serving()
	if rt := t.routes[ev.Context]; rt != nil && rt.paused != nil {
		return rt.paused
	}
	return t.paused
}

var (
	_ messaging.Answerer  = (*Router)(nil)
	_ messaging.Attendant = (*Router)(nil)
)

// serving is the table, which no longer changes.
func (r *Router) serving() *table {
	if !r.table.frozen.Load() {
		r.table.freeze()
	}
	return r.table
}
