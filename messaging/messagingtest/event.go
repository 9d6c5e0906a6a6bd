package messagingtest

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// NewMessage makes an inbound message with a fresh id and a frame as the platform sends
// it, received now.
func NewMessage(context string, from, to messaging.Number, body string) *messaging.Event {
	id := uuid.NewString()
	ev := &messaging.Event{
		ID:         id,
		Kind:       messaging.KindMessage,
		Context:    context,
		MessageID:  id,
		From:       from,
		To:         to,
		Body:       body,
		Segments:   1,
		ReceivedAt: now(),
	}
	ev.SentAt = ev.ReceivedAt
	ev.Frame = frame(ev, "messaging.receive", "inbound", string(messaging.StateReceived))
	return ev
}

// NewState makes a delivery state of a message of ours, with the tags that the platform
// would echo and a frame as it sends it, received now. With an attempt's Tag among the tags
// the journal finds the send at once, without it by the message id.
func NewState(context, messageID string, from, to messaging.Number, state messaging.State, tags ...string) *messaging.Event {
	ev := &messaging.Event{
		ID:         messageID + "/" + string(state),
		Kind:       messaging.KindState,
		Context:    context,
		MessageID:  messageID,
		From:       from,
		To:         to,
		Tags:       tags,
		State:      state,
		ReceivedAt: now(),
	}
	ev.SentAt = ev.ReceivedAt
	ev.Frame = frame(ev, "messaging.state", "outbound", string(state))
	return ev
}

// now has the precision of the least precise store.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func frame(ev *messaging.Event, eventType, direction, state string) []byte {
	type object = map[string]any
	inner := object{
		"message_id": ev.MessageID, "context": ev.Context, "direction": direction,
		"from_number": ev.From, "to_number": ev.To, "body": ev.Body, "media": list(ev.Media),
		"segments": ev.Segments, "message_state": state, "tags": list(ev.Tags),
	}
	b, err := json.Marshal(object{
		"jsonrpc": "2.0", "id": uuid.NewString(), "method": "signalwire.event",
		"params": object{
			"event_type": eventType, "context": ev.Context,
			"timestamp": float64(ev.SentAt.UnixMilli()) / 1000, "params": inner,
		},
	})
	if err != nil {
		panic("messagingtest: encode frame: " + err.Error()) // strings and numbers always encode
	}
	return b
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
