package contexts

import (
	"context"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
)

type clerk struct{}

func (clerk) HandleEvent(context.Context, messaging.Responder, *messaging.Event) error { return nil }

func answer(context.Context, messaging.Responder, *messaging.Event) error { return nil }

func TestNameOf(t *testing.T) {
	for want, h := range map[string]messaging.Handler{
		"contexts.answer": messaging.HandlerFunc(answer), "contexts.clerk": clerk{}, "*contexts.clerk": &clerk{},
	} {
		if got := nameOf(h); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
