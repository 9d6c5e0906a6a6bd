package handlers

import "github.com/signpost-sms/signpost/messaging"

// Chain is a chain of handlers as the value of an option: in a configuration a list, as under
// the handlers of a context. In Go, set Then.
type Chain struct {
	// Then is the chain: what it passes on goes to the handler that it is given.
	Then messaging.Middleware
}

// Routes collects what handlers of one context need besides their place in its chain. The
// builder of the context gives one to all of them in [Env], and then puts First before the
// chain and registers Answers and Paused with the router. The zero Routes is ready for use.
type Routes struct {
	first     []messaging.Middleware
	answers   map[string]messaging.Handler
	handovers []*Handover
}

// First are middleware that see a message before the chain does.
func (r *Routes) First() []messaging.Middleware { return r.first }

// Answers are the answer routes by the name of their question.
func (r *Routes) Answers() map[string]messaging.Handler { return r.answers }

// Paused sees the messages of paused conversations; nil for nobody.
func (r *Routes) Paused() messaging.Handler {
	if len(r.handovers) == 0 {
		return nil
	}
	return attendants(r.handovers)
}

// addAnswer notes an answer route and reports whether there was none of that name.
func (r *Routes) addAnswer(name string, h messaging.Handler) bool {
	if _, taken := r.answers[name]; taken {
		return false
	}
	if r.answers == nil {
		r.answers = map[string]messaging.Handler{}
	}
	r.answers[name] = h
	return true
}
