package relaytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Specimen is a frame that the platform should not send, or sends for other
// products: material to show that a client stays alive.
type Specimen struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Noise tells legal frames of other products from malformed ones.
	Noise bool `json:"noise"`

	emit func(e *emitter)
}

// emitter writes a specimen to a session. Whatever carries an id may be
// answered or not.
type emitter struct {
	s    *Server
	sess *Session
	c    *conn
}

// hugeBody makes a frame of more than the 10 MiB that clients accept.
const hugeBody = 11 << 20

// deepNesting is beyond what JSON decoders follow by default (10,000 levels in
// encoding/json).
const deepNesting = 20_000

// Specimens returns the frames that Session.Emit knows.
func Specimens() []Specimen {
	return []Specimen{
		{"params-null", "signalwire.event with params null", false, func(e *emitter) { e.frame(`"method":"signalwire.event","params":null`) }},
		{"params-missing", "signalwire.event without params", false, func(e *emitter) { e.frame(`"method":"signalwire.event"`) }},
		{"params-array", "signalwire.event with an array for params", false, func(e *emitter) { e.frame(`"method":"signalwire.event","params":[1]`) }},
		{"inner-params-null", "messaging.receive with nested params null", false, func(e *emitter) {
			e.event(&event{kind: "messaging.receive", context: e.context(), inner: json.RawMessage("null")})
		}},
		{"null-body", "inbound with body null", false, func(e *emitter) { e.inbound("body", nil) }},
		{"null-media", "inbound with media null", false, func(e *emitter) { e.inbound("media", nil) }},
		{"null-tags", "inbound with tags null", false, func(e *emitter) { e.inbound("tags", nil) }},
		{"null-numbers", "inbound with from_number null", false, func(e *emitter) { e.inbound("from_number", nil) }},
		{"media-objects", "inbound with media as objects", false, func(e *emitter) {
			e.inbound("media", []map[string]any{{"url": "https://media.example/1.jpg", "content_type": "image/jpeg", "size": 4096}})
		}},
		{"numbers-as-strings", `inbound with segments "1"`, false, func(e *emitter) { e.inbound("segments", "1") }},
		{"nul-body", "inbound with a NUL character in the body", false, func(e *emitter) { e.inbound("body", "a\x00b") }},
		{"invalid-utf8", "inbound with broken UTF-8 in the body", false, func(e *emitter) {
			ev := e.s.inbound(&SMS{Context: e.context(), Body: "caf@@"})
			ev.inner = bytes.Replace(ev.inner, []byte("@@"), []byte{0xe9, 0xff}, 1)
			e.event(ev)
		}},
		{"truncated-json", "an event cut in half", false, func(e *emitter) { e.raw(opText, `{"jsonrpc":"2.0","id":"cut","method":"signalwire.event","par`) }},
		{"empty-text", "an empty text message", false, func(e *emitter) { e.raw(opText, "") }},
		{"array", "an array", false, func(e *emitter) { e.raw(opText, `[]`) }},
		{"batch", "a JSON-RPC batch of two events", false, func(e *emitter) {
			one := func() string {
				return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"signalwire.event","params":{"event_type":"video.member.talking","params":{}}}`, e.maybe())
			}
			e.raw(opText, "["+one()+","+one()+"]")
		}},
		{"scalar", "a number", false, func(e *emitter) { e.raw(opText, `42`) }},
		{"binary", "a binary message", false, func(e *emitter) { e.raw(opBinary, "\x00\x01\x02") }},
		{"huge", "an inbound of 11 MiB", false, func(e *emitter) { e.inbound("body", strings.Repeat("x", hugeBody)) }},
		{"deep", "an event nested 20,000 levels deep", false, func(e *emitter) {
			e.frame(`"method":"signalwire.event","params":` + strings.Repeat("[", deepNesting) + strings.Repeat("]", deepNesting))
		}},
		{"unknown-method", "a request of an unknown method", false, func(e *emitter) { e.frame(`"method":"signalwire.teleport","params":{}`) }},
		{"unknown-notification", "an unknown method without an id", false, func(e *emitter) { e.raw(opText, `{"jsonrpc":"2.0","method":"signalwire.teleport","params":{}}`) }},
		{"unknown-event", "an unknown event_type", false, func(e *emitter) {
			e.event(&event{kind: "messaging.teleport", context: e.context(), inner: json.RawMessage("{}")})
		}},
		{"empty-event-type", "an empty event_type", false, func(e *emitter) { e.event(&event{kind: "", context: e.context(), inner: json.RawMessage("{}")}) }},
		{"event-without-id", "an inbound without an id", false, func(e *emitter) { e.withID("") }},
		{"integer-id", "an inbound with an integer id", false, func(e *emitter) { e.s.integers++; e.withID(fmt.Sprint(e.s.integers)) }},
		{"negative-id", "an inbound with a negative id", false, func(e *emitter) { e.s.integers++; e.withID(fmt.Sprint(-e.s.integers)) }},
		{"fractional-id", "an inbound with the id 1.5", false, func(e *emitter) { e.withID("1.5") }},
		{"null-id", "an inbound with the id null", false, func(e *emitter) { e.withID("null") }},
		{"no-jsonrpc", "an event without the jsonrpc member", false, func(e *emitter) {
			e.raw(opText, fmt.Sprintf(`{"id":%s,"method":"signalwire.event","params":{"event_type":"video.member.talking","params":{}}}`, e.maybe()))
		}},
		{"method-and-result", "a frame that is request and answer at once", false, func(e *emitter) {
			e.frame(`"method":"signalwire.event","params":{"event_type":"video.member.talking","params":{}},"result":{}`)
		}},
		{"answer-unknown-id", "an answer to nothing", false, func(e *emitter) { e.raw(opText, `{"jsonrpc":"2.0","id":"nobody","result":{"code":"200"}}`) }},
		{"answer-null-error", "an answer to nothing, with error null beside the result", false, func(e *emitter) {
			e.raw(opText, `{"jsonrpc":"2.0","id":"nobody","result":{"code":"200"},"error":null}`)
		}},
		{"answer-numeric-code", "an answer to nothing, with a numeric code", false, func(e *emitter) { e.raw(opText, `{"jsonrpc":"2.0","id":"nobody","result":{"code":200}}`) }},
		{"answer-string-error-code", "an error for nothing, with a string code", false, func(e *emitter) {
			e.raw(opText, `{"jsonrpc":"2.0","id":"nobody","error":{"code":"-32603","message":"Internal error"}}`)
		}},
		{"answer-null-id", "an error for the id null", false, func(e *emitter) {
			e.raw(opText, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request"}}`)
		}},

		{"calling-receive", "an incoming call", true, func(e *emitter) {
			e.product("calling.call.receive", `{"call_id":"c-1","call_state":"created","direction":"inbound","device":{"type":"phone","params":{"from_number":"+12025550101","to_number":"+12025550199"}}}`)
		}},
		{"calling-state", "a call that ends", true, func(e *emitter) {
			e.product("calling.call.state", `{"call_id":"c-1","call_state":"ended","end_reason":"hangup"}`)
		}},
		{"tasks", "a task, without nested params", true, func(e *emitter) {
			e.event(taskEvent("", e.context(), json.RawMessage(`{"action":"call","number":"+12025550101"}`)))
		}},
		{"video", "somebody talks in a room", true, func(e *emitter) {
			e.product("video.member.talking", `{"room_session_id":"r-1","member":{"id":"m-1","talking":true}}`)
		}},
		{"chat", "a chat message", true, func(e *emitter) { e.product("chat.channel.message", `{"channel":"lobby","content":"hello"}`) }},
		{"webrtc", "a WebRTC message", true, func(e *emitter) {
			e.product("webrtc.message", `{"jsonrpc":"2.0","id":1,"method":"verto.ping","params":{}}`)
		}},
		{"stale-channel", "a conversation event for a session of the past", true, func(e *emitter) {
			e.event(&event{kind: "conversation.message", channel: "signalwire_0000_stale", inner: json.RawMessage(`{"text":"old"}`)})
		}},
	}
}

