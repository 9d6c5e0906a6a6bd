package relaytest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	// writeBatch is how many bytes of queued frames go into one write.
	writeBatch = 64 << 10
	// closeWait is how long the other side may take over the closing handshake.
	closeWait = 5 * time.Second
)

// conn is one client connection.
type conn struct {
	srv     *Server
	num     int
	fc      *faultConn // beneath TLS, if any
	raw     net.Conn
	frames  wsReader
	deflate bool
	session atomic.Pointer[string] // for the transcript

	// The queue between handlers, which never block, and the writer.
	qmu      sync.Mutex
	qchanged *sync.Cond
	queue    []outItem
	qbytes   int
	held     int  // while above 0, the writer waits: what is queued leaves together
	ended    bool // no more items; the writer leaves when the queue is empty
	writer   chan struct{}

	// Guarded by srv.mu.
	info         *connRecord
	sess         *Session
	authed       bool
	connecting   bool // a connect request waits for its delayed answer
	eventAcks    bool
	closed       bool
	draining     bool // signalwire.disconnect was sent
	drainReplied bool
	drain        DisconnectOptions
	pending      map[string]*request
	received     map[string]bool // contexts named by signalwire.receive
	pingTimer    *clockTimer
	pings        int
	missedPings  int
	sends        int // for Faults.DropEverySends
}

// outItem is one message on its way out.
type outItem struct {
	op        byte
	payload   []byte
	raw       bool // bytes for the connection, not a WebSocket message
	id        json.RawMessage
	method    string
	eventType string
	delivery  *Delivery
	last      bool // close after writing
}

// request is one request of ours that waits for the client's answer.
type request struct {
	kind      string // "event", "ping", "disconnect", or "maybe": unanswered is fine
	delivery  *Delivery
	timestamp json.RawMessage
	payload   string
	sent      time.Time
	answered  chan struct{}
}

// connState is the part of Server.state about connections.
type connState struct {
	conns    map[int]*conn
	connNum  int
	connLog  ring[*connRecord]
	rawConns map[*faultConn]struct{} // accepted, and not or not yet upgraded
}

func (s *Server) initConns() {
	s.conns = make(map[int]*conn)
	s.rawConns = make(map[*faultConn]struct{})
	s.connLog.limit = 10_000
}

// wrapConn takes a freshly accepted connection of a Relay listener.
func (s *Server) wrapConn(c net.Conn) net.Conn {
	fc := newFaultConn(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		fc.abort()
		return fc
	}
	// Stalled and silent connections may sit here for ever; remember them so
	// that Close and the lifting of the fault reach them.
	for old := range s.rawConns {
		select {
		case <-old.done:
			delete(s.rawConns, old)
		default:
		}
	}
	s.rawConns[fc] = struct{}{}
	fc.setImpairment(s.faults.Impair)
	if s.faults.StallHandshake {
		fc.silence(true, true)
	} else {
		fc.silence(s.faults.SilenceReads, s.faults.SilenceWrites)
	}
	return fc
}

func (s *Server) closeRaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for fc := range s.rawConns {
		fc.abort()
	}
}

func (s *Server) addConn(fc *faultConn, raw net.Conn, r *bufio.Reader, deflate bool, head string) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.wg.Add(1)
	s.connNum++
	c := &conn{
		srv: s, num: s.connNum, fc: fc, raw: raw, deflate: deflate,
		writer:   make(chan struct{}),
		pending:  make(map[string]*request),
		received: make(map[string]bool),
		info: &connRecord{ConnectionInfo: ConnectionInfo{
			Num: s.connNum, Opened: s.clock.Now(), Remote: raw.RemoteAddr().String(),
		}},
	}
	c.qchanged = sync.NewCond(&c.qmu)
	c.frames = wsReader{r: r, deflate: deflate, limit: s.cfg.MaxFrame, control: c.onControl}
	c.push(outItem{raw: true, payload: []byte(head)})
	delete(s.rawConns, fc)
	s.conns[c.num] = c
	s.connLog.add(c.info)
	s.noteOpened(c)
	s.cfg.Logger.Info("connection opened", "conn", c.num)
	return c
}

func (s *Server) openConns() []*conn {
	out := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		out = append(out, c)
	}
	return out
}

// run serves the connection until it ends.
func (c *conn) run() {
	go c.writeLoop()
	err := c.readLoop()
	var broken *wsError
	switch {
	case errors.As(err, &broken):
		c.srv.mu.Lock()
		c.srv.violate(c, "websocket", "frames as in RFC 6455", broken.text, nil)
		c.srv.mu.Unlock()
		c.push(outItem{op: opClose, payload: closePayload(broken.code, broken.text), last: true})
	case errors.Is(err, io.EOF):
		// The writer may still have the closing handshake to finish.
	default:
		c.fc.Close()
	}
	c.end()
	t := time.NewTimer(time.Second)
	select {
	case <-c.writer:
	case <-t.C:
	}
	t.Stop()
	_ = c.fc.Close()
	<-c.writer
	c.srv.mu.Lock()
	c.srv.detach(c, causeOf(err))
	delete(c.srv.conns, c.num)
	c.srv.mu.Unlock()
	c.srv.changed.wake()
}

func causeOf(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "closed by the client"
	case errors.Is(err, net.ErrClosed):
		return "closed by the server"
	}
	return err.Error()
}

