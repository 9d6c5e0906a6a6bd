package messaging_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// TestEnqueueAllAnswersEach puts what is new, what repeats a key and what is wrong into one
// call: each is answered for itself, in its place, and a key is sent once.
func TestEnqueueAllAnswersEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		one := func(key, body string) messaging.Send {
			return messaging.Send{Key: key, From: ours, To: "+12025550101", Context: "support", Body: body}
		}
		earlier, err := b.eng.Enqueue(t.Context(), one("old", "before"))
		if err != nil {
			t.Fatal(err)
		}
		kept := map[string]string{}
		got, err := b.eng.EnqueueAll(t.Context(), []messaging.Send{
			one("a", "first"), one("", ""), one("old", "again"), one("a", "twice"), one("b", "second"),
		}, func(s *messaging.Send) []*messaging.ValueChange {
			kept[s.Key] = s.ID.String()
			return []*messaging.ValueChange{{Bucket: "test", Key: s.ID.String(), Data: []byte(s.Key), ExpiresAt: s.CreatedAt.Add(time.Hour)}}
		})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, q := range got {
			said = append(said, fmt.Sprint(q.Fresh, " ", q.Err != nil))
		}
		diff(t, "answers", []string{"true false", "false true", "false false", "false false", "true false"}, said)
		if got[2].Send.ID != earlier.ID || got[3].Send.ID != got[0].Send.ID {
			t.Error("what repeats a key was not answered with the send that has it")
		}
		synctest.Wait()
		diff(t, "sent", []string{"before", "first", "second"}, b.wire.bodies())
		values, err := b.store.Values(t.Context(), messaging.ValueQuery{Bucket: "test", Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "values: of the sends that were inserted", 2, len(values))
		b.end()
		if left, err := b.eng.EnqueueAll(t.Context(), nil, nil); err != nil || len(left) != 0 {
			t.Errorf("nothing: got %v, %v", left, err)
		}
	})
}

// TestEnqueueAllSaysWhatTheGateSaid tells a send that waits from one that never leaves.
func TestEnqueueAllSaysWhatTheGateSaid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := start(t, instant{echo}, messaging.Config{})
		if err := b.eng.SetConsent(t.Context(), &messaging.ConsentChange{Number: "+12025550102", Verb: messaging.ConsentStop, Origin: messaging.OriginOperator, Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		got, err := b.eng.EnqueueAll(t.Context(), []messaging.Send{
			{From: ours, To: "+12025550101", Context: "support", Body: "now"},
			{From: ours, To: "+12025550102", Context: "support", Body: "never"},
			{From: ours, To: "+12025550103", Context: "support", Body: "later", NotBefore: time.Now().Add(time.Hour)},
		}, nil)
		if err != nil || errors.Join(got[0].Err, got[1].Err, got[2].Err) != nil {
			t.Fatal(err, got)
		}
		diff(t, "statuses", []messaging.Status{messaging.StatusSending, messaging.StatusSuppressed, messaging.StatusQueued}, []messaging.Status{got[0].Status, got[1].Status, got[2].Status})
		diff(t, "reason", "opted_out", got[1].Reason[:len("opted_out")])
		b.end()
	})
}
