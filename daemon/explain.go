package daemon

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/rules"
)

// explainer tells the life of a message to a person: first what became of it, why, and what
// can be done, then everything that happened, in order.
type explainer struct {
	clock

	consent []api.ConsentLine // that bear on it
	b       strings.Builder
}

// explain renders a life. Times are in loc.
func explain(l *api.Life, now time.Time, loc *time.Location) string {
	e := &explainer{clock: clock{now: now, day: beginning(l), loc: loc}, consent: l.Consent}
	what, why := e.verdict(l)
	e.line("%s", what)
	for _, w := range why {
		e.line("  %s", w)
	}
	e.line("  Times are of %s.", e.day.In(loc).Format("Mon 2 Jan 2006, MST"))
	if l.Inbound != nil {
		e.inbound(l)
	}
	for i := range l.Sends {
		e.send(l, i)
	}
	return e.b.String()
}

func beginning(l *api.Life) time.Time {
	if l.Inbound != nil {
		return l.Inbound.At
	}
	for _, s := range l.Sends {
		return s.At
	}
	return time.Time{}
}

func (e *explainer) line(format string, args ...any) {
	e.b.WriteString(printable(fmt.Sprintf(format, args...)))
	e.b.WriteByte('\n')
}

// event is a line of the story.
func (e *explainer) event(t time.Time, format string, args ...any) {
	e.line("  %-12s  %s", e.exactly(t), fmt.Sprintf(format, args...))
}

// verdict says in a line what became of a message, and in further ones why, and what to do.
func (e *explainer) verdict(l *api.Life) (what string, why []string) {
	in := l.Inbound
	if in == nil {
		if len(l.Sends) == 0 {
			return "nothing is known", nil
		}
		return e.fateOf(&l.Sends[0])
	}
	if in.Direction == api.DirectionState {
		return fmt.Sprintf("a delivery state, %s, of a message that is not in the journal", in.State), reasonLines(in.StateReason)
	}
	if said := e.said(l); said != nil || in.Handler == api.HandlerConsent {
		return e.heard(l, said)
	}
	switch l.Outcome {
	case api.OutcomeDead:
		return "no reply: a dead letter since " + e.until(in.FinishedAt), e.dead(in)
	case api.OutcomeDropped:
		return "no reply: it was a dead letter, and an operator let it go at " + e.until(in.FinishedAt), reasonLines(in.Error)
	case api.OutcomeNothingWanted:
		if in.Handler == messaging.HandlerPaused {
			return "no reply: the conversation was paused, since a person had taken it over", nil
		}
		if in.Handler == "" {
			return fmt.Sprintf("no reply: no handler of %s decided to answer this", in.Context), nil
		}
		return fmt.Sprintf("no reply: %s decided that nothing is to be sent", in.Handler), nil
	case api.OutcomeForgotten:
		return "handled; what it was answered is not in the journal any more", nil
	}
	if !in.Finished() {
		return e.unfinished(in)
	}
	answers := api.Answers(l.Sends)
	for i := range answers { // the one that the outcome speaks of
		s := &answers[i]
		if api.OutcomeOf([]api.Message{*s}) != l.Outcome {
			continue
		}
		what, why = e.fateOf(s)
		if l.Outcome == api.OutcomeAnswered {
			if s.Status == messaging.StatusUndelivered || s.Status == messaging.StatusFailed {
				return "answered, but the person did not get it: " + what, why
			}
			return "answered; the reply is " + what, why
		}
		if s.Status == messaging.StatusQueued && s.Reason == rules.NotBefore {
			return what, why // a reminder, say, that was asked for by its own id
		}
		return "no reply: " + what, why
	}
	return l.Outcome, nil
}

// dead says why a message is a dead letter and what can be done about it.
func (e *explainer) dead(in *api.Message) []string {
	id := shellWord(in.ID)
	why := []string{"The chain of " + in.Context + " failed for good" + after(in.Runs) + ": " + orNothing(in.Error)}
	if in.Forgotten {
		return append(why, "Its text was removed, so that it cannot be replayed.", "Let it go:  signpost deadletters drop "+id)
	}
	return append(why,
		"Run it again, once the cause is mended:  signpost deadletters replay "+id,
		"Or let it go:                            signpost deadletters drop "+id)
}

