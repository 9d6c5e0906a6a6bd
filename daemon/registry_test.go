package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

// builtinExamples are the examples that the built-ins document, by name.
func builtinExamples() map[string]string {
	examples := make(map[string]string)
	for name, b := range handlers.Builtins() {
		examples[name] = b.Example
	}
	return examples
}

// collected is a responder that keeps the texts of replies.
type collected struct {
	messaging.Responder // of no use: no handler of these tests remembers anything
	replies             []string
}

func (c *collected) Reply(text string)                   { c.replies = append(c.replies, text) }
func (c *collected) ReplyMedia(text string, _ ...string) { c.replies = append(c.replies, text) }
func (c *collected) OptOut(string)                       {}
func (c *collected) OptIn(string)                        {}
func (c *collected) Send(s messaging.Send)               { c.replies = append(c.replies, s.Body) }

// answers runs an event through the contexts of a configuration.
func answers(t *testing.T, cfg *Config, ev messaging.Event) []string {
	t.Helper()
	r := contexts.NewRouter()
	if err := cfg.addContexts(r, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Fatal(err)
	}
	var w collected
	if err := r.HandleEvent(t.Context(), &w, &ev); err != nil {
		t.Fatal(err)
	}
	return w.replies
}

// text is an inbound.
func text(ctx, body string) messaging.Event {
	return messaging.Event{Kind: messaging.KindMessage, Context: ctx, From: "+12025550101", To: "+12025550199", Body: body}
}

// answer makes a handler that replies.
func answer(reply string) messaging.Handler {
	return messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
		w.Reply(reply)
		return nil
	})
}

// ticketOptions has a key of every shape.
type ticketOptions struct {
	URL    string            `yaml:"url"`
	Tries  int               `yaml:"tries"`
	Labels map[string]string `yaml:"labels"`
	Queues []struct {
		Name string `yaml:"name"`
	} `yaml:"queues"`
	Weight *float64 `yaml:"weight"`
	Any    any      `yaml:"any"`
	Odd    odd      `yaml:"odd"`
	Skip   string   `yaml:"-"`
	Plain  uint8
	Counts map[int]string `yaml:"counts"`
	shared `yaml:",inline"`
	Shared `yaml:",inline"`
}

type shared struct{ Hidden string }

type Shared struct {
	Team string `yaml:"team"`
}

func (o *ticketOptions) SetDefaults() { o.Tries = 3 }

// odd reads itself.
type odd struct{ text string }

func (o *odd) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "wrong" {
		return errors.New("not odd enough")
	}
	o.text = "<" + n.Value + ">"
	return nil
}

// ticket is a handler of somebody's own.
func ticket(o ticketOptions) (messaging.Handler, error) {
	switch {
	case o.URL == "panic":
		panic("secret of the panic")
	case o.URL == "nil":
		return nil, nil
	}
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" {
		return nil, errors.New("url: it has no host")
	}
	weight := "none"
	if o.Weight != nil {
		weight = fmt.Sprint(*o.Weight)
	}
	return answer(fmt.Sprintf("%s|%d|%v|%v|%s|%v|%s|%d|%s", o.URL, o.Tries, o.Labels, o.Queues, weight, o.Any, o.Odd.text, o.Plain, o.Team)), nil
}

// own are the handlers of this test.
func own() []Option {
	return []Option{
		Handler("ticket", ticket),
		Handler("greet", func(text string) (messaging.Handler, error) { return answer(text), nil }),
		Handler("fixed", func(struct{}) (messaging.Handler, error) { return answer("fixed"), nil }),
		Middleware("shout", func(struct{}) (messaging.Middleware, error) {
			return func(next messaging.Handler) messaging.Handler {
				return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
					w.Reply("!")
					return next.HandleEvent(ctx, w, ev)
				})
			}, nil
		}),
	}
}

// loadOwn loads one context with the handlers, each a line.
func loadOwn(items ...string) (*Config, Findings) {
	text := "contexts:\n  support:\n    handlers:\n"
	for _, i := range items {
		text += "      - " + i + "\n"
	}
	return LoadConfig(Source{Path: "c.yaml", Text: []byte(text), Environ: credentials("PORT=8080")}, own()...)
}