func (c *conn) readLoop() error {
	for {
		op, payload, err := c.frames.next()
		if err != nil {
			return err
		}
		if op == opBinary || !utf8.Valid(payload) {
			c.srv.onInvalid(c, op, payload)
			continue
		}
		c.srv.onText(c, payload)
	}
}

// onControl runs on the reader.
func (c *conn) onControl(op byte, payload []byte) {
	switch op {
	case opPing:
		c.push(outItem{op: opPong, payload: payload})
	case opClose:
		code := 1005
		if len(payload) >= 2 {
			code = int(payload[0])<<8 | int(payload[1])
		}
		c.srv.mu.Lock()
		c.info.CloseCode = code
		c.srv.mu.Unlock()
		c.push(outItem{op: opClose, payload: payload, last: true})
	}
}

// push queues items; together they are not split by items of others.
func (c *conn) push(items ...outItem) {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	if c.ended {
		return
	}
	for _, it := range items {
		c.queue = append(c.queue, it)
		c.qbytes += len(it.payload)
		if it.last {
			c.ended = true
			break
		}
	}
	if c.qbytes > c.srv.cfg.MaxQueue {
		// A client that does not read must not cost memory without end.
		c.queue, c.ended = nil, true
		c.fc.abort()
	}
	c.qchanged.Signal()
}

// hold keeps what is pushed from now on until release, so that it leaves in one
// write: one TCP segment, if it is short enough for that.
func (c *conn) hold() {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	c.held++
}

func (c *conn) release() {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	c.held--
	c.qchanged.Signal()
}

// end lets the writer leave once the queue is empty.
func (c *conn) end() {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	c.ended = true
	c.qchanged.Signal()
}

func (c *conn) writeLoop() {
	defer close(c.writer)
	var buf []byte
	var batch []outItem
	for {
		c.qmu.Lock()
		for (len(c.queue) == 0 || c.held > 0) && !c.ended {
			c.qchanged.Wait()
		}
		if len(c.queue) == 0 {
			c.qmu.Unlock()
			return
		}
		if c.fc.isDumb() {
			// Wait before taking anything: what never leaves must not be in the
			// transcript.
			c.qmu.Unlock()
			if !c.fc.waitWritable() {
				return
			}
			continue
		}
		n, size := 0, 0
		for n < len(c.queue) && (n == 0 || size+len(c.queue[n].payload) <= writeBatch) {
			size += len(c.queue[n].payload)
			n++
		}
		batch = append(batch[:0], c.queue[:n]...)
		rest := copy(c.queue, c.queue[n:])
		clear(c.queue[rest:])
		c.queue = c.queue[:rest]
		c.qbytes -= size
		c.qmu.Unlock()

		fragment, last := c.fc.impairment().Fragment, false
		buf = buf[:0]
		for _, it := range batch {
			buf = c.encode(buf, it, fragment)
			last = last || it.last
		}
		_, err := c.raw.Write(buf)
		if cap(buf) > 4*writeBatch {
			buf = nil
		}
		if err != nil {
			c.end()
			_ = c.fc.Close()
			return
		}
		if last {
			// The reader, waiting for the other half of the handshake or having
			// read it already, closes the connection.
			return
		}
	}
}

func (c *conn) encode(buf []byte, it outItem, fragment int) []byte {
	switch {
	case it.raw:
		return append(buf, it.payload...)
	case it.op >= opClose:
		return appendFrame(buf, it.op|finBit, it.payload)
	}
	if it.delivery != nil {
		it.delivery.written.CompareAndSwap(0, c.srv.clock.Now().UnixNano())
	}
	c.srv.journal.add(Frame{
		Time: c.srv.clock.Now(), Dir: ToClient, Conn: c.num, Session: c.sessionName(), Raw: it.payload,
		Binary: it.op == opBinary, ID: it.id, Method: it.method, EventType: it.eventType,
	})
	c.info.framesOut.Add(1)
	return appendMessage(buf, it.op, it.payload, fragment, c.deflate)
}

func (c *conn) sessionName() string {
	if p := c.session.Load(); p != nil {
		return *p
	}
	return ""
}

// closeWith starts the closing handshake with any code, or with none if it is 0.
// The caller holds srv.mu.
func (c *conn) closeWith(code int, reason string) {
	if c.closed {
		return
	}
	c.push(outItem{op: opClose, payload: closePayload(code, reason), last: true})
	c.srv.detach(c, fmt.Sprintf("closed by the server with code %d", code))
	c.srv.clock.afterFunc(closeWait, func() { _ = c.fc.Close() })
}

// abort resets the connection; for the rest of the server it is gone at once.
// The caller holds srv.mu.
func (c *conn) abort(cause string) {
	c.srv.detach(c, cause)
	c.discard()
	c.fc.abort()
}

// discard drops what is queued: it never leaves, and is in no transcript.
func (c *conn) discard() {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	c.queue, c.ended = nil, true
	c.qchanged.Signal()
}

// detach takes the connection out of its session. The caller holds srv.mu.
func (s *Server) detach(c *conn, cause string) {
	if c.closed {
		return
	}
	c.closed = true
	c.pingTimer.stop()
	c.info.Closed = s.clock.Now()
	if c.info.Cause == "" {
		c.info.Cause = cause
	}
	s.noteClosed(c)
	s.leave(c)
	s.cfg.Logger.Info("connection closed", "conn", c.num, "cause", c.info.Cause)
}