func after(runs int) string {
	switch runs {
	case 0:
		return ""
	case 1:
		return " in its first run"
	}
	return fmt.Sprintf(" after %d runs", runs)
}

// unfinished says what an inbound waits for.
func (e *explainer) unfinished(in *api.Message) (what string, why []string) {
	switch {
	case in.Error != "" && in.RetryAt.After(e.now):
		return "no reply yet: the handler failed and runs again at " + e.until(in.RetryAt), []string{"Failed" + after(in.Runs) + ": " + in.Error}
	case in.Error != "":
		return "no reply yet: the handler failed and is running again, or waits for its turn", []string{"Failed" + after(in.Runs) + ": " + in.Error}
	}
	return "no reply yet: its handler is running, or waits for its turn", []string{
		"Messages of one conversation are handled one at a time: an earlier one may hold it up.",
		"See them:  signpost messages --number " + in.From,
	}
}

// fateOf says in a line what became of a send, and in further ones why.
func (e *explainer) fateOf(s *api.Message) (what string, why []string) {
	last := lastAttempt(s)
	switch s.Status {
	case messaging.StatusDelivered:
		if st := lastState(last); st != nil {
			return "delivered, " + span(st.At.Sub(s.At)) + " after it was decided", nil
		}
		return "delivered", nil
	case messaging.StatusSent:
		return "with the carrier, which has not confirmed the delivery", []string{"Many carriers never do; " + lastWord() + " the status becomes unknown."}
	case messaging.StatusAccepted:
		return "taken by the platform; there is no word from the carrier yet", []string{"Without one " + lastWord() + " the status becomes unknown."}
	case messaging.StatusUnknown:
		return "taken by the platform, which said nothing final within " + span(messaging.LastWord), nil
	case messaging.StatusUndelivered, messaging.StatusFailed:
		return e.failed(s, last)
	case messaging.StatusSuppressed:
		if s.Reason == messaging.ReasonOptedOut {
			return e.heldBack(s)
		}
		return "suppressed by rule " + ruleName(s.Reason), reasonText(s.Reason)
	case messaging.StatusExpired:
		what = "expired before it could leave"
		if !s.ExpiresAt.IsZero() {
			what += ": it was worth sending until " + e.at(s.ExpiresAt)
		}
		if s.Reason == rules.Expired {
			return what, refusal(last)
		}
		return what, append(reasonText(s.Reason), refusal(last)...)
	case messaging.StatusCancelled:
		return e.cancelled(s)
	case messaging.StatusInDoubt:
		return e.doubt(s, last)
	case messaging.StatusSending:
		return "on the wire; the platform has not answered yet", nil
	case messaging.StatusQueued:
		return e.queued(s, last)
	}
	return string(s.Status), reasonLines(s.Reason)
}

func lastWord() string { return span(messaging.LastWord) + " after the attempt" }

func (e *explainer) failed(s *api.Message, last *api.Attempt) (what string, why []string) {
	if last != nil && last.Outcome == messaging.OutcomeRejected {
		return "refused by the platform", refusal(last)
	}
	if last != nil && last.Outcome == messaging.OutcomeAbsent {
		return "failed", reasonLines(orNothing(last.Reason))
	}
	reason := s.Reason
	if st := lastState(last); st != nil && st.Reason != "" {
		reason = st.Reason
	}
	if s.Status == messaging.StatusUndelivered {
		return "undelivered: the carrier gave it back", reasonLines(reason)
	}
	return "failed after the platform took it", reasonLines(reason)
}

func (e *explainer) cancelled(s *api.Message) (what string, why []string) {
	switch s.Reason {
	case "operator":
		return "taken back by an operator before it left", nil
	case "duplicate_key":
		return "not sent: another text with the same key was", nil
	}
	return "taken back before it left", reasonLines(s.Reason)
}

// doubt says since when and why, how it will end, and how an operator ends it.
func (e *explainer) doubt(s *api.Message, last *api.Attempt) (what string, why []string) {
	d := s.Doubt
	if d == nil {
		return "in doubt: it may or may not have left", nil
	}
	what = "in doubt since " + e.until(d.Since) + ": it may or may not have left"
	if last != nil {
		why = reasonLines(last.Reason)
	}
	why = append(why, e.ending(d)...)
	return what, append(why, "You know what became of it?  signpost doubts resolve "+s.ID+" --as accepted|resend|failed")
}

