package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/relay"
)

// ReminderOptions describe reminders of appointments: the options of the handler reminder,
// and in Go of [NewReminder].
//
// A message that reaches the handler makes an appointment. The reminder is sent Before it,
// when quiet hours allow, and never after it. From then on until the appointment the words of
// Confirm and Reschedule are taken wherever in the context they are texted, once; after a
// Reschedule there is no appointment any more. A person has one appointment in a conversation:
// a new one takes the place of the old one's answers.
type ReminderOptions struct {
	// At is when the appointment is: a template over [Data] whose result looks like
	// 2026-01-31 14:30 or 2026-01-31T14:30:00-06:00. Required.
	At string `yaml:"at"`
	// Zone is whose clock At goes by if it does not say, such as America/Chicago. Default: UTC.
	Zone string `yaml:"zone"`
	// Before is how long before the appointment the reminder is sent. Default: 24h.
	Before Duration `yaml:"before"`
	// Text is the reminder: a template over [Data], to which {{.When}} is when it is. Required.
	Text string `yaml:"text"`
	// Layout is how {{.When}} is written, as Go's time.Format has it. Default: Mon Jan 2 15:04.
	Layout string `yaml:"layout"`

	// Reply answers the message that made the appointment, Unclear one whose time cannot be
	// read or is over. Templates like Text. Default of Unclear: how to write it.
	Reply   string `yaml:"reply"`
	Unclear string `yaml:"unclear"`

	// Confirm and Reschedule are the words. Default: C and CONFIRM, R and RESCHEDULE.
	Confirm    []string `yaml:"confirm"`
	Reschedule []string `yaml:"reschedule"`
	// Confirmed and Rescheduled answer them; templates like Text. Default: nothing is said.
	Confirmed   string `yaml:"confirmed"`
	Rescheduled string `yaml:"rescheduled"`

	// URL is told of each answer, {"result", "at", "message_id", "from", "to", "body", "media",
	// "timestamp"}, with confirmed or reschedule for the result. The rules of [ForwardOptions]
	// about errors hold. Default: nobody is.
	URL string `yaml:"url"`
	// Secret, Timeout and Patience are as in ForwardOptions.
	Secret   relay.Secret `yaml:"secret"`
	Timeout  Duration     `yaml:"timeout"`
	Patience Duration     `yaml:"patience"`

	// Result is told of each answer instead of URL; it is for Go. What it decides is stored
	// with the answer.
	Result func(ctx context.Context, w messaging.Responder, ev *messaging.Event, r ReminderResult) error `yaml:"-"`
}

// ReminderResult is what a person answered to a reminder.
type ReminderResult struct {
	Confirmed bool // else they ask for another time
	At        time.Time
}

// Reminder reminds of appointments; see [NewReminder].
type Reminder struct {
	at                                          *Template
	zone                                        *time.Location
	before                                      time.Duration
	layout                                      string
	text, reply, unclear, confirmed, reschedule *Template // nil for none
	words                                       map[string]bool
	endpoint                                    *endpoint
	result                                      func(context.Context, messaging.Responder, *messaging.Event, ReminderResult) error
	brand                                       string
}

// NewReminder makes reminders. Put its answers before the other handlers of the context:
//
//	r.Context("desk", func(r *contexts.Router) {
//		r.With(rem.Answers, handlers.Keyword("BOOK", rem.Book())).OnMessage(handlers.Ignore())
//	})
func NewReminder(o ReminderOptions) (*Reminder, error) {
	return o.reminder(Env{Where: "handlers.NewReminder"})
}

const (
	// appointmentKey is the key of the session's value that holds a person's appointment.
	appointmentKey = "appointment"
	// whenMark stands for the time in a text until it is known: no template can print it by
	// itself.
	whenMark = "\x00when\x00"

	defaultLayout  = "Mon Jan 2 15:04"
	defaultUnclear = "Please write day and time like 2026-01-31 14:30."
)

