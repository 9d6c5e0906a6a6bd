package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// said is the stop or start that a message's words were, if they were one.
func (e *explainer) said(l *api.Life) *api.ConsentLine {
	for i := range e.consent {
		c := &e.consent[i]
		if c.Origin == string(messaging.OriginMessage) && l.Said(c) && (c.Change == string(messaging.ConsentStop) || c.Change == string(messaging.ConsentStart)) {
			return c
		}
	}
	return nil
}

// heard says what became of a message that is about consent, or comes from somebody who
// opted out.
func (e *explainer) heard(l *api.Life, said *api.ConsentLine) (what string, why []string) {
	in := l.Inbound
	var own *api.Message // the engine's, in answer
	for i := range l.Sends {
		if l.Sends[i].Category == messaging.CategoryConsent {
			own = &l.Sends[i]
		}
	}
	if said == nil {
		return e.fromSilent(l, own)
	}
	word := strings.ToUpper(said.Word)
	what = fmt.Sprintf("%s: the person %s", word, changeWords(said))
	why = []string{
		fmt.Sprintf("%s was recognised by rule consent.%s (%s).%s", word, said.Rule, tierWords(said.Tier), sourceOf(said.Rule)),
		"The chain of " + in.Context + " was not asked.",
	}
	if in.Handler != api.HandlerConsent {
		why[1] = "The chain of " + in.Context + " was shown it, as contexts." + in.Context + ".opted_out says."
	}
	if own != nil {
		fate, more := e.fateOf(own)
		why = append(append(why, "The confirmation is "+fate+"."), more...)
	} else {
		why = append(why, "There was no confirmation: "+noConfirmation(in, said))
	}
	if n := len(said.Crossing); n > 0 {
		why = append(why, plural(n, "text was", "texts were")+" on the wire when it was read, and may still have arrived: "+strings.Join(said.Crossing, ", "))
	}
	return what, append(why, "Where the person stands now:  signpost consent show "+in.From)
}

func tierWords(tier string) string {
	switch consent.Tier(tier) {
	case consent.TierExact:
		return "the whole text is the word"
	case consent.TierPhrase:
		return "a phrase in the text"
	case consent.TierReview:
		return "a word in a longer text"
	}
	return tier
}

// sourceOf names where a rule about consent comes from.
func sourceOf(id string) string {
	rules := consent.Rules().Rules
	if i := slices.IndexFunc(rules, func(r consent.Rule) bool { return r.ID == id }); i >= 0 {
		return " Source: " + rules[i].Source
	}
	return ""
}

// noConfirmation says why a stop or start was not confirmed.
func noConfirmation(in *api.Message, said *api.ConsentLine) string {
	at := in.At
	if !in.SentAt.IsZero() && in.SentAt.Before(at) {
		at = in.SentAt
	}
	kind := consent.Kind(said.Change)
	_, why := consent.Confirm(consent.Occasion{
		Verdict: consent.Verdict{Kind: kind}, OptedOut: said.Changed == (kind == consent.Start),
		TollFree: sms.ClassOf(in.To) == sms.TollFree, Age: said.At.Sub(at),
	})
	switch why {
	case consent.NetworkConfirms:
		return "on toll-free numbers the network answers by itself."
	case consent.TooLate:
		return "it was " + span(said.At.Sub(at)) + " old when it was handled, and only for " + span(consent.ConfirmWithin) + " is one covered by the consent before."
	case consent.Repeated:
		return "the person had opted out before; consent.repeat_stop says what is answered then."
	case consent.NothingToConfirm:
		return "nothing changed by it."
	}
	return "the journal holds none."
}

// fromSilent says what became of a message from somebody who had opted out.
func (e *explainer) fromSilent(l *api.Life, own *api.Message) (what string, why []string) {
	in := l.Inbound
	held := e.since(in.To, in.Context, in.At)
	why = []string{"The chain of " + in.Context + " was not asked, and nothing but the answer to HELP goes to the person until START.", "Why:  signpost consent show " + in.From}
	if own != nil {
		fate, more := e.fateOf(own)
		return "HELP, from somebody who opted out" + held + "; the answer is " + fate, append(more, why...)
	}
	return "no reply: the person opted out" + held, why
}

// since says when and how somebody opted out who is held back.
func (e *explainer) since(ours, context string, at time.Time) string {
	c := api.Holding(e.consent, ours, context, at)
	if c == nil {
		return ""
	}
	var how string
	switch messaging.ConsentOrigin(c.Origin) {
	case messaging.OriginMessage:
		how = "by texting " + strings.ToUpper(c.Word)
	case messaging.OriginHandler:
		how = "as a handler read out of a message"
	case messaging.OriginPlatform:
		how = "as the platform said when it refused a text"
	case messaging.OriginImport:
		how = "by a list that " + c.Actor + " imported"
	default:
		how = "as " + c.Actor + " wrote down"
	}
	if c.Scope != "global" {
		how = "of " + scopeWords(c.Scope) + ", " + how
	}
	return " on " + e.onDay(c.At) + ", " + how
}

// heldBack says why a send was suppressed whose recipient opted out.
func (e *explainer) heldBack(s *api.Message) (what string, why []string) {
	return "suppressed: the person opted out" + e.since(s.From, s.Context, s.At), []string{"Why:  signpost consent show " + s.To}
}

// crossing marks an attempt that was on the wire when its recipient opted out.
func (e *explainer) crossing(a *api.Attempt) {
	for i := range e.consent {
		if c := &e.consent[i]; a.Crossed(c) {
			e.event(c.At, "the person opted out while it was on the wire (line %d of the ledger)", c.Seq)
		}
	}
}
