package handlers_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"go.yaml.in/yaml/v4"
)

// decode builds a built-in from one YAML item, as a configuration would.
func decode(item string, env handlers.Env) (messaging.Middleware, handlers.Options, error) {
	var m map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(item), &m); err != nil {
		return nil, nil, err
	}
	for name, node := range m {
		b, ok := handlers.Builtins()[name]
		if !ok {
			return nil, nil, fmt.Errorf("no built-in %q", name)
		}
		o := b.New()
		if node.Kind == yaml.ScalarNode {
			text := node.Value
			if node.ShortTag() == "!!null" {
				text = ""
			}
			s, ok := o.(handlers.Scalar)
			if !ok {
				return nil, nil, fmt.Errorf("%s has no short form", name)
			}
			if err := s.SetScalar(text); err != nil {
				return nil, nil, err
			}
		} else if err := node.Load(o, yaml.WithKnownFields()); err != nil {
			return nil, nil, err
		}
		mw, err := o.Middleware(env)
		return mw, o, err
	}
	return nil, nil, fmt.Errorf("empty item")
}

// What the documentation shows must work as shown.
func TestBuiltinExamplesWork(t *testing.T) {
	t.Parallel()
	for name, b := range handlers.Builtins() {
		if name == "menu" || name == "ask" {
			continue // their actions have a short form, which the configuration's decoder knows
		}
		mw, o, err := decode(b.Example, handlers.Env{Templates: templates(t), Routes: new(handlers.Routes)})
		if err != nil {
			t.Errorf("%s: example %q: %v", name, b.Example, err)
			continue
		}
		if !strings.HasPrefix(b.Example, name+":") || !strings.HasSuffix(b.Doc, ".") {
			t.Errorf("%s: got example %q and doc %q, want an example of itself and a sentence", name, b.Example, b.Doc)
		}
		if mw(handlers.Ignore()) == nil {
			t.Errorf("%s: the middleware makes no handler", name)
		}
		if _, ok := o.(handlers.StateOptions); ok != (b.Kind == messaging.KindState) {
			t.Errorf("%s: options for states: got %v for a built-in of kind %v", name, ok, b.Kind)
		}
	}
}

// Two items of one configuration must not configure each other.
func TestBuiltinOptionsAreFresh(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"reply": "x", "timeout": "1s", "log": "info"} {
		b := handlers.Builtins()[name]
		want := fmt.Sprintf("%+v", b.New())
		if err := b.New().(handlers.Scalar).SetScalar(value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := fmt.Sprintf("%+v", b.New()); got != want {
			t.Errorf("%s: new options are %s after others were set, want %s", name, got, want)
		}
	}
}

func TestBuiltinsFromYAML(t *testing.T) {
	t.Parallel()
	env := handlers.Env{Brand: "Acme"}
	for _, tt := range []struct{ item, body, want string }{
		{`reply: "You said: {{.Body}}"`, "hi", "You said: hi"},
		{`reply: {text: "{{.Brand}}"}`, "hi", "Acme"},
		{`keyword: {words: [HOURS], match: exact, reply: "9 to 5", media: ["https://example.com/a.png"]}`, "hours!", "9 to 5"},
		{`keyword: {words: [HOURS], reply: "9 to 5"}`, "x", "passed"},
		{`keyword: {words: ['^order (?P<id>\d+)$'], match: regexp, reply: "{{.Groups.id}}"}`, "Order 7", "7"},
		{"ignore:", "hi", ""},
		{"ignore: {}", "hi", ""},
		{"recover:", "hi", "passed"},
		{"timeout: 1m30s", "hi", "passed"},
		{"timeout: {after: 5s}", "hi", "passed"},
		{"log:", "hi", "passed"},
		{"log: {level: debug}", "hi", "passed"},
		{"on_state: {}", "hi", "passed"},
	} {
		mw, _, err := decode(tt.item, env)
		if err != nil {
			t.Errorf("%s: %v", tt.item, err)
			continue
		}
		if got := reply(t, mw(passed), message(tt.body)); got != tt.want {
			t.Errorf("%s over %q: got %q, want %q", tt.item, tt.body, got, tt.want)
		}
	}
}

func TestBuiltinsRefuseMistakes(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		`reply: ""`:                "empty",
		`reply: {text: x, txt: y}`: "txt",
		`keyword: HOURS`:           "no short form",
		`keyword: {words: [x], reply: y, mach: exact}`: "mach",
		`timeout: 10`:                           "unit",
		`timeout: {after: 10}`:                  "unit",
		`timeout: -1s`:                          "positive",
		`timeout: {}`:                           "positive",
		`log: loud`:                             "debug, info, warn or error",
		`log: {level: loud}`:                    "level:",
		`recover: yes please`:                   "no value",
		`ignore: x`:                             "no value",
		`on_state: {states: [failed, receved]}`: "states[1]",
		`on_state: {log: loud}`:                 "log:",
	} {
		if _, _, err := decode(item, handlers.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error about %q", item, err, want)
		}
	}
}

func TestOnStateFromYAML(t *testing.T) {
	t.Parallel()
	var j journal
	env := handlers.Env{Logger: j.logger(slog.LevelDebug)}
	mw, o, err := decode("on_state: {}", env)
	if err != nil {
		t.Fatal(err)
	}
	want := []messaging.State{messaging.StateFailed, messaging.StateUndelivered}
	if got := o.(handlers.StateOptions).ForStates(); !slices.Equal(got, want) {
		t.Errorf("default states: got %q, want %q", got, want)
	}
	for _, s := range []messaging.State{messaging.StateFailed, messaging.StateDelivered} {
		if got := reply(t, mw(passed), state(s)); got != "passed" {
			t.Errorf("%s: got %q, want it passed on", s, got)
		}
	}
	if r := j.records(t); len(r) != 1 || r[0]["level"] != "WARN" || r[0]["state"] != "failed" {
		t.Errorf("got log %s, want one warning about the failed state", j.String())
	}
}

func TestOnStateNestedChain(t *testing.T) {
	t.Parallel()
	var j journal
	o := &handlers.StateLogOptions{States: []messaging.State{messaging.StateDelivered}, Log: "info"}
	o.SetNested(func(next messaging.Handler) messaging.Handler { return handlers.Ignore() })
	h := build(t, o, handlers.Env{Logger: j.logger(slog.LevelInfo)})(passed)
	if got := reply(t, h, state(messaging.StateDelivered)); got != "" {
		t.Errorf("named state: got %q, want it decided by the nested chain", got)
	}
	if got, want := reply(t, h, state(messaging.StateFailed)), "passed"; got != want {
		t.Errorf("other state: got %q, want %q", got, want)
	}
	if got := len(j.records(t)); got != 1 {
		t.Errorf("got %d records, want 1", got)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	var d handlers.Duration
	if err := d.UnmarshalText([]byte("1m30s")); err != nil || d != handlers.Duration(90*time.Second) {
		t.Errorf("1m30s: got %v, %v", d, err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "1m30s" {
		t.Errorf("marshalled: got %q, %v", text, err)
	}
}
