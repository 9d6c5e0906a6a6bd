package handlers_test

import (
	"fmt"
	"log/slog"
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

func TestReplyThatIsTooLongIsCut(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("ü", handlers.MaxReply)
	want := "You said: " + strings.Repeat("ü", handlers.MaxReply-11) + "…"
	for _, text := range []string{"You said: {{.Body}}", "You said: {{lower .Body}}", "You said: {{range .Media}}{{.}}{{else}}{{$.Body}}{{end}}"} {
		var j journal
		mw := build(t, &handlers.ReplyOptions{Text: text}, handlers.Env{Where: "here", Logger: j.logger(slog.LevelInfo)})
		if got := reply(t, mw(passed), message(body)); got != want {
			t.Errorf("%s: got %d bytes, want %d that end with an ellipsis", text, len(got), len(want))
		}
		lines := j.records(t)
		if len(lines) != 1 || lines[0]["level"] != "WARN" || lines[0]["characters_at_least"] != float64(handlers.MaxReply+10) || lines[0]["template"] != "here" {
			t.Errorf("%s: got the log %v, want one warning with the place and the length", text, lines)
		}
		if strings.Contains(fmt.Sprint(lines), "üü") {
			t.Errorf("%s: the log quotes the message: %v", text, lines)
		}
	}
}
