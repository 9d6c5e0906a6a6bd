package policy

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/loop"
	"github.com/signpost-sms/signpost/messaging/media"
	"github.com/signpost-sms/signpost/messaging/quiet"
	"github.com/signpost-sms/signpost/messaging/rules"
)

// Rules are the rules for messaging.Config.Rules, in the order in which they are asked. They
// follow Configure.
func (p *Policy) Rules() []messaging.Rule {
	return []messaging.Rule{mediaRule{p}, geoRule{p}, duplicateRule{p}, loopRule{p}, quietRule{p}, paceRule{p}}
}

func suppress(reason, rule string) messaging.Verdict {
	return messaging.Verdict{Status: messaging.StatusSuppressed, Reason: reason, Rule: rule}
}

// mediaRule refuses media that the platform would not take.
type mediaRule struct{ *Policy }

func (r mediaRule) Ask(_ time.Time, s *messaging.Send) messaging.Verdict {
	if len(s.Media) == 0 {
		return messaging.Verdict{}
	}
	if err := media.Check(s.Media, media.Class(r.now.Load().class(s.From))); err != nil {
		return suppress(media.Reason, media.RuleOf(err))
	}
	return messaging.Verdict{}
}

// geoRule refuses countries that were not allowed.
type geoRule struct{ *Policy }

func (r geoRule) Ask(_ time.Time, s *messaging.Send) messaging.Verdict {
	if v := r.now.Load().geo.Ask(string(s.From), string(s.To)); !v.OK {
		return suppress(v.Reason, v.Rule)
	}
	return messaging.Verdict{}
}

// duplicateRule refuses the same text to the same number within a moment.
type duplicateRule struct{ *Policy }

func (r duplicateRule) Ask(now time.Time, s *messaging.Send) messaging.Verdict {
	if !mayRepeatByMistake(s.Category) {
		return messaging.Verdict{}
	}
	if v := r.duplicates.Ask(now, string(s.ID[:]), string(s.To), content(s)); !v.OK {
		return suppress(v.Reason, v.Rule)
	}
	return messaging.Verdict{}
}

func (r duplicateRule) Release(_ time.Time, s *messaging.Send) {
	if mayRepeatByMistake(s.Category) {
		r.duplicates.Forget(string(s.ID[:]), string(s.To), content(s))
	}
}

// mayRepeatByMistake leaves out answers, which repeat when the question does.
func mayRepeatByMistake(c messaging.Category) bool {
	switch c {
	case messaging.CategoryReply, messaging.CategoryConsent, messaging.CategoryTransactional:
		return false
	}
	return true
}

// content is what a person sees of a send.
func content(s *messaging.Send) string {
	if len(s.Media) == 0 {
		return s.Body
	}
	return s.Body + "\x00" + strings.Join(s.Media, "\x00")
}

// loopRule ends the talk of two machines.
type loopRule struct{ *Policy }

func (r loopRule) asks(s *messaging.Send) bool {
	return s.Category == messaging.CategoryReply && !r.now.Load().cfg.LimitsOff
}

func (r loopRule) Ask(now time.Time, s *messaging.Send) messaging.Verdict {
	if !r.asks(s) {
		return messaging.Verdict{}
	}
	if v := r.breaker.Reply(now, conv(s.Conversation()), s.Body); !v.OK {
		return suppress(v.Reason, v.Rule)
	}
	return messaging.Verdict{}
}

func (r loopRule) Release(at time.Time, s *messaging.Send) {
	if r.asks(s) {
		r.breaker.Cancel(at, conv(s.Conversation()), s.Body)
	}
}

// Heard is messaging.Listener.
func (r loopRule) Heard(ev *messaging.Event) {
	if ev.Kind != messaging.KindMessage || !r.hearing.isNew(ev.ID) {
		return
	}
	r.hearing.learn(ev.To)
	if !r.now.Load().cfg.LimitsOff {
		r.breaker.Inbound(r.hearing.sent(ev), conv(ev.Conversation()), ev.Body)
	}
}

func conv(c messaging.Conversation) loop.Conv {
	return loop.Conv{Ours: string(c.Ours), Theirs: string(c.Theirs)}
}

// quietRule holds what may not arrive at night.
type quietRule struct{ *Policy }

// noOpening is when a send is asked about again for which no window opens soon.
const noOpening = 24 * time.Hour

func (r quietRule) Ask(now time.Time, s *messaging.Send) messaging.Verdict {
	hours := r.now.Load().quiet
	v := hours.Ask(now, quiet.Class(s.Category), quiet.Recipient{Number: string(s.To)})
	if v.Allowed {
		return messaging.Verdict{}
	}
	r.opening = binary.BigEndian.Uint64(s.ID[8:]) >> 2 // the random part of the id
	at, ok := hours.Defer(v, s.ExpiresAt)
	switch {
	case ok:
	case v.NextOpening.IsZero():
		at = now.Add(noOpening)
	default:
		at = v.NextOpening // past its expiry, which the gate sees
	}
	return messaging.Verdict{Status: messaging.StatusQueued, Reason: rules.QuietHours, Rule: v.Rule.ID, Until: at}
}
