package messaging

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging/consent"
)

// ConsentPolicy says what the operator may choose about consent. Nothing of it weakens an
// opt-out. The zero value of every field means its documented default.
type ConsentPolicy struct {
	// Scope is how far a person's own words reach: ReachAll, the default, ReachNumber for
	// the number of ours that they texted, ReachContext for the context.
	Scope Reach
	// RepeatStop says what a second opt-out is answered with; default nothing.
	RepeatStop consent.Repeat
	// Wording gives the built-in texts in a language. Default: consent.Wording without brand.
	Wording func(context string, lang consent.Language) consent.Texts
	// Observe reports whether the chain of a context is shown what people who opted out
	// write, opt-out and opt-in words included; what it answers them is suppressed all the
	// same. Default: no chain is.
	Observe func(context string) bool
}

// Reach is how far a person's words about consent reach.
type Reach string

// The reaches.
const (
	ReachAll     Reach = "global"
	ReachNumber  Reach = "per_number"
	ReachContext Reach = "per_context"
)

func (p ConsentPolicy) withDefaults() ConsentPolicy {
	p.Scope = orDefault(p.Scope, ReachAll)
	if p.Wording == nil {
		p.Wording = func(_ string, lang consent.Language) consent.Texts { return consent.Wording("", "", lang) }
	}
	if p.Observe == nil {
		p.Observe = func(string) bool { return false }
	}
	return p
}

// consentHandler is the name under which the journal shows what was decided here.
const consentHandler = "consent"

// scopeOf is the scope that a word in an event reaches.
func (e *Engine) scopeOf(ev *Event) Scope {
	switch e.cfg.Consent.Scope {
	case ReachNumber:
		return NumberScope(ev.Conversation().Ours)
	case ReachContext:
		return ContextScope(ev.Context)
	}
	return ScopeAll
}

// listen reads what an arrival says about consent, on the session's reader: from here on
// nothing is sent to somebody who said stop.
func (e *Engine) listen(a *arrival) {
	if a.ev.Kind != KindMessage || a.dead != "" {
		return
	}
	e.hearSay(a, consent.Classify(a.ev.Body, consent.State{}))
}

// hearSay begins what a verdict on an arrival means.
func (e *Engine) hearSay(a *arrival, said consent.Verdict) {
	a.said = said
	switch said.Kind {
	case consent.Stop:
		a.verb = ConsentStop
	case consent.Start:
		a.verb = ConsentStart
	default:
		return
	}
	e.standing.begin(a.ev.From, a.verb)
}

// heardOut ends what listen began.
func (e *Engine) heardOut(a *arrival) {
	if a != nil && a.verb != "" {
		e.standing.end(a.ev.From, a.verb)
		a.verb = ""
	}
}

// consider reads consent out of an event before any handler. It reports whether that was
// all: then the Append holds its outcome.
func (e *Engine) consider(p *appending) bool {
	ev := p.Event
	if ev.Kind == KindState {
		if failed := ev.State == StateFailed || ev.State == StateUndelivered; failed && saysOptedOut("", ev.Reason) && ev.To != "" {
			p.Consents = []*ConsentChange{e.platformStop(ev.To, ev, "")}
		}
		return false
	}
	a := p.arrival
	pending := e.standing.pending(ev.From)
	switch a.verb { // not counting its own
	case ConsentStop:
		pending.stops--
	case ConsentStart:
		pending.starts--
	}
	out, _ := e.standing.of(ev.From, ev.To, ev.Context)
	if a.said.Kind == consent.None && (out || pending.stops > 0) && e.marks.questionTo(ev) == nil { // YES, from somebody who was asked nothing
		e.hearSay(a, consent.Classify(ev.Body, consent.State{OptedOut: true}))
	}
	maybe := a.said.Kind == consent.Start && consent.Classify(ev.Body, consent.State{}).Kind == consent.None
	said, observed := a.said, e.cfg.Consent.Observe(ev.Context)
	switch said.Kind {
	case consent.Start:
		p.Consents = e.changesOf(ev, said)
		for _, c := range p.Consents {
			c.UnlessAsked = maybe
		}
		e.confirm(p, said, consent.Occasion{Verdict: said, OptedOut: out || pending.stops > 0, TollFree: tollFree(ev.To)}, observed)
		return !observed
	case consent.Stop:
		p.Consents = e.changesOf(ev, said)
		e.confirm(p, said, consent.Occasion{
			Verdict: said, OptedOut: out && pending.starts == 0, TollFree: tollFree(ev.To),
			Age: e.ageOf(ev), Repeat: e.cfg.Consent.RepeatStop, SinceLast: -1,
		}, observed)
		return !observed
	case consent.Review:
		if !out {
			p.Consents = e.changesOf(ev, said)
		}
	}
	if !out || observed || pending.starts > 0 {
		return false
	}
	p.Outcome = &Outcome{Fate: FateDone, Handler: consentHandler}
	if said.Kind == consent.Help {
		p.flights = e.launch(ev, e.help(ev, said), p.Outcome)
	}
	return true
}

