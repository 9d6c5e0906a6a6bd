package main

import (
	"context"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

// remindAfter is when somebody who asked for a call is told that it is coming.
const remindAfter = 20 * time.Hour

// sales sends the plans as a picture and takes requests for a call.
func (b business) sales(r *contexts.Router) {
	r.Use(
		handlers.Keyword("PLANS", messaging.HandlerFunc(b.plans)),
		handlers.Keyword("CALL", messaging.HandlerFunc(b.callBack)),
		handlers.Keyword("HELP", handlers.Reply("Corner Shop sales: text PLANS or CALL, or call (202) 555-0143. Reply STOP to end.")),
	)
	r.OnMessage(handlers.Reply("Sales here. Text PLANS for our plans, or CALL and we call you tomorrow."))
}

func (b business) plans(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
	w.ReplyMedia("Our plans start at $9 a month. Text CALL and we call you tomorrow.", b.brochure)
	return nil
}

// callBack answers now, and reminds tomorrow. What is due later waits in the journal, leaves
// outside of quiet hours only, and not at all if the person texts STOP before.
func (b business) callBack(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
	w.Reply("We call you tomorrow between 10 and 12. Is another time better? Just text it.")
	w.Send(messaging.Send{
		To:        ev.From,
		Category:  messaging.CategoryNotification,
		Body:      "Corner Shop: we call you today between 10 and 12.",
		NotBefore: b.now().Add(remindAfter),
		ExpiresAt: b.now().Add(remindAfter + 12*time.Hour),
	})
	return nil
}
