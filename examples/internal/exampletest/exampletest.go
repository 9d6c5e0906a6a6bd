// Package exampletest runs an example as its reader would: the daemon with its
// configuration, against a simulated space with telephones.
package exampletest

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// Person is a telephone, one with an account in the examples.
const Person = "+12025550123"

// patience bounds every wait, for machines that are busy with others.
const patience = 30 * time.Second

// Bot is an example that runs.
type Bot struct {
	Space *relaytest.Server

	t    *testing.T
	ctx  context.Context
	last uint64
}

// Start runs the daemon with a configuration file until the test ends. flags are laid over
// the file.
func Start(t *testing.T, path string, setup func(*contexts.Router), flags map[string]string) *Bot {
	t.Helper()
	space := relaytest.NewServer(t)
	all := map[string]string{
		"signalwire.project": "p", "signalwire.token": "t", "relay.url": space.URL(), "store": "sqlite:" + filepath.Join(t.TempDir(), "signpost.db"), "http.listen": "",
		"sending.limits": "off", // whoever texts so fast is no person, as the rules see it
	}
	for key, value := range flags {
		all[key] = value
	}
	cfg, findings := daemon.LoadConfig(daemon.Source{Path: path, Flags: all, ContextsInCode: setup != nil})
	for _, f := range findings {
		t.Errorf("an example has to be without findings: %s", f)
	}
	if cfg == nil {
		t.FailNow()
	}
	d, err := daemon.New(*cfg, setup, daemon.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	waiting, enough := context.WithTimeout(t.Context(), patience)
	defer enough()
	if _, err := space.WaitSessionFunc(waiting, func(s *relaytest.Session) bool { return len(s.Contexts()) > 0 }); err != nil {
		t.Fatal(err)
	}
	return &Bot{Space: space, t: t, ctx: ctx}
}

// Text sends a text from the person to a context.
func (b *Bot) Text(label, body string, media ...string) {
	b.t.Helper()
	if _, err := b.Space.Inject(relaytest.SMS{From: Person, Context: label, Body: body, Media: media}, relaytest.Target{}); err != nil {
		b.t.Fatal(err)
	}
}

// Answer waits for the next text on the person's telephone.
func (b *Bot) Answer() relaytest.Text {
	b.t.Helper()
	ctx, enough := context.WithTimeout(b.ctx, patience)
	defer enough()
	text, err := b.Space.Handset(Person).Next(ctx, b.last)
	if err != nil {
		b.t.Fatalf("no answer: %v", err)
	}
	b.last = text.Seq
	return text
}

// Converse texts a context and wants an answer.
func (b *Bot) Converse(label, body, want string) {
	b.t.Helper()
	b.Text(label, body)
	if got := b.Answer().Body; got != want {
		b.t.Errorf("%s, %q: got the answer %q, want %q", label, body, got, want)
	}
}