// ending says how a doubt ends by itself.
func (e *explainer) ending(d *api.Doubt) (why []string) {
	why = append(why, "A delivery state that names it ends the doubt at once.")
	switch {
	case d.AskLogAt.IsZero():
		why = append(why, "There is no message log to ask, since signalwire.space is not set.")
	case e.now.Before(d.AskLogAt):
		why = append(why, "The platform's message log is asked from "+e.until(d.AskLogAt)+".")
	case e.now.Before(d.SettleAt):
		why = append(why, "The platform's message log is being asked; its silence counts from "+e.until(d.SettleAt)+".")
	default:
		why = append(why, "The platform's message log did not settle it.")
	}
	switch {
	case d.Then == string(DoubtResend):
		return append(why, "Otherwise it is sent again at "+e.until(d.SettleAt)+", as sending.in_doubt.then says; it may arrive twice.")
	case e.now.Before(d.ReleaseAt):
		return append(why, "Otherwise it is held and never sent again by itself; the conversation goes on at "+e.until(d.ReleaseAt)+".")
	}
	return append(why, "It is held and never sent again by itself; the conversation went on at "+e.until(d.ReleaseAt)+".")
}

// queued says what a send waits for.
func (e *explainer) queued(s *api.Message, last *api.Attempt) (what string, why []string) {
	switch {
	case last != nil && last.Outcome == messaging.OutcomeRejected:
		what, why = "refused for now", refusal(last)
	case last != nil && last.Outcome == messaging.OutcomeAccepted:
		what = "not delivered, for a reason that may pass"
		if st := lastState(last); st != nil {
			why = reasonLines(st.Reason)
		}
	case s.Reason == rules.NotBefore:
		what = "scheduled"
	case s.Reason != "":
		what, why = "kept back by rule "+ruleName(s.Reason), reasonText(s.Reason)
	default:
		what = "waiting"
	}
	if s.NotBefore.After(e.now) {
		return what + "; it leaves at " + e.until(s.NotBefore), why
	}
	return what + "; it leaves as soon as it is its turn", append(why, "Is the session up?  signpost health")
}

// refusal is what the platform said when it refused an attempt.
func refusal(a *api.Attempt) []string {
	if a == nil || a.Outcome != messaging.OutcomeRejected {
		return nil
	}
	text := "The platform said: " + orNothing(a.Reason)
	if a.Code != "" {
		text += " (code " + a.Code + ")"
	}
	return []string{text}
}

func reasonLines(reason string) []string {
	if reason == "" {
		return nil
	}
	return []string{"Reason: " + reason}
}

// ruleName is what a reason of the gate is called by: the row of the sheet that decided, if
// it names one.
func ruleName(reason string) string {
	if _, rule, ok := strings.Cut(reason, ": "); ok {
		return rule
	}
	return reason
}

// reasonText says what a reason of the gate means.
func reasonText(reason string) (lines []string) {
	name, rule, named := strings.Cut(reason, ": ")
	for _, r := range rules.Reasons() {
		if r.Name == name {
			lines = append(lines, name+": "+r.Text)
		}
	}
	if named {
		lines = append(lines, "What the rule says, and where it comes from:  signpost rules "+shellWord(rule))
	}
	return lines
}

func orNothing(text string) string {
	if text == "" {
		return "nothing more is known"
	}
	return text
}

func lastAttempt(s *api.Message) *api.Attempt {
	if len(s.Attempts) == 0 {
		return nil
	}
	return &s.Attempts[len(s.Attempts)-1]
}

func lastState(a *api.Attempt) *api.State {
	if a == nil || len(a.States) == 0 {
		return nil
	}
	return &a.States[len(a.States)-1]
}

