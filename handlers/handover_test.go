package handlers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// near reports whether a time is d from now, give or take what a test takes.
func near(at time.Time, d time.Duration) bool {
	return (time.Until(at) - d).Abs() < time.Minute
}

func TestHandover(t *testing.T) {
	t.Parallel()
	url, got := endpoint(t, 200, `{"reply": "is not sent"}`)
	other, elsewhere := endpoint(t, 200, "")
	routes := new(handlers.Routes)
	env := handlers.Env{Routes: routes}
	build(t, &handlers.HandoverOptions{URL: other}, env)
	hand := build(t, &handlers.HandoverOptions{
		URL: url, Secret: "s3cret", For: handlers.Duration(4 * time.Hour), Reply: "Somebody answers.", Resume: []string{"BOT"}, Resumed: "Me again.",
	}, env)(passed)
	paused := routes.Paused()
	talk := &messagingtest.Talk{}
	step := func(h messaging.Handler, ev *messaging.Event, event, reply string, pause bool) {
		t.Helper()
		rec, err := talk.Run(t.Context(), h, ev)
		if err != nil || strings.Join(rec.Replies(), "|") != reply {
			t.Fatalf("%s: got %q, %v, want %q", ev.Body, rec.Replies(), err, reply)
		}
		p := <-got
		shape := asJSON(t, p.body)
		until, _ := shape["until"].(string)
		at, _ := time.Parse(time.RFC3339, until)
		if shape["event"] != event || shape["body"] != ev.Body || shape["message_id"] != ev.MessageID || near(at, 4*time.Hour) != pause {
			t.Errorf("%s: posted %v, want the event %s", ev.Body, shape, event)
		}
		if p.header.Get("Idempotency-Key") != ev.ID+"/"+event || handlers.Verify("s3cret", p.header.Get(handlers.SignatureHeader), []byte(p.body), time.Now(), time.Minute) != nil {
			t.Errorf("%s: key %q, or the signature is wrong", ev.Body, p.header.Get("Idempotency-Key"))
		}
		pauses := rec.Pauses()
		if len(pauses) != 1 || pause != near(pauses[0], 4*time.Hour) || !pause && !pauses[0].IsZero() {
			t.Errorf("%s: pauses %v", ev.Body, pauses)
		}
	}
	step(hand, message("AGENT"), "handover", "Somebody answers.", true)
	step(paused, message("My order?"), "message", "", true)
	step(paused, message("bot!"), "resumed", "Me again.", false)
	if diff := cmp.Diff(0, len(elsewhere)); diff != "" {
		t.Error("another handover of the context was told")
	}
	// Paused by somebody else: the first is told, and the end of the pause stays theirs.
	rec, err := (&messagingtest.Talk{}).Run(t.Context(), paused, message("Hello?"))
	if err != nil || len(rec.Pauses()) > 0 || asJSON(t, (<-elsewhere).body)["until"] != nil {
		t.Errorf("paused by somebody else: got %v, %v", rec.Pauses(), err)
	}
}

// Nobody must think that a person answers who was never told.
func TestHandoverIsNotHalfDone(t *testing.T) {
	t.Parallel()
	url, _ := endpoint(t, 500, "")
	h, err := handlers.NewHandover(handlers.HandoverOptions{URL: url, Reply: "Somebody answers."})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []messaging.Handler{h.Hand(), h.Paused()} {
		rec, err := messagingtest.Run(h, message("AGENT"))
		if kindOf(err) != "again" || len(rec.Replies()) > 0 || len(rec.Pauses()) > 0 {
			t.Errorf("got %q, %v and %v, want it tried again", rec.Replies(), rec.Pauses(), err)
		}
	}
	for want, o := range map[string]*handlers.HandoverOptions{
		"url: there is none":         {},
		"for: 1000h0m0s is no time":  {URL: url, For: handlers.Duration(1000 * time.Hour)},
		"for: -1s":                   {URL: url, For: handlers.Duration(-time.Second)},
		"resume[0]: \"\" has":        {URL: url, Resume: []string{""}},
		"reply: the template does":   {URL: url, Reply: "{{"},
		"resumed: the template does": {URL: url, Resumed: "{{"},
	} {
		if _, err := o.Middleware(handlers.Env{Routes: new(handlers.Routes)}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
