package relay

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testProject = "11111111-2222-3333-4444-555555555555"
	testToken   = "PTcanarytoken0123456789"
)

// space is the platform, played by the test: each connection that the client
// opens arrives as a peer, whose every frame the test reads and writes by
// hand. It speaks WebSocket at the level of bytes, so that it can misbehave at
// that level too.
type space struct {
	t      *testing.T
	conns  chan *peer
	room   int // bytes of the kernel's buffer, each way
	mu     sync.Mutex
	refuse bool // connection refused
	open   int  // connections not closed by the client
	most   int  // the most that were ever open
	dials  []time.Time
}

func newSpace(t *testing.T) *space {
	return &space{t: t, conns: make(chan *peer, 64), room: 1 << 20}
}

// config is a client's configuration for this space.
func (sp *space) config() Config {
	return Config{
		URL: "ws://127.0.0.1/", Project: testProject, Token: testToken, Contexts: []string{"office"},
		DialContext: sp.dial, Logger: slog.New(slog.DiscardHandler),
	}
}

func (sp *space) dial(context.Context, string, string) (net.Conn, error) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.dials = append(sp.dials, time.Now())
	if sp.refuse {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	near, far := newPipe(sp.room)
	sp.open++
	sp.most = max(sp.most, sp.open)
	p := &peer{t: sp.t, conn: far, r: bufio.NewReader(far)}
	select {
	case sp.conns <- p:
	default:
		return nil, errors.New("the test does not accept connections")
	}
	return &countedConn{pipeEnd: near, closed: sync.OnceFunc(func() {
		sp.mu.Lock()
		sp.open--
		sp.mu.Unlock()
	})}, nil
}

func (sp *space) setRefuse(on bool) {
	sp.mu.Lock()
	sp.refuse = on
	sp.mu.Unlock()
}

// counts returns how often the client dialed, and how many connections it ever
// held open at once.
func (sp *space) counts() (dials, most int) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return len(sp.dials), sp.most
}

// countedConn tells the space when the client closes its end.
type countedConn struct {
	*pipeEnd
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.pipeEnd.Close()
}

// next waits for the client's next connection. It has not been upgraded.
func (sp *space) next() *peer {
	sp.t.Helper()
	select {
	case p := <-sp.conns:
		return p
	case <-time.After(5 * time.Minute):
		sp.t.Fatal("the client did not connect")
		return nil
	}
}

// accept waits for a connection and upgrades it.
func (sp *space) accept() *peer {
	sp.t.Helper()
	p := sp.next()
	p.upgrade()
	return p
}

// ready accepts a connection and takes it through connect and receive.
func (sp *space) ready() *peer {
	sp.t.Helper()
	p := sp.accept()
	p.accept()
	return p
}

// peer is the platform's end of one connection.
type peer struct {
	t    *testing.T
	conn *pipeEnd
	r    *bufio.Reader
	head *http.Request
	held []msg // frames read while looking for another
}

// msg is one frame of the client.
type msg struct {
	raw    []byte
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func (p *peer) upgrade() {
	p.t.Helper()
	p.readHead()
	upgradeWith(p, "")
}

func (p *peer) readHead() {
	p.t.Helper()
	head, err := http.ReadRequest(p.r)
	if err != nil {
		p.t.Fatalf("read the upgrade request: %v", err)
	}
	p.head = head
}

func (p *peer) send(bytes string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, bytes); err != nil {
		p.t.Logf("peer write: %v", err)
	}
}

// write sends one text frame.
func (p *peer) write(format string, args ...any) {
	p.t.Helper()
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	p.send(wsFrame(1, true, text))
}