// Emit sends the session the specimen of that name. It fails on an unknown name
// and on a session without a connection.
func (sess *Session) Emit(name string) error {
	for _, sp := range Specimens() {
		if sp.Name != name {
			continue
		}
		if !sess.do(func(c *conn) { sp.emit(&emitter{sess.srv, sess, c}) }) {
			return fmt.Errorf("emit %s: the session is not connected", name)
		}
		return nil
	}
	return fmt.Errorf("emit: no specimen %q; Specimens lists them", name)
}

func (e *emitter) context() string {
	if len(e.sess.order) > 0 {
		return e.sess.order[0]
	}
	return "default"
}

// maybe returns a fresh id whose answer is welcome but not needed.
func (e *emitter) maybe() json.RawMessage { return e.expect(jsonString(e.s.newID())) }

func (e *emitter) expect(id json.RawMessage) json.RawMessage {
	d := &Delivery{srv: e.s, sess: e.sess, ev: &event{optional: true}, id: id, done: make(chan struct{})}
	e.c.pending[string(id)] = &request{kind: "maybe", delivery: d, sent: e.s.clock.Now()}
	e.s.issued.put(string(id), issuedID{conn: e.c.num})
	return id
}

func (e *emitter) raw(op byte, payload string) {
	e.c.push(outItem{op: op, payload: []byte(payload)})
}

// frame sends a request with a fresh id and these members.
func (e *emitter) frame(rest string) {
	id := e.maybe()
	e.c.push(outItem{op: opText, id: id, payload: fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,%s}`, id, rest)})
}

func (e *emitter) event(ev *event) {
	ev.optional = true
	e.s.send(e.sess, ev)
}

func (e *emitter) product(kind, inner string) {
	e.event(&event{kind: kind, context: e.context(), inner: json.RawMessage(inner)})
}

// inbound sends a text message with one field overridden.
func (e *emitter) inbound(field string, value any) {
	e.event(e.s.inbound(&SMS{Context: e.context(), Body: "specimen", Fields: map[string]any{field: value}}))
}

// withID sends an inbound with an id of any kind, "" for none.
func (e *emitter) withID(id string) {
	ev := e.s.inbound(&SMS{Context: e.context(), Body: "specimen"})
	d := &Delivery{srv: e.s, sess: e.sess, ev: ev, id: json.RawMessage(id)}
	if id == "" {
		d.id = nil
	} else {
		e.expect(d.id)
	}
	e.c.push(outItem{op: opText, id: d.id, method: "signalwire.event", eventType: ev.kind, payload: e.s.envelope(e.c, d)})
}
