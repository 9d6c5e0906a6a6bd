package api

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/media"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// Forwards knows the inbounds that are with an endpoint of the operator's: what the endpoint
// sends on their pair is its answer. *handlers.Forwards implements it.
type Forwards interface {
	// Claim tells to which inbound a send belongs, and the key under which it is sent once
	// however often the inbound is forwarded.
	Claim(from, to messaging.Number, body string) (inReplyTo, key string, ok bool)
}

// Sending is what the API has to know to send. The zero value sends nothing: there is no
// context.
type Sending struct {
	// Project is shown as the project's id.
	Project string
	// Contexts are those that the daemon is subscribed to, sorted.
	Contexts func() []string
	// Recent are those who wrote lately; nil: nobody is known to have written.
	Recent *Recent
	// ReplyWindow is for how long what is sent to somebody who wrote is a reply, and
	// ReplyExpires for how long a reply is worth sending.
	ReplyWindow, ReplyExpires func() time.Duration
	// Forwards, if not nil, is asked about every send through the platform's paths.
	Forwards Forwards
	// Callback says what keeps a URL from being called; nil: no URL is called.
	Callback func(url string) error
	// Options are how texts are counted in segments.
	Options sms.Options
}

// draft is a send as somebody asks for it.
type draft struct {
	from, to, body       string
	media                []string
	context, category    string
	priority             int
	notBefore, expiresAt time.Time
	callback             string
	custom               map[string]string
	key                  string
}

// wrong is one thing that keeps a draft from being sent.
type wrong struct {
	attribute, code, message string
}

func (w *wrong) Error() string { return w.attribute + ": " + w.message }

// fault is the same for a problem.
func (w *wrong) fault() *fault { return &fault{"body." + w.attribute, errors.New(w.message)} }

var (
	recipient = regexp.MustCompile(`^(\+[1-9][0-9]{4,16}|[0-9]{3,6})$`) // E.164, short codes, and numbers such as 988
	sender    = regexp.MustCompile(`^(\+[1-9][0-9]{4,16}|[0-9]{5,6})$`)
	customKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
)

// The bounds of custom variables, those of the platform, and of an idempotency key.
const (
	customMost      = 20
	customValueMost = 1024
	keyMost         = 200
)

// reserved begin the names of variables that are the platform's own.
var reserved = []string{"signalwire_", "sw_", "rtc_", "internal_"}

// check says what is wrong with a draft by itself.
func (d *draft) check(s *Sending) *wrong {
	switch {
	case d.to == "":
		return &wrong{"to", "missing_to_number", "it is missing: the number to send to"}
	case !recipient.MatchString(d.to):
		return &wrong{"to", "invalid_to_number", "it is no phone number: write it with + and country code, such as +15551234567"}
	case d.from == "":
		return &wrong{"from", "missing_from_number", "it is missing: one of your numbers"}
	case !sender.MatchString(d.from):
		return &wrong{"from", "invalid_from_number", "it is no phone number: write one of your numbers with + and country code, or a short code"}
	case d.to == d.from:
		return &wrong{"to", "invalid_to_number", "it is the same as from"}
	case d.body == "" && len(d.media) == 0:
		return &wrong{"body", "missing_body", "it is missing: a message needs a body or media"}
	case !utf8.ValidString(d.body) || strings.ContainsRune(d.body, 0):
		return &wrong{"body", "invalid_body", "it is no text: it holds NUL or is no UTF-8"}
	case utf8.RuneCountInString(d.body) > sms.MaxCharacters:
		return &wrong{"body", "body_too_long", fmt.Sprintf("it is longer than %d characters", sms.MaxCharacters)}
	case len(d.key) > keyMost || strings.ContainsFunc(d.key, func(c rune) bool { return c <= ' ' || c > '~' }):
		return &wrong{"key", "invalid_idempotency_key", fmt.Sprintf("it has more than %d characters, or others than the printable ones of ASCII", keyMost)}
	}
	if len(d.media) > 0 {
		if err := media.Check(d.media, media.Class(sms.ClassOf(d.from))); err != nil {
			return &wrong{"media", "invalid_media", strings.TrimPrefix(err.Error(), "media: ")}
		}
	}
	if d.callback != "" {
		if err := s.callable(d.callback); err != nil {
			return &wrong{"status_callback", "invalid_status_callback", err.Error()}
		}
	}
	return d.checkCustom()
}

