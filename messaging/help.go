package messaging

import (
	"time"

	"github.com/signpost-sms/signpost/messaging/consent"
)

// help is the built-in answer to HELP, unless the sender had enough of them.
func (e *Engine) help(ev *Event, said consent.Verdict) []Send {
	if !e.helped.due(ev.From, e.now) {
		return nil
	}
	return []Send{e.ownSend(ev, keyHelp, e.cfg.Consent.Wording(ev.Context, said.Language).Help)}
}

// orHelp adds the built-in answer to HELP if a chain decided nothing, or nothing that would
// reach its sender. answered says that it answered in another way.
func (e *Engine) orHelp(ev *Event, sends []Send, answered bool) []Send {
	if ev.Kind != KindMessage || len(ev.Body) > helpLongest {
		return sends
	}
	if out, _ := e.standing.of(ev.From, ev.To, ev.Context); (answered || len(sends) > 0) && !out {
		return sends
	}
	if said := consent.Classify(ev.Body, consent.State{}); said.Kind == consent.Help {
		return append(sends, e.help(ev, said)...)
	}
	return sends
}

// helpLongest spares longer texts a second look: help words are short.
const helpLongest = 64

// helped remembers who was sent the built-in help text, of late.
type helped struct {
	of    map[Number]helpings
	order fifo[Number]
}

type helpings struct {
	n    int
	last time.Time
}

// helpedMost bounds how many are remembered; the one first helped is forgotten first.
const helpedMost = 50_000

// due reports whether the text may go to a number, and counts it as gone if so.
func (h *helped) due(n Number, now time.Time) bool {
	got, known := h.of[n]
	if !consent.HelpDue(got.n, now.Sub(got.last)) {
		return false
	}
	if !known {
		if h.of == nil {
			h.of = map[Number]helpings{}
		}
		if h.order.push(n); h.order.len() > helpedMost {
			delete(h.of, h.order.pop())
		}
	}
	h.of[n] = helpings{got.n + 1, now}
	return true
}