// inbound tells what happened to the inbound.
func (e *explainer) inbound(l *api.Life) {
	in := l.Inbound
	e.line("")
	e.line("in   %s to %s, context %s", in.From, in.To, in.Context)
	e.line("     id %s", in.ID)
	e.text(in)
	received := "received"
	if !in.SentAt.IsZero() {
		received += ", " + span(in.At.Sub(in.SentAt)) + " after the platform's timestamp"
	}
	e.event(in.At, "%s", received)
	if !in.JournaledAt.IsZero() {
		e.event(in.JournaledAt, "journaled, and acknowledged after the commit")
	}
	switch {
	case in.Direction == api.DirectionState:
	case !in.Finished() && in.Error != "":
		e.event(in.RetryAt, "runs again")
	case !in.Finished():
	case in.Fate == api.FateDead:
		e.event(in.FinishedAt, "dead letter")
	case in.Fate == api.FateDropped:
		e.event(in.FinishedAt, "dropped by an operator")
	default:
		e.event(in.FinishedAt, "%s", decidedBy(in))
	}
	for i := range e.consent {
		if c := &e.consent[i]; l.Said(c) {
			e.event(c.At, "line %d of the ledger of consent: %s", c.Seq, changeWords(c))
		}
	}
}

// decidedBy says who decided what.
func decidedBy(in *api.Message) string {
	who := "no handler decided"
	if in.Handler != "" {
		who = "decided by " + in.Handler
	}
	if in.Runs > 0 {
		who += fmt.Sprintf(", after %s", plural(in.Runs, "run that failed", "runs that failed"))
	}
	switch n := len(in.Sends); n {
	case 0:
		return who + ": nothing to send"
	default:
		return who + ": " + plural(n, "text to send", "texts to send")
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// text shows what was written; whatever a terminal would act on is escaped.
func (e *explainer) text(m *api.Message) {
	switch {
	case m.Forgotten:
		e.line("     (its text was removed)")
	case m.Direction != api.DirectionState:
		e.line("     %s", strconv.Quote(m.Body))
	}
	for _, u := range m.Media {
		e.line("     media %s", u)
	}
}

// send tells what happened to a send.
func (e *explainer) send(l *api.Life, i int) {
	s := &l.Sends[i]
	e.line("")
	what := string(s.Category)
	if s.InReplyTo != "" && len(l.Sends) > 1 {
		what += fmt.Sprintf(" %d of %d", i+1, len(l.Sends))
	}
	e.line("out  %s to %s, context %s, %s: %s", s.From, s.To, s.Context, what, s.Status)
	e.line("     id %s", s.ID)
	e.text(s)
	if len(l.Sends) > 1 {
		fate, why := e.fateOf(s)
		e.line("     %s", fate)
		for _, w := range why {
			e.line("     %s", w)
		}
	}
	e.event(s.At, "decided to send")
	for j := range s.Attempts {
		a := &s.Attempts[j]
		e.event(a.ClaimedAt, "attempt %d: %s", a.Number, outcomeText(a))
		for _, st := range a.States {
			text := st.State
			if st.Reason != "" {
				text += ": " + st.Reason
			}
			e.event(st.At, "%s (+%s)", text, span(st.At.Sub(a.ClaimedAt)))
		}
		e.crossing(a)
	}
	if s.Status == messaging.StatusQueued && s.NotBefore.After(e.now) {
		e.event(s.NotBefore, "leaves, unless a rule says otherwise then")
	}
}

// outcomeText says what became of an attempt.
func outcomeText(a *api.Attempt) string {
	switch a.Outcome {
	case messaging.OutcomeOpen:
		return "on the wire, no answer yet"
	case messaging.OutcomeAccepted:
		if a.MessageID == "" {
			return "accepted"
		}
		return "accepted as " + a.MessageID
	case messaging.OutcomeRejected:
		return "refused: " + strings.TrimPrefix(refusal(a)[0], "The platform said: ")
	case messaging.OutcomeNotSent:
		return "did not leave"
	case messaging.OutcomeInDoubt:
		return "in doubt: " + orNothing(a.Reason)
	case messaging.OutcomeAbsent:
		return "was not accepted: " + orNothing(a.Reason)
	}
	return string(a.Outcome)
}

// printable replaces what a terminal would act on: a person may text escape sequences.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// shellWord quotes an id for a shell where it needs that.
func shellWord(id string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:#@+=", r)
	}
	if id != "" && id[0] != '-' && id[0] != '#' && !strings.ContainsFunc(id, func(r rune) bool { return !plain(r) }) {
		return id
	}
	return "'" + strings.ReplaceAll(id, "'", `'\''`) + "'"
}