func (d *draft) checkCustom() *wrong {
	const code = "invalid_custom_variables"
	if len(d.custom) > customMost {
		return &wrong{"custom_variables", code, fmt.Sprintf("there are more than %d", customMost)}
	}
	for name, value := range d.custom {
		switch {
		case !customKey.MatchString(name):
			return &wrong{"custom_variables", code, "a name has letters, digits and underscores, and begins with no digit"}
		case slices.ContainsFunc(reserved, func(p string) bool { return strings.HasPrefix(name, p) }):
			return &wrong{"custom_variables", code, "names that begin with " + strings.Join(reserved, ", ") + " are the platform's"}
		case value == "" || len(value) > customValueMost || !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			return &wrong{"custom_variables", code, fmt.Sprintf("a value has 1 to %d bytes of text", customValueMost)}
		}
	}
	return nil
}

// callable says what keeps a URL from being called.
func (s *Sending) callable(url string) error {
	if len(url) > messaging.MaxCallback {
		return fmt.Errorf("it is longer than %d bytes", messaging.MaxCallback)
	}
	if s.Callback == nil {
		return errors.New("this daemon calls nobody")
	}
	return s.Callback(url)
}

// categories are those that somebody may ask for; consent answers are the engine's own.
var categories = []messaging.Category{
	messaging.CategoryReply, messaging.CategoryTransactional, messaging.CategoryNotification, messaging.CategoryMarketing,
}

// compose makes a send of a draft. The category, unless it is given, is reply for somebody
// who wrote on the pair lately, and otherwise notification.
func (s *Sending) compose(d *draft, now time.Time) (messaging.Send, *wrong) {
	if w := d.check(s); w != nil {
		return messaging.Send{}, w
	}
	out := messaging.Send{
		ID: uuid.Must(uuid.NewV7()), From: messaging.Number(d.from), To: messaging.Number(d.to), Body: d.body, Media: d.media,
		Category: messaging.Category(d.category), Priority: messaging.Priority(d.priority), NotBefore: d.notBefore, ExpiresAt: d.expiresAt,
		Callback: d.callback, Custom: d.custom, Key: d.key,
	}
	switch {
	case d.category == "":
		out.Category = messaging.CategoryNotification
		if last, ok := s.Recent.last(out.Conversation()); ok && now.Sub(last.at) <= s.ReplyWindow() {
			out.Category = messaging.CategoryReply
		}
	case !slices.Contains(categories, out.Category):
		return out, &wrong{"category", "invalid_category", "it is none of " + joined(categories)}
	}
	switch {
	case d.priority < 0 || d.priority > int(messaging.PriorityBulk) || d.priority == int(messaging.PriorityConsent):
		return out, &wrong{"priority", "invalid_priority", "it is none of 2, 3 and 4"}
	case !out.ExpiresAt.IsZero() && (!out.ExpiresAt.After(now) || !out.ExpiresAt.After(out.NotBefore)):
		return out, &wrong{"expires_at", "invalid_expires_at", "it has passed, or lies before not_before"}
	case out.NotBefore.After(now.Add(scheduleMost)):
		return out, &wrong{"not_before", "invalid_not_before", "it lies more than a year ahead"}
	}
	if out.ExpiresAt.IsZero() && out.Category == messaging.CategoryReply && s.ReplyExpires != nil {
		out.ExpiresAt = now.Add(s.ReplyExpires())
		if out.NotBefore.After(now) {
			out.ExpiresAt = out.NotBefore.Add(s.ReplyExpires())
		}
	}
	var w *wrong
	out.Context, w = s.contextOf(out.Conversation(), d.context)
	return out, w
}

// scheduleMost is how far ahead a send may be scheduled.
const scheduleMost = 366 * 24 * time.Hour

// contextOf chooses the context on which the states of a send come back: the one that is
// asked for, the one on which the person wrote last, the one on which anybody wrote to the
// number last, or the first.
func (s *Sending) contextOf(pair messaging.Conversation, asked string) (string, *wrong) {
	var served []string
	if s.Contexts != nil {
		served = s.Contexts()
	}
	if asked != "" {
		if slices.Contains(served, asked) {
			return asked, nil
		}
		return "", &wrong{"context", "unknown_context", "the daemon is not subscribed to it; it is to " + strings.Join(served, ", ")}
	}
	if last, ok := s.Recent.last(pair); ok && slices.Contains(served, last.context) {
		return last.context, nil
	}
	if label, ok := s.Recent.contextOf(pair.Ours); ok && slices.Contains(served, label) {
		return label, nil
	}
	if len(served) == 0 {
		return "", &wrong{"context", "no_context", "the daemon is subscribed to none; configure one under contexts"}
	}
	return served[0], nil
}
