package loadserver

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
)

// testClient answers as it is told to. It is written on gorilla/websocket and encoding/json, so that it checks the server's
// own framing and JSON as well.
type testClient struct {
	t  *testing.T
	mu sync.Mutex // one writer
	ws *websocket.Conn

	onEvent   func(c *testClient, ev event) // default: ack and answer
	results   map[string]chan json.RawMessage
	resultsMu sync.Mutex
	ended     chan struct{}
}

type event struct {
	ID     string
	Type   string
	Params struct {
		MessageID string   `json:"message_id"`
		Context   string   `json:"context"`
		From      string   `json:"from_number"`
		To        string   `json:"to_number"`
		Body      string   `json:"body"`
		State     string   `json:"message_state"`
		Tags      []string `json:"tags"`
	}
}

func connect(t *testing.T, s *Server, onEvent func(*testClient, event)) (*testClient, error) {
	ws, _, err := websocket.DefaultDialer.Dial(s.URL(), nil)
	if err != nil {
		return nil, err
	}
	c := &testClient{
		t: t, ws: ws, onEvent: onEvent,
		results: make(map[string]chan json.RawMessage),
		ended:   make(chan struct{}),
	}
	go c.read()
	return c, nil
}

func dial(t *testing.T, s *Server, onEvent func(*testClient, event)) *testClient {
	t.Helper()
	c, err := connect(t, s, onEvent)
	if err != nil {
		t.Fatalf("dial the load server: %v", err)
	}
	t.Cleanup(func() {
		c.ws.Close()
		<-c.ended
	})
	return c
}

// subscribe authenticates and receives all contexts.
func (c *testClient) subscribe() {
	c.call("signalwire.connect", map[string]any{"authentication": map[string]any{"project": "p", "token": "t"}})
	c.call("signalwire.receive", map[string]any{"contexts": Contexts})
}

// subscribed dials and subscribes.
func subscribed(t *testing.T, s *Server, onEvent func(*testClient, event)) *testClient {
	t.Helper()
	c := dial(t, s, onEvent)
	c.subscribe()
	return c
}

func (c *testClient) read() {
	defer close(c.ended)
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		var frame struct {
			ID     string
			Method string
			Result json.RawMessage
			Error  json.RawMessage
			Params json.RawMessage
		}
		if err := json.Unmarshal(data, &frame); err != nil {
			c.t.Errorf("the server wrote invalid JSON %q: %v", data, err)
			return
		}
		switch frame.Method {
		case "signalwire.event":
			ev := event{ID: frame.ID}
			envelope := struct {
				Type   string `json:"event_type"`
				Params any    `json:"params"`
			}{Params: &ev.Params}
			if err := json.Unmarshal(frame.Params, &envelope); err != nil {
				c.t.Errorf("the server wrote an event %s that does not decode: %v", data, err)
			}
			ev.Type = envelope.Type
			if c.onEvent == nil {
				c.ack(ev)
				c.answer(ev)
			} else {
				c.onEvent(c, ev)
			}
		case "signalwire.ping":
			c.write(map[string]any{"jsonrpc": "2.0", "id": frame.ID, "result": frame.Params})
		default:
			c.resultsMu.Lock()
			waiter := c.results[frame.ID]
			c.resultsMu.Unlock()
			if waiter != nil {
				if frame.Error != nil {
					waiter <- frame.Error
				} else {
					waiter <- frame.Result
				}
			}
		}
	}
}

func (c *testClient) write(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ws.WriteJSON(v) // a failure shows in the account of the server
}

func (c *testClient) ack(ev event) {
	c.write(map[string]any{"jsonrpc": "2.0", "id": ev.ID, "result": map[string]any{}})
}

func (c *testClient) answer(ev event) {
	if ev.Type == "messaging.receive" {
		c.send(ev, ev.Params.From)
	}
}

func (c *testClient) send(ev event, to string) {
	c.write(map[string]any{"jsonrpc": "2.0", "id": uuid.NewString(), "method": "messaging.send", "params": map[string]any{
		"context": ev.Params.Context, "from_number": ev.Params.To, "to_number": to,
		"body": "You said: " + ev.Params.Body, "tags": []string{"tag-of-" + ev.Params.MessageID},
	}})
}

