package handlers_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/texts"
)

const sender, ours messaging.Number = "+12025550123", "+12025550100"

func message(body string) *messaging.Event {
	return messagingtest.NewMessage("support", sender, ours, body)
}

func state(s messaging.State) *messaging.Event {
	return messagingtest.NewState("support", "b7e7d4d0-3f6e-4f53-9c53-1f1a1ab0f000", ours, sender, s)
}

// passed answers with a word that tells that the event came through.
var passed = messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
	w.Reply("passed")
	return nil
})

// reply is what a handler answers; empty for nothing.
func reply(t *testing.T, h messaging.Handler, ev *messaging.Event) string {
	t.Helper()
	rec, err := messagingtest.Run(h, ev)
	if err != nil {
		t.Fatalf("handle %q: %v", ev.Body, err)
	}
	switch sends := rec.Sends(); len(sends) {
	case 0:
		return ""
	case 1:
		return sends[0].Body
	default:
		t.Fatalf("handle %q: got %d sends, want at most one", ev.Body, len(sends))
		return ""
	}
}

// build makes the middleware of options.
func build(t *testing.T, o handlers.Options, env handlers.Env) messaging.Middleware {
	t.Helper()
	mw, err := o.Middleware(env)
	if err != nil {
		t.Fatalf("%T: %v", o, err)
	}
	return mw
}

// journal is a log that tests can read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: level}))
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// records decodes what was logged.
func (j *journal) records(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(j.String())))
	for dec.More() {
		var r map[string]any
		if err := dec.Decode(&r); err != nil {
			t.Fatalf("log record: %v", err)
		}
		all = append(all, r)
	}
	return all
}

// templates are those that the examples use.
func templates(t *testing.T) *texts.Set {
	t.Helper()
	set, problems := texts.NewSet("Acme", map[string]texts.Definition{
		"welcome": {Text: "Welcome to {{.shop}}.", Locales: map[string]string{"es": "Bienvenido a {{.shop}}."}},
		"hours":   {Text: "We're open Mon-Fri 9am-5pm.", Brand: texts.BrandOff},
		"echo":    {Text: "You said {{.Body}} in {{.Context}}", Brand: texts.BrandOff, MaxSegments: 1},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

// panicOf is what f panics with.
func panicOf(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}

// mac is the HMAC-SHA256 of a text in hexadecimal digits.
func mac(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}
