package messaging

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var readAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	receiveFrame = `{"jsonrpc":"2.0","id":"e-77","method":"signalwire.event","params":{"event_type":"messaging.receive",` +
		`"event_channel":"signalwire_q71f_ab12","timestamp":1790000000.125,"space_id":"s","project_id":"p","context":"office",` +
		`"params":{"message_id":"m-1","context":"office","direction":"inbound","from_number":"+12025550101","to_number":"+12025550102",` +
		`"body":"hello","media":["https://media.example/a.jpg"],"segments":1,"message_state":"received","tags":["a"]}}}`
	stateFrame = `{"jsonrpc":"2.0","id":"e-91","method":"signalwire.event","params":{"event_type":"messaging.state","timestamp":1790000004.5,` +
		`"params":{"message_id":"m-2","message_state":"undelivered","reason":"unreachable","context":"office","from_number":"+12025550102",` +
		`"to_number":"+12025550101","body":"hi","media":[],"segments":1,"tags":["k-42"]}}}`
)

func inboundWith(members string) string {
	return `{"params":{"event_type":"messaging.receive","context":"outer","params":{"message_id":"m","from_number":"+12025550101","to_number":"+12025550102"` + members + `}}}`
}

func TestDecodeEvent(t *testing.T) {
	t.Parallel()
	base := Event{
		ID: "m", MessageID: "m", Kind: KindMessage, Context: "outer",
		From: "+12025550101", To: "+12025550102", ReceivedAt: readAt,
	}
	with := func(change func(*Event)) *Event {
		ev := base
		change(&ev)
		return &ev
	}
	for _, c := range []struct {
		name  string
		kind  Kind
		frame string
		want  *Event
	}{
		{"inbound", KindMessage, receiveFrame, &Event{
			ID: "m-1", MessageID: "m-1", Kind: KindMessage, Context: "office", From: "+12025550101", To: "+12025550102", Body: "hello",
			Media: []string{"https://media.example/a.jpg"}, Segments: 1, Tags: []string{"a"}, ReceivedAt: readAt,
			SentAt: time.Unix(1790000000, 125e6).UTC(),
		}},
		{"state", KindState, stateFrame, &Event{
			ID: "m-2/undelivered", MessageID: "m-2", Kind: KindState, Context: "office", From: "+12025550102", To: "+12025550101", Body: "hi",
			Media: []string{}, Segments: 1, Tags: []string{"k-42"}, State: StateUndelivered, Reason: "unreachable", ReceivedAt: readAt,
			SentAt: time.Unix(1790000004, 5e8).UTC(),
		}},
		{"null body and lists_R41", KindMessage, inboundWith(`,"body":null,"media":null,"tags":null,"segments":null`), &base},
		{
			"media as objects_R41", KindMessage, inboundWith(`,"media":[{"url":"https://a.example/1"},{"size":3},"https://a.example/2"]`),
			with(func(e *Event) { e.Media = []string{"https://a.example/1", "https://a.example/2"} }),
		},
		{
			"media as one string_R41", KindMessage, inboundWith(`,"media":"https://a.example/1"`),
			with(func(e *Event) { e.Media = []string{"https://a.example/1"} }),
		},
		{"numbers as strings_R41", KindMessage, inboundWith(`,"segments":"2"`), with(func(e *Event) { e.Segments = 2 })},
		{"text as a number_R41", KindMessage, inboundWith(`,"body":12345678901234567890`), with(func(e *Event) { e.Body = "12345678901234567890" })},
		{"NUL and invalid UTF-8", KindMessage, inboundWith(`,"body":"a\u0000b` + "\xff" + `c"`), with(func(e *Event) { e.Body = "ab\uFFFDc" })},
		{"duplicate names", KindMessage, inboundWith(`,"body":"one","body":"two"`), with(func(e *Event) { e.Body = "two" })},
		{"names of the documents", KindMessage, `{"params":{"params":{"id":"m","from":"+12025550101","to":"+12025550102","context":"outer"}}}`, &base},
		{
			"state under its other name", KindState, `{"params":{"params":{"message_id":"m","state":"sent"}}}`,
			&Event{ID: "m/sent", MessageID: "m", Kind: KindState, State: StateSent, ReceivedAt: readAt},
		},
		{
			"legacy tag", KindState, `{"params":{"params":{"message_id":"m","message_state":"sent","tag":"x"}}}`,
			&Event{ID: "m/sent", MessageID: "m", Kind: KindState, State: StateSent, Tags: []string{"x"}, ReceivedAt: readAt},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeEvent(c.kind, "t", []byte(c.frame), readAt)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Frame) != c.frame {
				t.Error("the raw frame was not kept")
			}
			got.Frame = nil
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeEventRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind  Kind
		frame string
		want  error
	}{
		"null params":       {KindMessage, `{"params":null}`, errNoID},
		"null inner params": {KindMessage, `{"params":{"params":null}}`, errNoID},
		"no id":             {KindMessage, `{"params":{"params":{"from_number":"+1","to_number":"+2"}}}`, errNoID},
		"no sender":         {KindMessage, `{"params":{"params":{"message_id":"m","to_number":"+2"}}}`, errNoSender},
		"no state":          {KindState, `{"params":{"params":{"message_id":"m"}}}`, errNoState},
		"inner list":        {KindMessage, `{"params":{"params":[1]}}`, nil},
		"no JSON":           {KindMessage, `{"params":`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeEvent(c.kind, "messaging.receive", []byte(c.frame), readAt)
			var de *DecodeError
			if !errors.As(err, &de) {
				t.Fatalf("got %v, want a *DecodeError", err)
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if strings.Contains(err.Error(), "+2") {
				t.Errorf("the error text holds a number: %v", err)
			}
		})
	}
}

func TestUndecodableHasAStableID(t *testing.T) {
	t.Parallel()
	a, b := undecodable(KindMessage, []byte("x"), readAt), undecodable(KindMessage, []byte("x"), readAt)
	if c := undecodable(KindMessage, []byte("y"), readAt); a.ID != b.ID || a.ID == c.ID {
		t.Errorf("ids %q, %q, %q: want the same for the same frame only", a.ID, b.ID, c.ID)
	}
}

// FuzzDecodeEvent: never panics, never lets text through that a database refuses, and the
// typed step agrees with the loose one wherever both understand a frame.
func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(receiveFrame))
	f.Add([]byte(stateFrame))
	f.Add([]byte(inboundWith(`,"body":null,"media":[{"url":"u"}],"segments":"2"`)))
	f.Add([]byte(`{"params":null}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, kind := range []Kind{KindMessage, KindState} {
			ev, err := decodeEvent(kind, "t", frame, readAt)
			if err != nil {
				continue
			}
			for _, s := range []string{ev.ID, ev.Body, ev.Context, string(ev.From), string(ev.To), string(ev.State), ev.Reason} {
				if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
					t.Fatalf("text %q is not fit for a database", s)
				}
			}
			var env envelope
			if !json.Valid(frame) || decodeLoose(frame, &env) != nil {
				continue
			}
			if kind == KindMessage && env.Params.Params.MessageID != "" && clean(env.Params.Params.MessageID) != ev.MessageID {
				t.Fatalf("typed id %q, loose id %q", ev.MessageID, env.Params.Params.MessageID)
			}
		}
	})
}

func BenchmarkDecodeEvent(b *testing.B) {
	frame := []byte(receiveFrame)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeEvent(KindMessage, typeReceive, frame, readAt); err != nil {
			b.Fatal(err)
		}
	}
}