func TestOwnHandlers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		items []string
		want  []string
	}{
		"name only":  {[]string{"fixed"}, []string{"fixed"}},
		"no options": {[]string{"fixed:"}, []string{"fixed"}},
		"short form": {[]string{"greet: Hello"}, []string{"Hello"}},
		"middleware": {[]string{"shout", "greet: Hello", "fixed"}, []string{"!", "Hello"}},
		"long form": {
			[]string{`ticket: {url: "http://h:${PORT}/", labels: {a: "1"}, queues: [{name: q}], weight: 0.5, any: [1, x], odd: o, plain: 7, team: t}`},
			[]string{`http://h:8080/|3|map[a:1]|[{q}]|0.5|[1 x]|<o>|7|t`},
		},
		"defaults":        {[]string{`ticket: {url: "http://h/"}`}, []string{`http://h/|3|map[]|[]|none|<nil>||0|`}},
		"among built-ins": {[]string{"keyword: {words: [HI], handlers: [shout, {greet: Hello}]}", "fixed"}, []string{"!", "Hello"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, found := loadOwn(tc.items...)
			if len(found) > 0 {
				t.Fatal(found)
			}
			for range 2 { // a reload builds again
				if diff := cmp.Diff(tc.want, answers(t, cfg, text("support", "hi"))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestOwnHandlersThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		item string
		want string // the finding
	}{
		"error at its key":    {`ticket: {tries: 2, url: nowhere}`, "c.yaml:4:33: handler-options: ticket: url: it has no host"},
		"error elsewhere":     {`ticket: {tries: 2}`, "c.yaml:4:17: handler-options: ticket: url: it has no host"},
		"name only":           {`ticket`, "c.yaml:4:9: handler-options: ticket: url: it has no host"},
		"panic":               {`ticket: {url: panic}`, "c.yaml:4:17: handler-options: ticket: its factory panicked with a string"},
		"no handler":          {`ticket: {url: nil}`, "c.yaml:4:17: handler-options: ticket: its factory returned no handler"},
		"misspelt key":        {`ticket: {ulr: "http://h/"}`, `c.yaml:4:18: unknown-key: unknown key "ulr"; did you mean url?`},
		"inlined key":         {`ticket: {url: "http://h/", taem: x}`, `c.yaml:4:36: unknown-key: unknown key "taem"; did you mean team?`},
		"key without a tag":   {`ticket: {url: "http://h/", Plain: 1}`, `c.yaml:4:36: unknown-key: unknown key "Plain"; did you mean plain?`},
		"deep key":            {`ticket: {url: "http://h/", queues: [{nmae: x}]}`, `c.yaml:4:46: unknown-key: unknown key "nmae"; did you mean name?`},
		"wrong number":        {`ticket: {url: "http://h/", tries: x}`, `c.yaml:4:43: bad-number: tries: "x" is not a whole number`},
		"large number":        {`ticket: {url: "http://h/", plain: 256}`, `c.yaml:4:43: bad-number: plain: "256" is out of range`},
		"wrong map":           {`ticket: {url: "http://h/", labels: [a]}`, "c.yaml:4:44: wrong-type: labels is a list and not keys with values"},
		"wrong map key":       {`ticket: {url: "http://h/", counts: {x: y}}`, `c.yaml:4:45: bad-number: "x" is not a whole number`},
		"wrong list":          {`ticket: {url: "http://h/", queues: {a: b}}`, "c.yaml:4:44: wrong-type: queues is keys with values and not a list"},
		"reads itself":        {`ticket: {url: "http://h/", odd: wrong}`, "c.yaml:4:41: bad-value: odd: not odd enough"},
		"options for none":    {`fixed: {a: b}`, `c.yaml:4:17: unknown-key: unknown key "a"; remove it`},
		"a value for none":    {`fixed: 7`, "c.yaml:4:16: wrong-type: the options of fixed are one value; write it without a value"},
		"a list for text":     {`greet: [a]`, "c.yaml:4:16: wrong-type: greet is a list and not one value"},
		"misspelt name":       {`tikcet`, `c.yaml:4:9: unknown-handler: unknown handler "tikcet"; did you mean ticket? The handlers are ask, exec, fixed,`},
		"unset, reads itself": {`ticket: {url: "http://h/", odd: "${NONE}"}`, "c.yaml:4:42: unset-variable: the environment variable NONE is not set"},
		"unset name":          {`"${NONE}"`, "c.yaml:4:10: unset-variable: the environment variable NONE is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, found := loadOwn(tc.item)
			if cfg != nil || len(found) != 1 {
				t.Fatalf("got %d findings, want 1:\n%s", len(found), found)
			}
			if got := found[0].String(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if strings.Contains(found.String(), "secret of the panic") {
				t.Errorf("repeats the value of a panic: %s", found)
			}
		})
	}
}

func TestNamesOfHandlers(t *testing.T) {
	t.Parallel()
	build := func(struct{}) (messaging.Handler, error) { return answer("x"), nil }
	for name, opts := range map[string][]Option{
		"empty":    {Handler("", build)},
		"built in": {Handler("reply", build)},
		"twice":    {Handler("mine", build), Handler("mine", build)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: did not panic", name)
				}
			}()
			registryOf(opts)
		}()
	}
	// Two programs in one process do not share names.
	registryOf([]Option{Handler("mine", build)})
	if _, there := registryOf(nil).entries["mine"]; there {
		t.Error("a name is known without its option")
	}
}

func TestChains(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, `
brand: Example
contexts:
  support:
    handlers:
      - keyword: {words: [HOURS], reply: "{{.Brand}} is open"}
      - keyword: {words: [ORDER], match: prefix, handlers: [{keyword: {words: [ORDER 1], reply: one}}]}
      - reply: "You said: {{.Body}}"
    states:
      - on_state: {states: [failed]}
  Support:
    handlers: [ignore, {reply: never}]
  sales:
    handlers: [{keyword: {words: [BUY], reply: sold}}]
`)
	for _, tc := range []struct {
		ctx, body string
		want      []string
	}{
		{"support", "hours", []string{"Example is open"}},
		{"support", "order 1", []string{"one"}},
		{"support", "order 2", []string{"You said: order 2"}}, // passed on by the nested chain
		{"support", "hello", []string{"You said: hello"}},
		{"Support", "hours", nil},
		{"sales", "buy", []string{"sold"}},
		{"sales", "hello", nil}, // nobody decided; that is an end too
	} {
		if diff := cmp.Diff(tc.want, answers(t, cfg, text(tc.ctx, tc.body))); diff != "" {
			t.Errorf("%s to %s: %s", tc.body, tc.ctx, diff)
		}
	}
}