func (o *ReminderOptions) reminder(env Env) (*Reminder, error) {
	r := &Reminder{before: orDuration(o.Before, 24*time.Hour), layout: o.Layout, words: map[string]bool{}, result: o.Result, brand: env.Brand, zone: time.UTC}
	if r.layout == "" {
		r.layout = defaultLayout
	}
	if o.Before < 0 {
		return nil, fmt.Errorf("before: %v is negative: give it a positive duration such as 24h", time.Duration(o.Before))
	}
	var err error
	if o.Zone != "" {
		if r.zone, err = time.LoadLocation(o.Zone); err != nil {
			return nil, fmt.Errorf("zone: %q is no time zone: write it like America/Chicago", o.Zone)
		}
	}
	if o.Unclear == "" {
		o.Unclear = defaultUnclear
	}
	for _, t := range []struct {
		key, text string
		to        **Template
		needed    bool
	}{
		{"at", o.At, &r.at, true},
		{"text", o.Text, &r.text, true},
		{"reply", o.Reply, &r.reply, false},
		{"unclear", o.Unclear, &r.unclear, false},
		{"confirmed", o.Confirmed, &r.confirmed, false},
		{"rescheduled", o.Rescheduled, &r.reschedule, false},
	} {
		if t.text == "" && !t.needed {
			continue
		}
		if *t.to, err = parseTemplate(whenIn(t.text), env); err != nil {
			return nil, fmt.Errorf("%s: %w", t.key, err)
		}
	}
	if err := r.readWords("confirm", o.Confirm, []string{"C", "CONFIRM"}, true); err != nil {
		return nil, err
	}
	if err := r.readWords("reschedule", o.Reschedule, []string{"R", "RESCHEDULE"}, false); err != nil {
		return nil, err
	}
	switch {
	case o.URL != "" && o.Result != nil:
		return nil, errors.New("url: the result goes to one place: keep URL or Result")
	case o.URL != "":
		r.endpoint, err = newEndpoint("reminder", "url", o.URL, o.Secret, o.Timeout, o.Patience)
	}
	return r, err
}

// whenIn makes {{.When}} a text that is replaced later: the data of a template has no such
// field.
func whenIn(text string) string {
	return strings.NewReplacer("{{.When}}", whenMark, "{{ .When }}", whenMark).Replace(text)
}

// readWords reads a list of words, none of which may mean anything else.
func (r *Reminder) readWords(key string, words, byDefault []string, confirms bool) error {
	if len(words) == 0 {
		words = byDefault
	}
	for i, w := range words {
		folded := Fold(w)
		if folded == "" {
			return fmt.Errorf("%s[%d]: %q has nothing to match: write a word, a number or an emoji", key, i, w)
		}
		// YES is an opt-in only from who has opted out, and gets no reminder.
		if v := consent.Classify(w, consent.State{}); v.Kind == consent.Stop || v.Kind == consent.Start || v.Kind == consent.Help {
			return fmt.Errorf("%s[%d]: %s means something else to everybody who gets texts, and never gets here: choose another word, such as C or R", key, i, strings.ToUpper(v.Word))
		}
		if _, taken := r.words[folded]; taken {
			return fmt.Errorf("%s[%d]: %s is there twice: keep one", key, i, w)
		}
		r.words[folded] = confirms
	}
	return nil
}

// Middleware makes a middleware that makes appointments, and puts the answers before the
// other handlers of the context.
func (o *ReminderOptions) Middleware(env Env) (messaging.Middleware, error) {
	r, err := o.reminder(env)
	if err != nil {
		return nil, err
	}
	if env.Routes == nil {
		return nil, errors.New("reminder has no context to put its answers into: in Go use handlers.NewReminder")
	}
	env.Routes.first = append(env.Routes.first, r.Answers)
	return func(next messaging.Handler) messaging.Handler {
		book := r.Book()
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind != messaging.KindMessage {
				return next.HandleEvent(ctx, w, ev)
			}
			return book.HandleEvent(ctx, w, ev)
		})
	}, nil
}

// Book is the handler that makes the appointment which a message asks for.
func (r *Reminder) Book() messaging.Handler {
	return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		d := dataOf(ev, r.brand, matchFrom(ctx))
		text, err := r.at.Execute(&d)
		if err != nil {
			return err
		}
		at, ok := readTime(text, r.zone)
		if !ok || !at.After(time.Now()) {
			return r.say(w, r.unclear, &d, at)
		}
		return r.Schedule(w, &d, at)
	})
}

