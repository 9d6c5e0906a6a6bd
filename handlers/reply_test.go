package handlers_test

import (
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

func TestReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, body, want string }{
		{"Thank you.", "hi", "Thank you."},
		{"You said: {{.Body}}", "hi", "You said: hi"},
		{"You said: {{.Body}}", "{{.From}}", "You said: {{.From}}"},
		{"{{.From}} {{.To}} {{.Context}}", "", "+12025550123 +12025550100 support"},
		{"{{.Body}}", "", ""},     // a message of media alone: nothing to say
		{"{{.Body}}", " \n ", ""}, // blank is nothing
	} {
		if got := reply(t, handlers.Reply(tt.text), message(tt.body)); got != tt.want {
			t.Errorf("%q over %q: got %q, want %q", tt.text, tt.body, got, tt.want)
		}
	}
}

// An answer to a delivery report would have reports of its own, without end.
func TestReplyDoesNotAnswerStates(t *testing.T) {
	t.Parallel()
	for _, s := range []messaging.State{messaging.StateDelivered, messaging.StateFailed} {
		if got := reply(t, handlers.Reply("hello"), state(s)); got != "" {
			t.Errorf("%s: got %q, want nothing", s, got)
		}
		mw := build(t, &handlers.ReplyOptions{Text: "hello"}, handlers.Env{})
		if got, want := reply(t, mw(passed), state(s)), "passed"; got != want {
			t.Errorf("%s before another handler: got %q, want %q", s, got, want)
		}
	}
}

func TestReplyEndsTheChain(t *testing.T) {
	t.Parallel()
	mw := build(t, &handlers.ReplyOptions{Text: "{{if eq .Body \"x\"}}y{{end}}"}, handlers.Env{})
	for body, want := range map[string]string{"x": "y", "z": ""} {
		if got := reply(t, mw(passed), message(body)); got != want {
			t.Errorf("%q: got %q, want %q", body, got, want)
		}
	}
}

func TestReplyMedia(t *testing.T) {
	t.Parallel()
	o := &handlers.ReplyOptions{Text: "Look: {{.Body}}", Media: []string{"https://example.com/a.png", "http://example.com/b.png"}}
	rec, err := messagingtest.Run(build(t, o, handlers.Env{})(passed), message("x"))
	if err != nil {
		t.Fatal(err)
	}
	s := rec.Sends()
	if len(s) != 1 || s[0].Body != "Look: x" || strings.Join(s[0].Media, " ") != strings.Join(o.Media, " ") {
		t.Errorf("got %+v, want one send with the text and both pictures", s)
	}
}

func TestReplyThatIsTooLongIsDropped(t *testing.T) {
	t.Parallel()
	rec, err := messagingtest.Run(handlers.Reply("You said: {{.Body}}"), message(strings.Repeat("x", 1600)))
	if !messaging.IsDrop(err) || len(rec.Sends()) != 0 {
		t.Fatalf("got %d sends, %v, want none and a Drop", len(rec.Sends()), err)
	}
	if strings.Contains(err.Error(), "xxx") {
		t.Errorf("the error quotes the message: %v", err)
	}
}
