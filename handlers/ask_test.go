package handlers_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

func TestAsk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &handlers.AskOptions{
			Question: "{{.Body}}: MON or TUE?", TTL: handlers.Duration(2 * time.Hour), Otherwise: "MON or TUE, please.",
			Answers: map[string]handlers.Action{"MON": {Reply: "Monday."}, "TUE": {Template: "hours"}},
			Chain:   handlers.Chain{Then: handlers.Keyword("LATER", handlers.Reply("Fine."))},
		}
		routes := new(handlers.Routes)
		mw := build(t, o, handlers.Env{Templates: templates(t), Routes: routes})
		rec, err := messagingtest.Run(mw(passed), message("BOOK"))
		if err != nil || len(rec.Asked()) != 1 || len(routes.Answers()) != 1 {
			t.Fatalf("asked %v with %d answer routes, %v", rec.Asked(), len(routes.Answers()), err)
		}
		asked := rec.Asked()[0]
		if asked.Text != "BOOK: MON or TUE?" || asked.TTL != 2*time.Hour {
			t.Errorf("asked: got %+v", asked)
		}
		answers := routes.Answers()[asked.Name]
		if answers == nil {
			t.Fatalf("nobody takes the answer to %q", asked.Name)
		}
		ctx := messaging.WithQuestion(t.Context(), messaging.Question{Name: asked.Name, AskedAt: time.Now(), ExpiresAt: time.Now().Add(asked.TTL)})
		time.Sleep(30 * time.Minute)
		for body, want := range map[string]string{"Mon!": "Monday.", "tue": "We're open Mon-Fri 9am-5pm.", "later": "Fine."} {
			rec, err := messagingtest.RunContext(ctx, answers, message(body))
			if diff := cmp.Diff([]string{want}, rec.Replies()); diff != "" || err != nil || len(rec.Asked()) > 0 {
				t.Errorf("%s: %v (-want +got):\n%s", body, err, diff)
			}
		}
		// What is no answer is asked for again, and for no longer than before.
		rec, err = messagingtest.RunContext(ctx, answers, message("SUN"))
		if diff := cmp.Diff([]messagingtest.Asked{{Text: "MON or TUE, please.", Name: asked.Name, TTL: 90 * time.Minute}}, rec.Asked()); diff != "" || err != nil {
			t.Errorf("no answer: %v (-want +got):\n%s", err, diff)
		}
		if got := reply(t, mw(passed), state(messaging.StateSent)); got != "passed" {
			t.Errorf("a state: got %q", got)
		}
	})
}

func TestAskPassesWhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	q, err := handlers.NewQuestion(handlers.AskOptions{Question: "MON or TUE?", Answers: map[string]handlers.Action{"MON": {Reply: "Monday."}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := messagingtest.Run(q.Answer(), message("SUN")); !errors.Is(err, messaging.ErrPass) {
		t.Errorf("no answer: got %v, want it to go on to the chain", err)
	}
	same, err := handlers.NewQuestion(handlers.AskOptions{Question: "MON or TUE?", Answers: map[string]handlers.Action{"WED": {Reply: "x"}}})
	if err != nil || same.Name() != q.Name() {
		t.Errorf("the same question after a restart: got the name %q, %v, want %q", same.Name(), err, q.Name())
	}
}

func TestAskOptions(t *testing.T) {
	t.Parallel()
	one := map[string]handlers.Action{"A": {Reply: "x"}}
	for want, o := range map[string]*handlers.AskOptions{
		"answers: a question needs":    {Question: "x"},
		"question: the text is empty":  {Answers: one},
		"ttl: -1s":                     {Question: "x", Answers: one, TTL: handlers.Duration(-time.Second)},
		"name: it has more":            {Question: "x", Answers: one, Name: strings.Repeat("x", 1000)},
		"otherwise: the template does": {Question: "x", Answers: one, Otherwise: "{{"},
		"answers: A: it does nothing":  {Question: "x", Answers: map[string]handlers.Action{"A": {}}},
	} {
		if _, err := o.Middleware(handlers.Env{Routes: new(handlers.Routes)}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	env := handlers.Env{Routes: new(handlers.Routes)}
	o := &handlers.AskOptions{Question: "x", Answers: one}
	build(t, o, env)
	if _, err := o.Middleware(env); err == nil || !strings.HasPrefix(err.Error(), "name: another question") {
		t.Errorf("the same question twice: got %v", err)
	}
}