// TestStateChains proves that states reach the chain of states and not that of messages.
func TestStateChains(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, `
contexts:
  support:
    handlers: [{log: info}, {reply: never}]
    states:
      - on_state: {states: [failed], log: error}
  sales:
    handlers: [{log: info}, {reply: never}]
`)
	var log strings.Builder
	r := contexts.NewRouter()
	if err := cfg.addContexts(r, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	for _, ctx := range []string{"support", "sales"} {
		for _, s := range []messaging.State{messaging.StateFailed, messaging.StateDelivered} {
			var w collected
			ev := messaging.Event{Kind: messaging.KindState, Context: ctx, State: s}
			if err := r.HandleEvent(t.Context(), &w, &ev); err != nil || len(w.replies) > 0 {
				t.Errorf("%s of %s: %v, replies %q", s, ctx, err, w.replies)
			}
		}
	}
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("want one record, of the failure:\n%s", log.String())
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"See https://bit.ly/abc":         "lint public-shortener",
		"See BIT.LY/abc":                 "lint public-shortener",
		"See www.tinyurl.com":            "lint public-shortener",
		"See t.co/abc":                   "warning other-shortener",
		"Go to exhibit.ly/x":             "",
		"Mail us: help@bit.ly":           "",
		"See https://bit.ly.example.com": "",
		"Wait a bit. Lyons":              "",
	} {
		for _, form := range []string{
			"{reply: %q}", "{keyword: {words: [A], reply: %q}}", "{keyword: {words: [A], handlers: [{reply: %q}]}}",
		} {
			cfg, found := load(t, fmt.Sprintf("contexts: {support: {handlers: ["+form+"]}}\n", body))
			got := ""
			if len(found) == 1 {
				got = found[0].Severity.String() + " " + found[0].Rule
			}
			if got != want || len(found) > 1 {
				t.Errorf("%s: got %v, want %q", fmt.Sprintf(form, body), found, want)
			}
			if cfg == nil {
				t.Errorf("%q: lint must not make a configuration unusable", body)
			}
			if wantCode := strings.HasPrefix(want, "lint"); wantCode != (found.ExitCode() == ExitFindings) {
				t.Errorf("%q: exit code %d", body, found.ExitCode())
			}
		}
	}
	// A word list is no text that anybody gets.
	if _, found := load(t, "contexts: {support: {handlers: [{keyword: {words: [bit.ly], reply: a}}]}}\n"); len(found) > 0 {
		t.Errorf("got %s", found)
	}
}