func wsFrame(op byte, fin bool, payload string) string {
	b := []byte{op}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = append(b, 126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return string(b) + payload
}

// readFrame reads one WebSocket frame of the client.
func (p *peer) readFrame() (op byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1] & 0x7f)
	switch n {
	case 126:
		var x [2]byte
		_, err = io.ReadFull(p.r, x[:])
		n = uint64(binary.BigEndian.Uint16(x[:]))
	case 127:
		var x [8]byte
		_, err = io.ReadFull(p.r, x[:])
		n = binary.BigEndian.Uint64(x[:])
	}
	if err != nil {
		return 0, nil, err
	}
	var mask [4]byte
	if _, err := io.ReadFull(p.r, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(p.r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return h[0] & 0x0f, payload, nil
}

// try reads the client's next JSON-RPC frame.
func (p *peer) try() (msg, error) {
	if len(p.held) > 0 {
		m := p.held[0]
		p.held = p.held[1:]
		return m, nil
	}
	for {
		op, payload, err := p.readFrame()
		if err != nil {
			return msg{}, err
		}
		if op == 8 {
			return msg{}, errPeerClose
		}
		if op != 1 {
			continue
		}
		m := msg{raw: payload}
		if err := json.Unmarshal(payload, &m); err != nil {
			return msg{}, fmt.Errorf("the client sent %q: %w", payload, err)
		}
		return m, nil
	}
}

var errPeerClose = errors.New("close frame")

// read is try that must work. The first ping after becoming ready is left out
// unless pings are wanted.
func (p *peer) read() msg {
	p.t.Helper()
	m, err := p.try()
	if err != nil {
		p.t.Fatalf("read a frame of the client: %v", err)
	}
	return m
}

// expect reads up to the next request with this method, answering pings on the
// way and keeping other frames.
func (p *peer) expect(method string) msg {
	p.t.Helper()
	return p.find(func(m *msg) bool { return m.Method == method })
}

// expectReply reads up to the answer to the request of ours with this raw id.
func (p *peer) expectReply(id string) msg {
	p.t.Helper()
	return p.find(func(m *msg) bool { return m.Method == "" && string(m.ID) == id })
}

func (p *peer) find(match func(*msg) bool) msg {
	p.t.Helper()
	var others []msg
	defer func() { p.held = append(others, p.held...) }()
	for {
		m := p.read()
		if match(&m) {
			return m
		}
		if m.Method == "signalwire.ping" {
			p.answer(m, `{}`)
			continue
		}
		others = append(others, m)
	}
}

func (p *peer) answer(m msg, result string) {
	p.t.Helper()
	p.write(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

func (p *peer) refuse(m msg, code, message string) {
	p.t.Helper()
	p.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":%q}}`, m.ID, code, message)
}

const connectResultJSON = `{"identity":"i@r","protocol":"signalwire_q71f_ab12","authorization":{"project":"p","signature":"q71f","expires_at":null}}`

// accept answers connect, and receive if there is one.
func (p *peer) accept() {
	p.t.Helper()
	m := p.expect("signalwire.connect")
	p.answer(m, connectResultJSON)
	var params struct{ Contexts []string }
	_ = json.Unmarshal(m.Params, &params)
	if len(params.Contexts) > 0 {
		p.answer(p.expect("signalwire.receive"), `{"code":"200","message":"Receiving events"}`)
	}
}

// event sends an event with this raw id and type.
func (p *peer) event(id, typ string) {
	p.t.Helper()
	p.write(`{"jsonrpc":"2.0","id":%s,"method":"signalwire.event","params":{"event_type":%q,"timestamp":1790000000.125,"params":{"n":1}}}`, id, typ)
}

// serve answers pings, and everything else with 200, until the connection ends.
func (p *peer) serve() {
	for {
		m, err := p.try()
		if err != nil {
			return
		}
		if m.Method != "" {
			p.write(`{"jsonrpc":"2.0","id":%s,"result":{"code":"200","message":"ok"}}`, m.ID)
		}
	}
}

// watcher is a Handler that keeps what it was told.
type watcher struct {
	events  chan *Event
	mu      sync.Mutex
	states  []State
	onEvent func(*Event)
	onState func(State)
}

func newWatcher() *watcher { return &watcher{events: make(chan *Event, 20000)} }

func (w *watcher) HandleEvent(ev *Event) {
	if w.onEvent != nil {
		w.onEvent(ev)
	}
	w.events <- ev
}

func (w *watcher) HandleState(s State) {
	w.mu.Lock()
	w.states = append(w.states, s)
	w.mu.Unlock()
	if w.onState != nil {
		w.onState(s)
	}
}

func (w *watcher) seen() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

// running is a client under test.
type running struct {
	*Client
	*watcher
	stop func()
	done chan error
}

// run starts a client of sp. It is stopped, and has to be gone, when the test
// ends.
func (sp *space) run(edit ...func(*Config)) *running {
	sp.t.Helper()
	return sp.runWith(newWatcher(), edit...)
}

func (sp *space) runWith(w *watcher, edit ...func(*Config)) *running {
	sp.t.Helper()
	cfg := sp.config()
	for _, f := range edit {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		sp.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Client: c, watcher: w, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- c.Run(ctx, w) }()
	sp.t.Cleanup(func() {
		cancel()
		select {
		case <-r.done:
		case <-time.After(time.Minute):
			sp.t.Error("Run did not return")
		}
	})
	return r
}

func (r *running) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		t.Fatalf("Ready: %v", err)
	}
}

// bubble runs f on a fake clock and without anything left over.
func bubble(t *testing.T, f func(t *testing.T, sp *space)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, newSpace(t)) })
}

func jsonEqual(t *testing.T, got []byte, want string) {
	t.Helper()
	var g, w any
	if json.Unmarshal(got, &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
		t.Fatalf("not JSON: got %s, want %s", got, want)
	}
	gb, _ := json.Marshal(g)
	wb, _ := json.Marshal(w)
	if !bytes.Equal(gb, wb) {
		t.Errorf("got %s, want %s", gb, wb)
	}
}

// upgradeWith answers the upgrade with more bytes behind it.
func upgradeWith(p *peer, more string) {
	sum := sha1.Sum([]byte(p.head.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	p.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n" + more)
}

// await is expect without answering pings on the way.
func (p *peer) await(method string) msg {
	p.t.Helper()
	for {
		if m := p.read(); m.Method == method {
			return m
		}
	}
}

var discard = slog.New(slog.DiscardHandler)
