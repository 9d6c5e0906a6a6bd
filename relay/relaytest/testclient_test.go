package relaytest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// client is a bare WebSocket client. What it reads is queued by one goroutine,
// so that a test can look for the frame it wants and leave the others.
type client struct {
	t      testing.TB
	ws     *websocket.Conn
	frames chan frame
	kept   []frame
	nextID int
	name   string // prefix of ids, so that they are unique over clients
	err    error  // why frames was closed
}

type frame struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    json.RawMessage `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	} `json:"error"`
	raw []byte
}

// clients counts clients.
var clients atomic.Int64

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func dial(t testing.TB, s *relaytest.Server) *client { return dialURL(t, s, s.URL()) }

func dialURL(t testing.TB, s *relaytest.Server, url string) *client {
	t.Helper()
	ws, _, err := websocket.Dial(testContext(t), url, &websocket.DialOptions{HTTPClient: s.Client()})
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	ws.SetReadLimit(32 << 20)
	c := &client{t: t, ws: ws, frames: make(chan frame, 10_000), name: fmt.Sprintf("c%d", clients.Add(1))}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer close(c.frames)
		for {
			_, data, err := ws.Read(context.Background())
			if err != nil {
				c.err = err
				return
			}
			f := frame{raw: data}
			_ = json.Unmarshal(data, &f) // malformed frames are looked at raw
			c.frames <- f
		}
	}()
	t.Cleanup(func() {
		_ = ws.CloseNow()
		<-gone
	})
	return c
}

// connected dials and connects to contexts.
func connected(t testing.TB, s *relaytest.Server, contexts ...string) *client {
	t.Helper()
	c := dial(t, s)
	if f := c.call("signalwire.connect", connectParams(contexts...)); f.Error != nil {
		t.Fatalf("connect: %s", f.raw)
	}
	return c
}

func connectParams(contexts ...string) map[string]any {
	return map[string]any{
		"version":        map[string]int{"major": 2, "minor": 0, "revision": 0},
		"agent":          "relaytest/1",
		"event_acks":     true,
		"authentication": map[string]string{"project": "p1", "token": "t1"},
		"contexts":       append([]string{}, contexts...),
	}
}

// with returns a copy of params with changes; a nil value removes one.
func with(params map[string]any, changes map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range params {
		out[k] = v
	}
	for k, v := range changes {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func sendParams(changes map[string]any) map[string]any {
	return with(map[string]any{
		"from_number": "+12025550199", "to_number": "+12025550101", "context": "office", "body": "hello",
	}, changes)
}

func (c *client) write(data []byte) {
	c.t.Helper()
	if err := c.ws.Write(testContext(c.t), websocket.MessageText, data); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) id() string {
	c.nextID++
	return fmt.Sprintf("%s-%d", c.name, c.nextID)
}

// request writes a request and returns its id.
func (c *client) request(method string, params any) string {
	c.t.Helper()
	id := c.id()
	data, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(data)
	return id
}

func (c *client) call(method string, params any) frame {
	c.t.Helper()
	id := `"` + c.request(method, params) + `"`
	return c.find("the answer to "+method, func(f frame) bool { return f.Method == "" && string(f.ID) == id })
}

// reply answers a request of the server with a result.
func (c *client) reply(f frame, result string) {
	c.t.Helper()
	c.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, f.ID, result))
}

func (c *client) ack(f frame) { c.t.Helper(); c.reply(f, "{}") }

// read returns the next frame in order.
func (c *client) read() (frame, bool) {
	if len(c.kept) > 0 {
		f := c.kept[0]
		c.kept = c.kept[1:]
		return f, true
	}
	t := time.NewTimer(2 * time.Minute)
	defer t.Stop()
	select {
	case f, ok := <-c.frames:
		return f, ok
	case <-t.C:
		c.t.Helper()
		c.t.Fatal("no frame within 2 minutes")
		return frame{}, false
	}
}

// find returns the first frame that matches and keeps those before it.
func (c *client) find(what string, match func(frame) bool) frame {
	c.t.Helper()
	var skipped []frame
	defer func() { c.kept = append(skipped, c.kept...) }()
	for {
		f, ok := c.read()
		if !ok {
			c.t.Fatalf("connection ended (%v) before %s; frames: %s", c.err, what, rawAll(skipped))
		}
		if match(f) {
			return f
		}
		skipped = append(skipped, f)
	}
}

func rawAll(fs []frame) string {
	var parts []string
	for _, f := range fs {
		parts = append(parts, string(f.raw))
	}
	return strings.Join(parts, "\n")
}

func (f frame) eventType() string {
	var p struct {
		EventType string `json:"event_type"`
	}
	_ = json.Unmarshal(f.Params, &p)
	if f.Method != "signalwire.event" {
		return ""
	}
	return p.EventType
}

func (c *client) event(kind string) frame {
	c.t.Helper()
	return c.find(kind, func(f frame) bool { return f.eventType() == kind })
}

func (c *client) ping() frame {
	c.t.Helper()
	return c.find("a ping", isPing)
}

// ended waits for the end of the connection, skipping frames.
func (c *client) ended() error {
	c.t.Helper()
	t := time.NewTimer(2 * time.Minute)
	defer t.Stop()
	for {
		select {
		case _, ok := <-c.frames:
			if !ok {
				return c.err
			}
		case <-t.C:
			c.t.Fatal("connection still open after 2 minutes")
		}
	}
}

// object decodes JSON into a map.
func object(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("not an object: %v: %s", err, raw)
	}
	return m
}

// inner returns the nested params of an event.
func (f frame) inner(t testing.TB) map[string]any {
	t.Helper()
	in, ok := object(t, f.Params)["params"].(map[string]any)
	if !ok {
		t.Fatalf("no nested params in %s", f.raw)
	}
	return in
}

func (f frame) code(t testing.TB) string {
	t.Helper()
	if f.Error != nil {
		return string(f.Error.Code)
	}
	code, _ := object(t, f.Result)["code"].(string)
	return code
}

func closeCode(err error) int {
	var ce websocket.CloseError
	if errors.As(err, &ce) {
		return int(ce.Code)
	}
	return -1
}

// states reads n state events and acks them.
func (c *client) states(n int) []string {
	c.t.Helper()
	var out []string
	for range n {
		f := c.event("messaging.state")
		c.ack(f)
		out = append(out, f.inner(c.t)["message_state"].(string))
	}
	return out
}

// bubble runs f in a synctest bubble with an in-memory space.
func bubble(t *testing.T, f func(t *testing.T, s *relaytest.Server), options ...relaytest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, relaytest.NewServer(t, append([]relaytest.Option{relaytest.InMemory}, options...)...))
	})
}

// pending returns the frames that have arrived by now; only inside a bubble.
func (c *client) pending() []frame {
	synctest.Wait()
	for {
		select {
		case f, ok := <-c.frames:
			if !ok {
				return c.kept
			}
			c.kept = append(c.kept, f)
		default:
			return c.kept
		}
	}
}

// count returns how many of the frames that have arrived match.
func (c *client) count(match func(frame) bool) int {
	n := 0
	for _, f := range c.pending() {
		if match(f) {
			n++
		}
	}
	return n
}

func isEvent(kind string) func(frame) bool {
	return func(f frame) bool { return f.eventType() == kind }
}

func isPing(f frame) bool { return f.Method == "signalwire.ping" }

// setFaults changes faults and fails the test if they are refused.
func setFaults(t testing.TB, s *relaytest.Server, edit func(*relaytest.Faults)) {
	t.Helper()
	if err := s.ChangeFaults(edit); err != nil {
		t.Fatal(err)
	}
}

// resumeParams are connect params that resume the session of an earlier answer.
func resumeParams(t testing.TB, answer frame, authState string, contexts ...string) map[string]any {
	t.Helper()
	p := with(connectParams(contexts...), map[string]any{"protocol": object(t, answer.Result)["protocol"]})
	if authState != "" {
		p["authorization_state"] = authState
	}
	return p
}

// authState reads and acks the next authorization state.
func (c *client) authState() string {
	c.t.Helper()
	f := c.event("signalwire.authorization.state")
	c.ack(f)
	return f.inner(c.t)["authorization_state"].(string)
}

// client is an HTTP client over one tapped connection to s.
func (c *tapConn) client(s *relaytest.Server) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := s.DialContext(ctx, network, addr)
			c.Conn = conn
			return c, err
		},
	}}
}