// changesOf are the changes of consent that a verdict on an event means. An opt-in ends the
// opt-outs of every scope that holds the sender back here.
func (e *Engine) changesOf(ev *Event, said consent.Verdict) []*ConsentChange {
	own := e.scopeOf(ev)
	scopes := []Scope{own}
	verb := ConsentVerb(said.Kind)
	if said.Kind == consent.Start {
		for _, s := range [...]Scope{ScopeAll, NumberScope(ev.To), ContextScope(ev.Context)} {
			if s != own && e.standing.in(ev.From, s) {
				scopes = append(scopes, s)
			}
		}
	}
	changes := make([]*ConsentChange, len(scopes))
	for i, s := range scopes {
		c := evidence(ev, verb, OriginMessage)
		c.Scope, c.Tier, c.Word, c.Rule = s, string(said.Tier), said.Word, said.Rule
		if verb == ConsentStop {
			c.Crossing = e.out.wired(ev.From)
		}
		changes[i] = c
	}
	return changes
}

// evidence is a change that an event of the person's gives cause for.
func evidence(ev *Event, v ConsentVerb, o ConsentOrigin) *ConsentChange {
	conv := ev.Conversation()
	return &ConsentChange{
		Number: conv.Theirs, Verb: v, Origin: o,
		EventID: ev.ID, Ours: conv.Ours, Context: ev.Context, SentAt: ev.SentAt, ReceivedAt: ev.ReceivedAt,
	}
}

// wired are the attempts at sends to a number that are on the wire without an answer.
func (o *outbox) wired(to Number) []uuid.UUID { return o.allWired()[to] }

// allWired are the attempts that are on the wire without an answer, by recipient.
func (o *outbox) allWired() map[Number][]uuid.UUID {
	ids := map[Number][]uuid.UUID{}
	for _, t := range o.timeouts.items[o.timeouts.head:] {
		if t.f.phase == phaseWired && t.f.attempt == t.attempt {
			ids[t.f.out.To] = append(ids[t.f.out.To], t.attempt.ID)
		}
	}
	return ids
}

// confirm decides the one confirmation of a change. Whether the change altered anything is
// known to the store alone, which drops the confirmation otherwise.
func (e *Engine) confirm(p *appending, said consent.Verdict, o consent.Occasion, observed bool) {
	ev := p.Event
	yes, why := consent.Confirm(o)
	if why == consent.TooLate {
		e.cfg.Metrics.lateStops.Inc()
	}
	var sends []Send
	if yes {
		repeated := said.Kind == consent.Stop && o.OptedOut
		s := e.ownSend(ev, keyStart, e.cfg.Consent.Wording(ev.Context, said.Language).For(said))
		if said.Kind == consent.Stop {
			s.Key = keyStop + ev.ID
			s.ExpiresAt = ev.ReceivedAt.Add(consent.ConfirmWithin)
		}
		if repeated { // once a day
			s.Key = keyStop + string(ev.From) + ":" + e.now.UTC().Format(time.DateOnly)
			for _, c := range p.Consents {
				c.Again = true
			}
		}
		sends = []Send{s}
	}
	if observed { // the chain runs, and the confirmation goes its own way
		if yes {
			p.confirmation = &sends[0]
		}
		return
	}
	p.Outcome = &Outcome{Fate: FateDone, Handler: consentHandler}
	p.flights = e.launch(ev, sends, p.Outcome)
}

// ownSend is a send about consent, in answer to an event.
func (e *Engine) ownSend(ev *Event, key, text string) Send {
	return Send{Key: key + ev.ID, Body: text, Category: CategoryConsent}
}

// silenced reports whether an event's chain must not run, since its sender opted out.
func (e *Engine) silenced(ev *Event) bool {
	if ev.Kind != KindMessage {
		return false
	}
	out, _ := e.standing.of(ev.From, ev.To, ev.Context)
	return out && !e.cfg.Consent.Observe(ev.Context)
}

// ageOf is how old a message is: by the frame, and by the envelope while the clocks are
// known to agree.
func (e *Engine) ageOf(ev *Event) time.Duration {
	at := ev.ReceivedAt
	if !ev.SentAt.IsZero() && e.now.Sub(e.agreed) < clocksAgree {
		at = earlier(at, ev.SentAt)
	}
	return e.now.Sub(at)
}