func (c *testClient) call(method string, params any) json.RawMessage {
	c.t.Helper()
	id := uuid.NewString()
	answer := make(chan json.RawMessage, 1)
	c.resultsMu.Lock()
	c.results[id] = answer
	c.resultsMu.Unlock()
	c.write(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	select {
	case result := <-answer:
		return result
	case <-c.ended:
		c.t.Errorf("%s: the connection ended before the answer", method)
		return nil
	}
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func serveLoad(t *testing.T, s *Server) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.WaitSubscribed(ctx); err != nil {
		t.Fatal(err)
	}
	r, err := s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sins are the members of a result that are zero for an innocent client.
func sins(r Result) string {
	var found []string
	for name, n := range map[string]int{
		"inversions": r.Inversions, "repeats": r.Repeats, "unanswered acked": r.UnansweredAcked,
		"unanswered unacked": r.UnansweredUnacked, "unacked": r.Unacked, "misdirected": r.Misdirected,
		"strangers": r.Strangers, "duplicate acks": r.DuplicateAcks, "stale acks": r.StaleAcks,
		"unknown acks": r.UnknownAcks, "bad frames": r.BadFrames, "bad pongs": r.BadPongs,
	} {
		if n != 0 {
			found = append(found, fmt.Sprintf("%s %d", name, n))
		}
	}
	return strings.Join(found, ", ")
}

func TestInnocentClient(t *testing.T) {
	t.Parallel()
	for _, states := range []bool{false, true} {
		s := start(t, Config{Messages: 2000, Senders: 10, Outstanding: 64, States: states, PingEvery: time.Millisecond})
		subscribed(t, s, nil)
		r := serveLoad(t, s)
		if got := sins(r); got != "" || r.Stalled {
			t.Errorf("states %v: an innocent client is charged with: %s (stalled %v)", states, got, r.Stalled)
		}
		if r.Messages != 2000 || r.Answered != 2000 || r.MaxLive != 1 || r.Connections != 1 {
			t.Errorf("states %v: got %d of %d answered over %d connections, %d at once", states, r.Answered, r.Messages, r.Connections, r.MaxLive)
		}
		if r.P50 <= 0 || r.P99 < r.P50 || r.Elapsed < r.P99 {
			t.Errorf("states %v: p50 %v, p99 %v, elapsed %v", states, r.P50, r.P99, r.Elapsed)
		}
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	t.Parallel()
	const rate, messages = 2000, 400
	s := start(t, Config{Messages: messages, Rate: rate})
	subscribed(t, s, nil)
	r := serveLoad(t, s)
	if got := sins(r); got != "" || r.Answered != messages {
		t.Errorf("%d of %d answered, charged with: %s", r.Answered, messages, got)
	}
	// The last inbound is due (messages-1)/rate after the first, never sooner.
	if least := (messages - 1) * time.Second / rate; r.Elapsed < least {
		t.Errorf("%d messages at %d/s took %v, want at least %v", messages, rate, r.Elapsed, least)
	}
}

func TestClosedLoopKeepsItsNumberOutstanding(t *testing.T) {
	t.Parallel()
	const outstanding = 32
	s := start(t, Config{Messages: 200, Outstanding: outstanding})
	var held []event
	most := 0
	subscribed(t, s, func(c *testClient, ev event) {
		c.ack(ev)
		if held = append(held, ev); len(held) == outstanding {
			most = max(most, len(held))
			for _, ev := range held[:len(held)/2] {
				c.answer(ev)
			}
			held = append(held[:0], held[len(held)/2:]...)
		} else if strings.Contains(ev.Params.Body, "m=00000199 ") {
			for _, ev := range held {
				c.answer(ev)
			}
		}
	})
	r := serveLoad(t, s)
	if r.Answered != 200 || most != outstanding {
		t.Errorf("%d of 200 answered with %d outstanding, want %d: more would overrun, fewer would stall", r.Answered, most, outstanding)
	}
}

func TestSins(t *testing.T) {
	t.Parallel()
	const messages = 100
	base := Config{Messages: messages, Senders: 10, Outstanding: 20, Patience: 500 * time.Millisecond}
	number := func(ev event) int { return numberIn([]byte(ev.Params.Body)) }
	var held []event // of the reordering client, whose reader is one goroutine

	for name, test := range map[string]struct {
		onEvent func(c *testClient, ev event)
		want    string
	}{
		"acks and does not answer": {func(c *testClient, ev event) {
			if c.ack(ev); number(ev) != 42 {
				c.answer(ev)
			}
		}, "unanswered acked 1"},
		"neither acks nor answers": {func(c *testClient, ev event) {
			if number(ev) != 42 {
				c.ack(ev)
				c.answer(ev)
			}
		}, "unanswered unacked 1"},
		"answers and does not ack": {func(c *testClient, ev event) {
			if number(ev) != 42 {
				c.ack(ev)
			}
			c.answer(ev)
		}, "unacked 1"},
		"answers twice": {func(c *testClient, ev event) {
			c.ack(ev)
			c.answer(ev)
			if number(ev) == 42 {
				c.answer(ev)
			}
		}, "repeats 1"},
		"acks twice": {func(c *testClient, ev event) {
			c.ack(ev)
			if number(ev) == 42 {
				c.ack(ev)
			}
			c.answer(ev)
		}, "duplicate acks 1"},
		"reorders": {func(c *testClient, ev event) {
			c.ack(ev)
			switch number(ev) {
			case 42: // the next of its sender is 52
				held = append(held, ev)
			case 52:
				c.answer(ev)
				c.answer(held[0])
			default:
				c.answer(ev)
			}
		}, "inversions 1"},
		"answers somebody else": {func(c *testClient, ev event) {
			c.ack(ev)
			if number(ev) == 42 {
				c.send(ev, "+12025550007")
			} else {
				c.answer(ev)
			}
		}, "misdirected 1"},
		"texts a stranger": {func(c *testClient, ev event) {
			c.ack(ev)
			c.answer(ev)
			if number(ev) == 42 {
				ev.Params.Body = "Buy now"
				c.answer(ev)
			}
		}, "strangers 1"},
		"acks what never was": {func(c *testClient, ev event) {
			c.ack(ev)
			if number(ev) == 42 {
				c.ack(event{ID: uuid.NewString()})
			}
			c.answer(ev)
		}, "unknown acks 1"},
		"writes no JSON": {func(c *testClient, ev event) {
			c.ack(ev)
			if number(ev) == 42 {
				c.write("a string")
			}
			c.answer(ev)
		}, "bad frames 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, base)
			subscribed(t, s, test.onEvent)
			if got := sins(serveLoad(t, s)); got != test.want {
				t.Errorf("charged with %q, want %q", got, test.want)
			}
		})
	}
}

func TestPongWithoutTimestamp_R26(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Messages: 1, PingEvery: time.Millisecond, Linger: 50 * time.Millisecond})
	ws, _, err := websocket.DefaultDialer.Dial(s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	ws.WriteJSON(map[string]any{"jsonrpc": "2.0", "id": "1", "method": "signalwire.connect", "params": map[string]any{
		"authentication": map[string]any{"project": "p", "token": "t"},
	}})
	for {
		var frame map[string]any
		if err := ws.ReadJSON(&frame); err != nil {
			t.Fatal(err)
		}
		if frame["method"] == "signalwire.ping" {
			ws.WriteJSON(map[string]any{"jsonrpc": "2.0", "id": frame["id"], "result": map[string]any{}})
			break
		}
	}
	subscribed(t, s, nil)
	if r := serveLoad(t, s); r.BadPongs != 1 {
		t.Errorf("%d bad pongs, want 1", r.BadPongs)
	}
}

func TestEchoes_R26(t *testing.T) {
	t.Parallel()
	for result, want := range map[string]bool{
		`{"timestamp":1790000000.120}`:              true,
		`{"payload":"x","timestamp":1790000000.12}`: true,
		`{"timestamp":1.79000000012e+09}`:           true,
		`{"timestamp":1790000000.121}`:              false,
		`{"timestamp":"1790000000.120"}`:            false,
		`{"params":{"timestamp":1790000000.120}}`:   false,
		`{}`: false,
		`[]`: false,
	} {
		if got := echoes([]byte(result), "1790000000.120"); got != want {
			t.Errorf("%s: echoes %v, want %v", result, got, want)
		}
	}
}

func TestTwoSocketsAtOnce_R33(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Messages: 10})
	subscribed(t, s, nil)
	subscribed(t, s, nil)
	if r := serveLoad(t, s); r.MaxLive != 2 {
		t.Errorf("two open sockets: got %d at once", r.MaxLive)
	}
}