// Schedule makes an appointment at a time that is known: it decides the reminder, notes the
// appointment, and gives Reply. d is what the texts are filled in from.
func (r *Reminder) Schedule(w messaging.Responder, d *Data, at time.Time) error {
	remind := at.Add(-r.before)
	now := time.Now()
	// Who makes one for sooner than that needs no reminder, and may still ask for another time.
	if remind.After(now) {
		text, err := r.fill(r.text, d, at)
		if err != nil {
			return err
		}
		w.Send(messaging.Send{Body: text, Category: messaging.CategoryNotification, NotBefore: remind, ExpiresAt: at})
	}
	w.Session().Set(appointmentKey, remind.UTC().Format(time.RFC3339)+" "+at.UTC().Format(time.RFC3339), at.Sub(now))
	return r.say(w, r.reply, d, at)
}

func (r *Reminder) fill(t *Template, d *Data, at time.Time) (string, error) {
	text, err := t.Execute(d)
	return strings.ReplaceAll(text, whenMark, at.In(r.zone).Format(r.layout)), err
}

func (r *Reminder) say(w messaging.Responder, t *Template, d *Data, at time.Time) error {
	if t == nil {
		return nil
	}
	text, err := r.fill(t, d, at)
	if err == nil && strings.TrimSpace(text) != "" {
		w.Reply(text)
	}
	return err
}

// readTime reads a time, with a zone of its own or in the one given.
func readTime(text string, zone *time.Location) (time.Time, bool) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, true
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 3:04PM", "2006-01-02 3:04 PM", "2006-01-02 3PM", "2006-01-02 3 PM"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// Answers takes the answers to reminders; every other message passes.
func (r *Reminder) Answers(next messaging.Handler) messaging.Handler {
	return &pure{before: []messaging.Handler{next}, run: func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		confirms, is := false, false
		if ev.Kind == messaging.KindMessage {
			confirms, is = r.words[Fold(ev.Body)]
		}
		if !is {
			return next.HandleEvent(ctx, w, ev)
		}
		value, ok, err := w.Session().Get(ctx, appointmentKey)
		if err != nil {
			return err
		}
		remindText, atText, _ := strings.Cut(value, " ")
		remind, remindErr := time.Parse(time.RFC3339, remindText)
		at, atErr := time.Parse(time.RFC3339, atText)
		if !ok || remindErr != nil || atErr != nil || remind.After(time.Now()) {
			return next.HandleEvent(ctx, w, ev)
		}
		return r.answered(ctx, w, ev, ReminderResult{confirms, at})
	}}
}

// answered ends an appointment's reminder with its answer.
func (r *Reminder) answered(ctx context.Context, w messaging.Responder, ev *messaging.Event, res ReminderResult) error {
	if err := r.tell(ctx, w, ev, res); err != nil {
		return err
	}
	w.Session().Delete(appointmentKey)
	d := dataOf(ev, r.brand, nil)
	if res.Confirmed {
		return r.say(w, r.confirmed, &d, res.At)
	}
	return r.say(w, r.reschedule, &d, res.At)
}

type reminderShape struct {
	Result string `json:"result"`
	At     string `json:"at"`
	plainMessageShape
}

func (r *Reminder) tell(ctx context.Context, w messaging.Responder, ev *messaging.Event, res ReminderResult) error {
	switch {
	case r.result != nil:
		return r.result(ctx, w, ev, res)
	case r.endpoint == nil:
		return nil
	}
	p := reminderShape{Result: "reschedule", At: res.At.In(r.zone).Format(time.RFC3339), plainMessageShape: plainMessage(ev)}
	if res.Confirmed {
		p.Result = "confirmed"
	}
	body, err := json.Marshal(p)
	if err != nil {
		return messaging.Drop(fmt.Errorf("reminder: encode the answer: %w", err))
	}
	_, err = r.endpoint.post(ctx, ev.ID, body, ev.ReceivedAt)
	return err
}
