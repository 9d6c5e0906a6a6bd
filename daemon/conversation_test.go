package daemon

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/contexts"
)

// A conversation with the configuration of the corpus: a menu, a question whose answer makes
// an appointment, and a person who takes over and gives back.
func TestConversationFromConfiguration(t *testing.T) {
	t.Parallel()
	posted := make(chan string, 100)
	endpoint := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p struct{ Event, Body string }
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		posted <- p.Event + " " + p.Body
	}))
	t.Cleanup(endpoint.Close)
	text, err := os.ReadFile("testdata/config/good/conversation.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, found := LoadConfig(Source{Text: []byte(strings.ReplaceAll(string(text), "http://127.0.0.1:5000", endpoint.URL)), Environ: credentials()})
	if cfg == nil {
		t.Fatal(found)
	}
	space := newSpace(t)
	sim := simConfig(space.URL())
	sim.Sending.Limits = false // the person here writes as fast as a machine
	r := startConfigured(t, sim, space, func(r *contexts.Router) {
		if err := cfg.addContexts(r, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
			t.Error(err)
		}
	})
	r.waitReady()
	when := time.Now().Add(72 * time.Hour).Format("2006-01-02 15:04")
	for _, turn := range [][2]string{
		{"hello", "I did not understand. Text MENU for what I know."},
		{"hello again", "A person has to read that."},
		{"2", "Cleaning $80."},
		{"MON", "A person has to read that."}, // nobody asked
		{"BOOK", "Which day suits you? Reply MON or TUE, or write a date."},
		{"Sunday", "Please reply MON or TUE."},
		{"mon", "Monday it is."},
		{"BOOK", "Which day suits you? Reply MON or TUE, or write a date."},
		{when, "Booked for "},
		{"AGENT", "A person will answer you here."},
		{"1", ""}, // the menu is silent now
		{"Bot!", "It's me again."},
		{"1", "Mon-Thu 8-5."},
	} {
		before := len(r.replies())
		r.text("desk", turn[0])
		if turn[1] == "" {
			if got, want := <-posted+"|"+<-posted, "handover AGENT|message 1"; got != want {
				t.Errorf("posted %q, want %q", got, want)
			}
			continue
		}
		for deadline := time.Now().Add(30 * time.Second); len(r.replies()) == before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q: no answer\n%s", turn[0], r.log)
			}
		}
		if got := r.replies()[before]; !strings.HasPrefix(got, turn[1]) {
			t.Fatalf("%q: got %q, want %q", turn[0], got, turn[1])
		}
	}
	if got, want := <-posted, "resumed Bot!"; got != want {
		t.Errorf("posted %q, want %q", got, want)
	}
}