const (
	// clockSkew is how far the platform's clock may be from ours to be relied upon, and
	// clocksAgree for how long one message that shows it counts.
	clockSkew   = time.Minute
	clocksAgree = time.Hour
)

// compare notes whether the platform's clock agrees with ours.
func (e *Engine) compare(ev *Event) {
	if d := ev.ReceivedAt.Sub(ev.SentAt); !ev.SentAt.IsZero() && d > -clockSkew && d < clockSkew {
		e.agreed = e.now
	}
}

// tollFree reports whether a number of ours is toll-free: then the network answers STOP and
// START by itself.
func tollFree(n Number) bool {
	if len(n) != 12 || n[:2] != "+1" {
		return false
	}
	switch n[2:5] {
	case "800", "833", "844", "855", "866", "877", "888":
		return true
	}
	return false
}

// optedOutCodes and optedOutWords are how a platform says that a person has opted out with
// it or their carrier. Its own codes are not documented; 21610 is what others use.
var (
	optedOutCodes = []string{"21610"}
	optedOutWords = []string{
		"opted out", "opted_out", "opted-out", "unsubscribed recipient", "recipient unsubscribed", "recipient is unsubscribed",
		"recipient has unsubscribed", "replied stop", "replied with stop",
	}
)

// saysOptedOut reports whether a refusal says that the person has opted out.
func saysOptedOut(code, reason string) bool {
	for _, c := range optedOutCodes {
		if code == c {
			return true
		}
	}
	reason = strings.ToLower(reason)
	for _, w := range optedOutWords {
		if strings.Contains(reason, w) {
			return true
		}
	}
	return false
}

// platformStop is the opt-out that a refusal of the platform tells of. It is for everything:
// of which of our numbers the person spoke is not told.
func (e *Engine) platformStop(theirs Number, ev *Event, code string) *ConsentChange {
	c := &ConsentChange{Number: theirs, Verb: ConsentStop, Origin: OriginPlatform, Rule: code, Crossing: e.out.wired(theirs)}
	if ev != nil {
		c.EventID, c.Ours, c.Context, c.SentAt, c.ReceivedAt = ev.ID, ev.From, ev.Context, ev.SentAt, ev.ReceivedAt
	}
	return c
}

// decidedConsent completes the changes that a chain decided, and gives the confirmation of an
// opt-out. Like one that a person says, it holds back what would leave meanwhile.
func (e *Engine) decidedConsent(ev *Event, changes []*ConsentChange, o *Outcome) (confirmation []Send) {
	for _, c := range changes {
		c.Scope = e.scopeOf(ev)
		out, _ := e.standing.of(c.Number, c.Ours, c.Context)
		if c.Verb == ConsentStop {
			e.standing.begin(c.Number, c.Verb) // until concluding ends it
			c.Crossing = e.out.wired(c.Number)
		}
		said := consent.Verdict{Kind: consent.Kind(c.Verb), Language: consent.English}
		occasion := consent.Occasion{Verdict: said, OptedOut: out, TollFree: tollFree(c.Ours), Age: e.ageOf(ev), SinceLast: -1}
		if yes, _ := consent.Confirm(occasion); yes && c.Verb == ConsentStop && confirmation == nil {
			s := e.ownSend(ev, keyStop, e.cfg.Consent.Wording(ev.Context, said.Language).Stop)
			s.ExpiresAt = ev.ReceivedAt.Add(consent.ConfirmWithin)
			confirmation = []Send{s}
		}
	}
	o.Consents = changes
	return confirmation
}

// concluding ends the hold of the opt-outs that an outcome holds, once it is committed or will
// not be.
func (e *Engine) concluding(o *Outcome) {
	if o == nil {
		return
	}
	for _, c := range o.Consents {
		if c.Verb == ConsentStop {
			e.standing.end(c.Number, c.Verb)
		}
	}
}

// changed reports whether any of the changes altered something, or goes ahead all the same.
func changed(cs []*ConsentChange) bool {
	for _, c := range cs {
		if c.Changed || c.Again {
			return true
		}
	}
	return false
}

// enqueueOwn sends what the event's chain has no part in.
func (e *Engine) enqueueOwn(s Send, ev *Event) {
	e.complete(&s, ev, 0)
	e.insert(s, func(_ Send, err error) {
		if err != nil { // what it would have confirmed is in the ledger
			e.cfg.Logger.Error("the confirmation of a change of consent cannot be stored and is left out", "event_id", ev.ID, "err", err)
		}
	})
}
