package contexts_test

import (
	"context"
	"fmt"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
)

func ExampleRouter() {
	answer := func(text string) messaging.Handler {
		return messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
			w.Reply(text)
			return nil
		})
	}
	r := contexts.NewRouter()
	r.Context("support", func(r *contexts.Router) {
		r.OnMessage(answer("Thank you. We will answer within the hour."))
		r.OnState(answer("unused"), messaging.StateFailed)
	})
	r.Context("sales", func(r *contexts.Router) {
		r.OnMessage(answer("Our prices: example.com/prices"))
	})

	fmt.Println(r.Names())
	_ = r.Walk(func(rt contexts.Route) error {
		fmt.Println(rt.Context, rt.Kind, rt.States)
		return nil
	})
	// Output:
	// [sales support]
	// sales message []
	// support message []
	// support state [failed]
}
