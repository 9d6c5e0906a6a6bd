package handlers

import (
	"log/slog"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// Builtin is a handler that a configuration can use by name.
type Builtin struct {
	Doc     string // one sentence: what it does
	Example string // its shortest useful YAML, without the leading dash
	// Kind is what it serves: KindMessage for a link of a context's message chain,
	// KindState for one of its state chain, 0 for either.
	Kind messaging.Kind
	// New returns a pointer to options with their defaults, ready to decode into.
	New func() Options
}

// Options are what a built-in is configured with: a pointer to a struct whose yaml tags name
// its keys. They may also implement [Scalar] and [Nester]. Those of a KindState built-in
// implement [StateOptions].
type Options interface {
	// Middleware checks the options and makes the middleware. The error names the key at
	// fault and says how to mend it.
	Middleware(env Env) (messaging.Middleware, error)
}

// Scalar is implemented by options that have a short form, such as `reply: text`. The text
// may be empty.
type Scalar interface {
	Options
	Shorthand
}

// Shorthand is implemented by what may be written as one text instead of keys with values,
// such as an [Action].
type Shorthand interface {
	// SetScalar takes the text.
	SetScalar(text string) error
}

// Nester is implemented by options that take a chain of their own under the key "handlers".
// A decoder takes that key out, builds the chain in NestedEnv, and hands it to SetNested
// before it calls Middleware.
type Nester interface {
	Options
	// NestedEnv is the environment of the nested chain; env is that of the options.
	NestedEnv(env Env) (Env, error)
	SetNested(chain messaging.Middleware)
}

// StateOptions are the options of a built-in that serves delivery states.
type StateOptions interface {
	Options
	// ForStates lists the states that the handler wants to see; none means all.
	ForStates() []messaging.State
}

// Env is what a built-in gets from where it is used. The zero Env works.
type Env struct {
	// Where is the place in the configuration, for error texts: contexts.support.handlers[1].
	Where string
	// Brand is the value of {{.Brand}}.
	Brand string
	// Templates are the named texts that handlers can answer with; nil for none.
	Templates *texts.Set
	// Routes takes what handlers need besides their place in the chain; nil where there is
	// no context to take it.
	Routes *Routes
	// Logger is where log and on_state write; nil means slog.Default.
	Logger *slog.Logger

	// groups are the names of the groups that each regular expression of an enclosing
	// keyword sets; an unnamed group is empty.
	groups [][]string
}

func (e Env) logger() *slog.Logger {
	if e.Logger != nil {
		return e.Logger
	}
	return slog.Default()
}

// Builtins returns the built-in handlers by their names in a configuration.
func Builtins() map[string]Builtin {
	return map[string]Builtin{
		"recover": {
			Doc:     "Turns a panic of the handlers after it into an error, so that the event is tried again.",
			Example: "recover:",
			New:     func() Options { return new(RecoverOptions) },
		},
		"timeout": {
			Doc:     "Gives the handlers after it a deadline.",
			Example: "timeout: 10s",
			New:     func() Options { return new(TimeoutOptions) },
		},
		"log": {
			Doc:     "Logs each event with its outcome and duration; numbers masked, bodies as their length.",
			Example: "log: info",
			New:     func() Options { return new(LogOptions) },
		},
		"keyword": {
			Doc:     "Answers a message that is, begins with, or matches one of some words.",
			Example: `keyword: {words: [HOURS, OPEN], reply: "We're open Mon-Fri 9am-5pm"}`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(KeywordOptions) },
		},
		"reply": {
			Doc:     "Answers every message that reaches it with a text or a template.",
			Example: `reply: "You said: {{.Body}}"`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(ReplyOptions) },
		},
		"template": {
			Doc:     "Answers every message that reaches it with one of the texts under templates.",
			Example: "template: {name: welcome, locale: es, variables: {shop: \"{{.Context}}\"}}",
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(TemplateOptions) },
		},
		"menu": {
			Doc:     "Offers choices, by words; what is no choice is answered with them, once an hour.",
			Example: `menu: {text: "Reply 1 for hours, 2 for prices.", choices: {"1": "Tue-Sat 10-7.", "2": {template: hours}}}`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(MenuOptions) },
		},
		"unknown": {
			Doc:     "Answers what reaches it so many times an hour in a conversation; the others pass.",
			Example: `unknown: {reply: "Sorry, a person has to read that.", times: 2, every: 1h}`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(UnknownOptions) },
		},
		"ask": {
			Doc:     "Asks something, and takes the answer when it comes.",
			Example: `ask: {question: "Which day suits you, MON or TUE?", answers: {MON: "Monday it is.", TUE: "Tuesday it is."}}`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(AskOptions) },
		},
		"handover": {
			Doc:     "Hands the conversation to a person, whom it tells of each message, and is silent meanwhile.",
			Example: `handover: {url: "http://127.0.0.1:5000/handover", for: 4h, reply: "A person will answer you here.", resume: [BOT]}`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(HandoverOptions) },
		},
		"reminder": {
			Doc:     "Makes an appointment, reminds of it, and takes the answer to the reminder.",
			Example: `reminder: {at: "{{.Body}}", zone: America/Chicago, text: "See you on {{.When}}. Reply C to confirm or R to reschedule."}`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(ReminderOptions) },
		},
		"ignore": {
			Doc:     "Completes every event that reaches it without an answer.",
			Example: "ignore:",
			New:     func() Options { return new(IgnoreOptions) },
		},
		"forward": {
			Doc:     "Posts messages, or delivery states, to an HTTP endpoint of yours; its answer may carry the reply.",
			Example: `forward: {url: "http://127.0.0.1:5000/incoming-sms"}`,
			New:     func() Options { return new(ForwardOptions) },
		},
		"exec": {
			Doc:     "Runs a program for messages, or delivery states; what it prints may be the reply.",
			Example: "exec: {command: [/usr/local/bin/answer, --sms], timeout: 5s}",
			New:     func() Options { return new(ExecOptions) },
		},
		"save_media": {
			Doc:     "Saves the media of messages as files of a directory; messages without any pass.",
			Example: `save_media: {dir: /var/lib/signpost/pictures, types: ["image/*", application/pdf], continue: true}`,
			Kind:    messaging.KindMessage,
			New:     func() Options { return new(SaveMediaOptions) },
		},
		"on_state": {
			Doc:     "Logs what became of the messages sent from the context; by default those that failed.",
			Example: "on_state: {states: [failed, undelivered], log: warn}",
			Kind:    messaging.KindState,
			New:     func() Options { return new(StateLogOptions) },
		},
	}
}
