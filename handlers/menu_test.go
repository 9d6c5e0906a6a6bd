package handlers_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// says runs one message of a conversation and gives what is answered.
func says(t *testing.T, talk *messagingtest.Talk, h messaging.Handler, body string) []string {
	t.Helper()
	rec, err := talk.Run(t.Context(), h, message(body))
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return rec.Replies()
}

// expect compares what is answered to one message after the other.
func expect(t *testing.T, talk *messagingtest.Talk, h messaging.Handler, pairs ...string) {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if got := strings.Join(says(t, talk, h, pairs[i]), "|"); got != pairs[i+1] {
			t.Errorf("message %d, %q: got %q, want %q", i/2+1, pairs[i], got, pairs[i+1])
		}
	}
}

func TestMenu(t *testing.T) {
	t.Parallel()
	env := handlers.Env{Templates: templates(t)}
	mw := build(t, &handlers.MenuOptions{
		Text: "Reply 1 or 2.", Words: []string{"MENU"}, Unknown: "What?",
		Choices: map[string]handlers.Action{
			"1": {Reply: "one {{.Context}}"}, "2": {Template: "hours"},
			"BOOK": {Handler: handlers.Reply("booked")}, "👍": {Media: []string{"https://example.com/a.png"}},
			"MORE": {Chain: handlers.Chain{Then: handlers.Keyword("X", handlers.Ignore())}},
		},
	}, env)
	synctest.Test(t, func(t *testing.T) {
		h, talk := mw(passed), &messagingtest.Talk{}
		expect(t, talk, h,
			"1", "one support", " 1. ", "one support", "2", "We're open Mon-Fri 9am-5pm.", "book!", "booked", "👍🏽", "", "menu", "Reply 1 or 2.",
			"more", "passed", // its chain passed it on
			"hello", "What?", "hello", "passed", "menu", "Reply 1 or 2.", "", "passed",
		)
		time.Sleep(time.Hour - time.Second)
		expect(t, talk, h, "hello", "passed")
		time.Sleep(time.Second)
		expect(t, talk, h, "hello", "What?", "hello", "passed")
		expect(t, &messagingtest.Talk{}, h, "hello", "What?") // another conversation
	})
	if got := reply(t, mw(passed), state(messaging.StateSent)); got != "passed" {
		t.Errorf("a state: got %q", got)
	}
	if !messaging.IsInstant(mw(handlers.Ignore())) {
		t.Error("a choice is not answered at once")
	}
	expect(t, &messagingtest.Talk{}, handlers.Menu("Reply 1.", map[string]messaging.Handler{"1": handlers.Reply("one")})(passed), "x", "Reply 1.", "1", "one")
}

func TestMenuOptions(t *testing.T) {
	t.Parallel()
	one := map[string]handlers.Action{"1": {Reply: "one"}}
	for want, o := range map[string]*handlers.MenuOptions{
		"choices: a menu needs":              {Text: "x"},
		"text: the text is empty":            {Choices: one},
		"every: -1s":                         {Text: "x", Choices: one, Every: handlers.Duration(-time.Second)},
		"words[0]: 1! is one of the choices": {Text: "x", Choices: one, Words: []string{"1!"}},
		"words[0]: \"\" has nothing":         {Text: "x", Choices: one, Words: []string{""}},
		"choices: a! is there twice":         {Text: "x", Choices: map[string]handlers.Action{"A": {Reply: "x"}, "a!": {Reply: "x"}}},
		"choices: \" \" has nothing":         {Text: "x", Choices: map[string]handlers.Action{" ": {Reply: "x"}}},
		"choices: A: it does nothing":        {Text: "x", Choices: map[string]handlers.Action{"A": {}}},
		"choices: A: it does several":        {Text: "x", Choices: map[string]handlers.Action{"A": {Reply: "x", Template: "hours"}}},
		"choices: A: template: there is no":  {Text: "x", Choices: map[string]handlers.Action{"A": {Template: "x"}}},
		"choices: A: reply: the template":    {Text: "x", Choices: map[string]handlers.Action{"A": {Reply: "{{"}}},
		"unknown: the template":              {Text: "x", Choices: one, Unknown: "{{"},
	} {
		if _, err := o.Middleware(handlers.Env{Templates: templates(t)}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	ctx := handlers.WithMetrics(t.Context(), handlers.NewMetrics(reg))
	synctest.Test(t, func(t *testing.T) {
		h, talk := handlers.Unknown("What, {{.Body}}?", 2, 10*time.Minute)(passed), &messagingtest.Talk{}
		var got []string
		for range 4 {
			for range 3 {
				rec, err := talk.Run(ctx, h, message("x"))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, rec.Replies()...)
			}
			time.Sleep(5 * time.Minute)
		}
		want := strings.Split("What, x?|What, x?|passed|passed|passed|passed|What, x?|What, x?|passed|passed|passed|passed", "|")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("twice in ten minutes (-want +got):\n%s", diff)
		}
	})
	wanted := `# HELP signpost_unknown_messages_total Messages that a menu, or the handler unknown, did not understand; answered is yes or no.
# TYPE signpost_unknown_messages_total counter
signpost_unknown_messages_total{answered="no",context="support"} 8
signpost_unknown_messages_total{answered="yes",context="support"} 4
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(wanted), "signpost_unknown_messages_total"); err != nil {
		t.Error(err)
	}
	for want, o := range map[string]*handlers.UnknownOptions{
		"reply: the text is empty": {}, "times: it is negative": {Reply: "x", Times: -1}, "every: -1s": {Reply: "x", Every: handlers.Duration(-time.Second)},
	} {
		if _, err := o.Middleware(handlers.Env{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
