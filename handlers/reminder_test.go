package handlers_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// clinic makes reminders the day before, and notes the results.
func clinic(t *testing.T, results *[]handlers.ReminderResult) (book, answers messaging.Handler) {
	t.Helper()
	r, err := handlers.NewReminder(handlers.ReminderOptions{
		At: "{{.Body}}", Zone: "America/Chicago", Text: "See you on {{.When}}. Reply C to confirm or R to reschedule.",
		Reply: "Booked for {{.When}}.", Confirmed: "Thank you, {{.When}}.", Rescheduled: "We call you.",
		Result: func(_ context.Context, _ messaging.Responder, _ *messaging.Event, r handlers.ReminderResult) error {
			*results = append(*results, r)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Book(), r.Answers(passed)
}

func TestReminder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the bubble's clock begins on 2000-01-01, a Saturday
		var results []handlers.ReminderResult
		book, answers := clinic(t, &results)
		talk := &messagingtest.Talk{}
		at := time.Date(2000, 1, 5, 20, 30, 0, 0, time.UTC)
		rec, err := talk.Run(t.Context(), book, message("2000-01-05 14:30"))
		want := []messaging.Send{
			{
				Body:     "See you on Wed Jan 5 14:30. Reply C to confirm or R to reschedule.",
				Category: messaging.CategoryNotification, NotBefore: at.Add(-24 * time.Hour), ExpiresAt: at,
			},
			{Body: "Booked for Wed Jan 5 14:30.", Category: messaging.CategoryReply},
		}
		if diff := cmp.Diff(want, rec.Sends()); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		expect(t, talk, answers, "C", "passed") // nobody has been reminded yet
		time.Sleep(time.Until(at.Add(-23 * time.Hour)))
		expect(t, talk, answers, "hello", "passed", "confirm!", "Thank you, Wed Jan 5 14:30.", "C", "passed")
		if len(results) != 1 || !results[0].Confirmed || !results[0].At.Equal(at) {
			t.Errorf("results: got %v", results)
		}
		expect(t, &messagingtest.Talk{}, answers, "C", "passed", "R", "passed") // who has no appointment

		says(t, talk, book, "2000-01-06 9:00am")
		expect(t, talk, answers, "r", "passed")
		time.Sleep(20 * time.Hour)
		expect(t, talk, answers, "r", "We call you.", "r", "passed")
		says(t, talk, book, "2000-01-07 14:30")
		time.Sleep(100 * time.Hour)
		expect(t, talk, answers, "C", "passed") // it is over
	})
}

func TestReminderReadsTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var results []handlers.ReminderResult
		book, _ := clinic(t, &results)
		const unclear = "Please write day and time like 2026-01-31 14:30."
		for text, want := range map[string]string{
			"2000-01-05 14:30": "Booked for Wed Jan 5 14:30.", " 2000-01-05 2:30 pm ": "Booked for Wed Jan 5 14:30.", "2000-01-05 2pm": "Booked for Wed Jan 5 14:00.",
			"2000-01-05T20:30:00Z": "Booked for Wed Jan 5 14:30.", "2000-01-05t14:30": "Booked for Wed Jan 5 14:30.",
			"tomorrow": unclear, "": unclear, "1999-12-31 14:30": unclear, "2000-02-30 14:30": unclear,
		} {
			rec, err := messagingtest.Run(book, message(text))
			if err != nil {
				t.Fatal(err)
			}
			replies := rec.Replies()
			if len(replies) != 1 || replies[0] != want {
				t.Errorf("%q: got %q, want %q", text, replies, want)
			}
			if booked := len(rec.Sends()) == 2; booked != (want != unclear) {
				t.Errorf("%q: %d sends", text, len(rec.Sends()))
			}
		}
		// Sooner than the reminder would be: none.
		rec, err := messagingtest.Run(book, message("2000-01-01 10:00"))
		if diff := cmp.Diff([]string{"Booked for Sat Jan 1 10:00."}, rec.Replies()); diff != "" || err != nil || len(rec.Sends()) != 1 {
			t.Errorf("today: %v, %d sends (-want +got):\n%s", err, len(rec.Sends()), diff)
		}
	})
}

func TestReminderTellsTheEndpoint(t *testing.T) {
	t.Parallel()
	url, got := endpoint(t, 200, "")
	routes := new(handlers.Routes)
	mw := build(t, &handlers.ReminderOptions{At: "{{.Body}}", Text: "See you on {{.When}}.", URL: url}, handlers.Env{Routes: routes})
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for word, result := range map[string]string{"C": "confirmed", "RESCHEDULE": "reschedule"} {
		talk := &messagingtest.Talk{}
		says(t, talk, mw(passed), at.Format(time.RFC3339))
		ev := message(word)
		if _, err := talk.Run(t.Context(), routes.First()[0](passed), ev); err != nil {
			t.Fatal(err)
		}
		p := <-got
		shape := asJSON(t, p.body)
		if shape["result"] != result || shape["at"] != at.Format(time.RFC3339) || shape["message_id"] != ev.MessageID || shape["from"] != string(sender) {
			t.Errorf("%s: posted %v", word, shape)
		}
	}
}

func TestReminderOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]*handlers.ReminderOptions{
		"at: the text is empty":             {Text: "x"},
		"text: the text is empty":           {At: "x"},
		"text: the template":                {At: "x", Text: "{{.Wen}}"},
		"zone: \"Chicago\" is no time zone": {At: "x", Text: "x", Zone: "Chicago"},
		"before: -1s":                       {At: "x", Text: "x", Before: handlers.Duration(-time.Second)},
		"confirm[1]: QUIT means something":  {At: "x", Text: "x", Confirm: []string{"OK", "quit"}},
		"reschedule[0]: CANCEL means":       {At: "x", Text: "x", Reschedule: []string{"Cancel"}},
		"reschedule[0]: HELP means":         {At: "x", Text: "x", Reschedule: []string{"help"}},
		"reschedule[0]: ok is there twice":  {At: "x", Text: "x", Confirm: []string{"OK"}, Reschedule: []string{"ok"}},
		"confirm[0]: \"\" has nothing":      {At: "x", Text: "x", Confirm: []string{""}},
		"url: not a web address":            {At: "x", Text: "x", URL: "x"},
		"url: the result goes to one": {At: "x", Text: "x", URL: "http://x", Result: func(context.Context, messaging.Responder, *messaging.Event, handlers.ReminderResult) error {
			return nil
		}},
	} {
		if _, err := o.Middleware(handlers.Env{Routes: new(handlers.Routes)}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
