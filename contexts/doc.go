// Package contexts routes events to handlers by the context they arrived on.
//
// A context (the platform also says topic) is the label a phone number is bound to. A
// [Router] maps each context to a chain: middleware around one handler for its messages,
// and handlers for the delivery states of what was sent from it.
//
//	r := contexts.NewRouter()
//	r.Use(handlers.Recover)
//	r.Context("support", func(r *contexts.Router) {
//		r.Use(handlers.Timeout(10 * time.Second))
//		r.OnMessage(messaging.HandlerFunc(openTicket))
//		r.OnState(messaging.HandlerFunc(noteFailure), messaging.StateFailed, messaging.StateUndelivered)
//	})
//
// # What matches
//
// Names are compared byte by byte: "Support" is not "support", and there are no patterns.
// A message goes to its context's OnMessage; a context without one, and a name that was
// never registered, go to Unmatched. A state goes to the OnState that names it, else to the
// OnState that names none, else nowhere: no handler runs and the event is complete.
//
// # Order of middleware
//
// The first that was given to Use is the outermost. A context inherits what its router had
// when Context was called and adds its own inside that. Unmatched messages pass the
// router's middleware, and, within a registered context, the context's own.
//
// # Wrong wiring
//
// Mistakes of wiring (a second registration, middleware after a route, a nil handler)
// panic with a sentence where they are made, when the program starts. The first event
// closes the table; registering after it panics too. Serving never panics.
package contexts