func TestOneSocketAfterAnother_R33(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := start(t, Config{Messages: 10})
		first := subscribed(t, s, nil)
		first.ws.Close() // the server's reader may not have seen it when the next one connects
		subscribed(t, s, nil)
		if r := serveLoad(t, s); r.MaxLive != 1 || r.Connections != 2 {
			t.Fatalf("closed before the next was dialed: got %d at once of %d", r.MaxLive, r.Connections)
		}
	}
}

func TestUnsubscribedGetsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Messages: 10, Patience: 50 * time.Millisecond})
	c := dial(t, s, func(c *testClient, ev event) { t.Errorf("an event %s without a subscription", ev.Type) })
	if got := string(c.call("signalwire.receive", map[string]any{"contexts": Contexts})); !strings.Contains(got, "-32002") {
		t.Errorf("receive before connect: %s, want error -32002", got)
	}
	c.call("signalwire.connect", map[string]any{"authentication": map[string]any{"project": "p", "token": "t"}})
	c.call("signalwire.receive", map[string]any{"contexts": Contexts[:2]})
	if got := string(c.call("signalwire.nonsense", nil)); !strings.Contains(got, "-32601") {
		t.Errorf("unknown method: %s, want error -32601", got)
	}
	select {
	case <-s.subscribed:
		t.Error("two of three contexts count as subscribed")
	default:
	}
	r, err := s.Load(t.Context())
	if err != nil || r.Messages != 0 || !r.Stalled {
		t.Errorf("a load for nobody: %d injected, stalled %v, err %v", r.Messages, r.Stalled, err)
	}
}

func TestEventSize(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.appendInbound(nil, 123, 0)); n < 570 || n > 640 {
		t.Errorf("an event frame has %d bytes, want about 590", n)
	}
	if n := len(bodyPrefix) + bodyDigits + len(bodyRest); n < 45 || n > 55 {
		t.Errorf("a body has %d characters, want about 50", n)
	}
}
