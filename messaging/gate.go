package messaging

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/signpost-sms/signpost/relay"
)

// Verdict is what a rule, and so the gate, says of a send.
type Verdict struct {
	// Status is empty for "go", StatusQueued for "not before Until", StatusSuppressed or
	// StatusExpired for "never".
	Status Status
	Reason string // why, for every verdict but go: a stable name, and a metric's label
	Rule   string // the row of the sheet that decided; may be empty
	Until  time.Time
}

// text is the reason as it is stored and shown: with the rule, if one is named.
func (v Verdict) text() string {
	if v.Rule == "" {
		return v.Reason
	}
	return v.Reason + reasonSeparator + v.Rule
}

const reasonSeparator = ": "

// reasonLabel is the part of a stored reason that is a metric's label.
func reasonLabel(reason string) string {
	label, _, _ := strings.Cut(reason, reasonSeparator)
	return label
}

// Go reports whether the send may leave now.
func (v Verdict) Go() bool { return v.Status == "" }

// Rule is one question that is asked of every send before it may leave, and again before
// each further attempt. It must not block; it is asked on the engine's goroutine.
type Rule interface {
	Ask(now time.Time, s *Send) Verdict
}

// Taker is a Rule whose go takes something, such as a token of a rate, that is given back if
// the send does not leave after all. Release is called on the engine's goroutine; at is the
// time of the Ask that said go.
type Taker interface {
	Rule
	Release(at time.Time, s *Send)
}

// Listener is a Rule that wants to know of each inbound message. Heard is called on the
// engine's goroutine, before any reply to it is asked about, and may be called again for a
// message that the platform delivers again.
type Listener interface {
	Rule
	Heard(ev *Event)
}

// gate is the one place that may hand a send to the wire.
type gate struct {
	link     Link
	standing *standings
	rules    []Rule
	buf      []byte
}

// ask puts the rules to a send, consent before all others; the first that does not say go
// decides.
func (g *gate) ask(now time.Time, s *Send) Verdict {
	if v := g.standing.verdict(now, s); !v.Go() {
		return v
	}
	if !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt) {
		return Verdict{Status: StatusExpired, Reason: "expired"}
	}
	if now.Before(s.NotBefore) {
		return Verdict{Status: StatusQueued, Reason: "not_before", Until: s.NotBefore}
	}
	for i, r := range g.rules {
		if v := r.Ask(now, s); !v.Go() {
			release(g.rules[:i], now, s)
			if v.Status == StatusQueued && !s.ExpiresAt.IsZero() && !v.Until.Before(s.ExpiresAt) {
				v.Status, v.Until = StatusExpired, time.Time{}
			}
			return v
		}
	}
	return Verdict{}
}

// release gives back what rules took for a send that does not leave.
func release(rules []Rule, at time.Time, s *Send) {
	for _, r := range rules {
		if t, ok := r.(Taker); ok {
			t.Release(at, s)
		}
	}
}

// heard tells the rules of a fresh inbound message.
func (g *gate) heard(ev *Event) {
	for _, r := range g.rules {
		if l, ok := r.(Listener); ok {
			l.Heard(ev)
		}
	}
}

const methodSend = "messaging.send"

// pass hands an attempt to the wire. Nothing else in the program does.
func (g *gate) pass(s *Send, a *Attempt, done func(relay.Answer)) {
	g.buf = appendSend(g.buf[:0], s, a)
	g.link.Go(a.ID, methodSend, g.buf, done)
}

// appendSend writes the params of messaging.send. Empty optional fields are left out, as
// R49 wants it, and the attempt's own tag comes first.
func appendSend(b []byte, s *Send, a *Attempt) []byte {
	b = append(b, `{"context":`...)
	b = appendText(b, s.Context)
	b = append(b, `,"from_number":`...)
	b = appendText(b, string(s.From))
	b = append(b, `,"to_number":`...)
	b = appendText(b, string(s.To))
	if s.Body != "" {
		b = append(b, `,"body":`...)
		b = appendText(b, s.Body)
	}
	if len(s.Media) > 0 {
		b = append(b, `,"media":[`...)
		for i, u := range s.Media {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, u)
		}
		b = append(b, ']')
	}
	b = append(b, `,"tags":["`...)
	b = append(b, a.Tag()...)
	b = append(b, '"')
	if s.Secret {
		b = append(b, `,"`+secretTag+`"`...)
	}
	for _, t := range s.Tags {
		b = append(b, ',')
		b = appendText(b, t)
	}
	return append(b, `]}`...)
}

// appendText quotes s as JSON; what is not UTF-8 becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	out, err := jsontext.AppendQuote(b, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return out
}
