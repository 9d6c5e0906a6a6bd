package relaytest_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// conversation is one whole exchange: in, ack, answer, states.
func conversation(t *testing.T, s *relaytest.Server) {
	c := connected(t, s, "office")
	sess := s.Session(t)
	d := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "hi"})
	ev := c.event("messaging.receive")
	if d.Done() {
		t.Error("acked before the client answered")
	}
	c.ack(ev)
	if err := d.Wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	f := c.call("messaging.send", sendParams(map[string]any{"tags": []string{"k-1"}}))
	if got := f.code(t); got != "200" {
		t.Errorf("code %q, want 200: %s", got, f.raw)
	}
	want := []string{"queued", "initiated", "sent", "delivered"}
	if got := c.states(4); !slices.Equal(got, want) {
		t.Errorf("states %q, want %q", got, want)
	}
	send, err := s.ExpectSend(testContext(t), relaytest.ToNumber("+12025550101"))
	if err != nil {
		t.Fatal(err)
	}
	if !send.Executed || send.Body != "hello" || send.MessageID != object(t, f.Result)["message_id"] {
		t.Errorf("send %+v does not match the answer %s", send, f.raw)
	}
}

func TestConversationOverSockets(t *testing.T) {
	t.Parallel()
	conversation(t, relaytest.NewServer(t))
}

func TestConversationInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		conversation(t, relaytest.NewServer(t, relaytest.InMemory))
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v of the bubble's time, want none", took)
		}
	})
}
