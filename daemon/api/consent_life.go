package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// HandlerConsent is the handler of an inbound that was dealt with before any chain.
const HandlerConsent = "consent"

// consentIn adds to a life the lines of the ledger that bear on it.
func (a *API) consentIn(ctx context.Context, l *Life) error {
	ledger, ok := a.cfg.Store.(messaging.ConsentLedger)
	if !ok {
		return nil
	}
	var numbers []string
	if l.Inbound != nil {
		numbers = append(numbers, l.Inbound.Theirs())
	}
	for i := range l.Sends {
		numbers = append(numbers, l.Sends[i].To)
	}
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers) {
		lines, err := linesAbout(ctx, ledger, messaging.Number(n))
		if err != nil {
			return err
		}
		l.Consent = append(l.Consent, l.bearing(n, lines)...)
	}
	slices.SortFunc(l.Consent, func(a, b ConsentLine) int { return int(a.Seq - b.Seq) })
	return nil
}

// linesAbout reads all lines about a number.
func linesAbout(ctx context.Context, l messaging.ConsentLedger, n messaging.Number) (lines []ConsentLine, err error) {
	q := messaging.LedgerQuery{Number: n, Limit: limitMost}
	for {
		page, err := l.Entries(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page {
			lines = append(lines, lineOf(&page[i]))
		}
		if len(page) < q.Limit {
			return lines, nil
		}
		q.After = page[len(page)-1].Seq
	}
}

// bearing are those of the lines about a number that bear on the life.
func (l *Life) bearing(number string, lines []ConsentLine) (found []ConsentLine) {
	bears := make(map[int64]bool)
	for i := range lines {
		bears[lines[i].Seq] = l.Said(&lines[i]) || l.crossed(&lines[i])
	}
	hold := func(ours, context string, at time.Time) {
		if stop := Holding(lines, ours, context, at); stop != nil {
			bears[stop.Seq] = true
		}
	}
	if in := l.Inbound; in != nil && in.Theirs() == number && in.Handler == HandlerConsent && !slices.ContainsFunc(lines, func(c ConsentLine) bool { return l.Said(&c) }) {
		hold(in.To, in.Context, in.At)
	}
	for i := range l.Sends {
		if s := &l.Sends[i]; s.To == number && s.Status == messaging.StatusSuppressed && s.Reason == messaging.ReasonOptedOut {
			hold(s.From, s.Context, s.At)
		}
	}
	for i := range lines {
		if bears[lines[i].Seq] {
			found = append(found, lines[i])
		}
	}
	return found
}

// Said reports whether a line was written because of the message: its words, or a delivery
// state of it.
func (l *Life) Said(c *ConsentLine) bool {
	if c.EventID == "" {
		return false
	}
	if l.Inbound != nil && l.Inbound.ID == c.EventID {
		return true
	}
	for i := range l.Sends {
		for _, a := range l.Sends[i].Attempts {
			if a.MessageID != "" && strings.HasPrefix(c.EventID, a.MessageID+"/") {
				return true
			}
		}
	}
	return false
}

// crossed reports whether an attempt was on the wire when a line was written.
func (l *Life) crossed(c *ConsentLine) bool {
	for i := range l.Sends {
		for j := range l.Sends[i].Attempts {
			if l.Sends[i].Attempts[j].Crossed(c) {
				return true
			}
		}
	}
	return false
}

// Crossed reports whether the attempt was on the wire when a line was written.
func (a *Attempt) Crossed(c *ConsentLine) bool { return slices.Contains(c.Crossing, a.ID) }

// Holding gives the stop that held something back that went from a number of ours in a
// context: the one in force at its time, or else the first one after it, since what is
// decided waits. Nil if there is none.
func Holding(lines []ConsentLine, ours, context string, at time.Time) (stop *ConsentLine) {
	for i := range lines {
		c := &lines[i]
		if !c.Changed || c.Scope != scopeGlobal && c.Scope != string(messaging.NumberScope(messaging.Number(ours))) && c.Scope != string(messaging.ContextScope(context)) {
			continue
		}
		switch messaging.ConsentVerb(c.Change) {
		case messaging.ConsentStop:
			if c.At.After(at) && stop != nil {
				return stop
			}
			stop = c
		case messaging.ConsentStart:
			if stop != nil && stop.Scope == c.Scope && !c.At.After(at) {
				stop = nil
			}
		}
	}
	return stop
}
