package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/sourcegraph/jsonrpc2"
)

// session is one connection, from the upgrade to the last byte. Everything
// that belongs to a connection lives here and dies with it: its timers, its
// queues, its unanswered requests. A session never touches its successor.
type session struct {
	c    *Client
	log  *slog.Logger
	ws   *websocket.Conn
	conn *batchConn
	rpc  *jsonrpc2.Conn
	in   *stream
	born time.Time // zero of the session clock
	stop func()    // ends the contexts of the session's goroutines

	// Of the read goroutine.
	now         time.Time // when the frame in hand had been read
	names       map[string]string
	lastMessage string

	// Session clock, nanoseconds since born.
	lastFrame  atomic.Int64
	lastAnswer atomic.Int64
	pongAt     atomic.Int64 // of the last answered ping; 0 if none was
	rtt        atomic.Int64 // of that ping
	unacked    atomic.Int64
	probe      chan struct{}

	// The writer.
	wake    chan struct{} // one token, passed by whoever unparks it
	parked  atomic.Bool
	written chan struct{} // closed when the writer is gone

	dispatching  sync.Mutex
	next         nextCall
	hasAbandoned atomic.Bool

	mu        sync.Mutex
	opened    bool // signalwire.connect is queued; nothing is written before it
	accepting bool // subscribed: requests may be queued
	ready     bool // it was accepting at some time
	draining  bool
	leaving   bool // orderly shutdown
	closed    bool // nothing may be queued any more
	drainEnd  *time.Timer
	lanes     lanes
	pending   map[uuid.UUID]pending
	abandoned []uuid.UUID
	queued    uint64        // requests ever queued
	encoded   uint64        // requests that the writer has begun with
	taken     uint64        // requests of which the kernel may have a byte
	quiet     chan struct{} // closed when nothing waits to be written

	// Written once, by end, before closed is set.
	ended  sync.Once
	reason string
	cause  error
}

// Reasons for the end of a connection or an attempt; labels of a metric.
const (
	reasonDial     = "dial"     // TCP or TLS did not come up
	reasonUpgrade  = "upgrade"  // the server did not accept the WebSocket
	reasonConnect  = "connect"  // no usable answer to signalwire.connect
	reasonRefused  = "refused"  // the credentials or the resume data were refused
	reasonClosed   = "closed"   // the peer closed the WebSocket
	reasonNetwork  = "network"  // reset, end of stream, broken framing
	reasonOversize = "oversize" // a frame beyond MaxFrame
	reasonSilent   = "silent"   // nothing heard, and the probe unanswered
	reasonUnheard  = "unheard"  // frames come, but nothing of ours is answered any more
	reasonWrite    = "write"    // the kernel did not take our frames
	reasonDrained  = "drained"  // signalwire.disconnect
	reasonShutdown = "shutdown" // Run's context ended
)

var (
	errSilent  = errors.New("nothing heard from the platform, and no answer to the probe")
	errUnheard = errors.New("the platform sends, but answers nothing any more")
	errDrained = errors.New("the platform asked us to disconnect")
	errLeaving = errors.New("the client is shutting down")
)

const (
	// goodbyeTimeout bounds an orderly close: what is queued is written, and
	// close frames are exchanged.
	goodbyeTimeout = 2 * time.Second

	// lastWords is how long the end of a session whose peer has gone waits for
	// frames that had arrived: an answer among them is worth more than a doubt.
	lastWords = 100 * time.Millisecond

	// handlerPatience is how long a handler may hold the reader of a session
	// that is over before that is reported, or, on shutdown, left behind.
	handlerPatience = 5 * time.Second
)

// ending is what an attempt came to.
type ending struct {
	ready   bool   // it had been subscribed
	reason  string // why it is over
	cause   error
	refused *Error // the platform's no to signalwire.connect
	upgrade bool   // the WebSocket had come up
	resumed bool   // resume data had been sent

	unanswered bool // resume data had been sent, and no answer came
}

func newSession(c *Client, number uint64, ws *websocket.Conn, conn *batchConn) *session {
	s := &session{
		c: c, ws: ws, conn: conn,
		log:     c.log.With("connection", number),
		born:    time.Now(),
		names:   map[string]string{},
		probe:   make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		written: make(chan struct{}),
		pending: map[uuid.UUID]pending{},
	}
	s.in = &stream{s: s, out: make(chan struct{}), buf: make([]byte, 0, firstBuffer)}
	ws.SetReadLimit(c.cfg.MaxFrame)
	conn.batch(s.kick)
	return s
}

// serve runs the session until it is over and all that it started is gone. If
// ctx ends first the close is an orderly one.
func (s *session) serve(ctx context.Context) ending {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	s.stop = stop

	// The reader runs before anything is sent.
	s.rpc = jsonrpc2.NewConn(context.Background(), s.in, s.in, jsonrpc2.SetLogger(rpcLogger{s}))
	s.c.current.Store(s)

	var work sync.WaitGroup
	work.Go(s.write)
	resumed, err := s.connect(inner)
	if err == nil {
		work.Go(func() { s.subscribe(inner) })
		work.Go(func() { s.keepAlive(inner) })
		work.Go(func() { s.keepToken(inner) })
		<-inner.Done()
	}

	var refused *Error
	switch {
	case ctx.Err() != nil:
		s.goodbye()
		s.end(reasonShutdown, errLeaving)
	case errors.As(err, &refused):
		s.end(reasonRefused, err)
	case err != nil:
		s.end(reasonConnect, err)
	}
	if s.ready && ctx.Err() == nil {
		s.c.transition(StateBackoff, nil) // at once: nobody should think that it is up
	}
	<-s.written
	s.settle()
	_ = s.ws.CloseNow()
	_ = s.rpc.Close()
	left := s.awaitReader(ctx)
	work.Wait()
	s.release(left)
	s.c.current.CompareAndSwap(s, nil)
	return ending{
		ready: s.ready, reason: s.reason, cause: s.cause, refused: refused, upgrade: true,
		resumed: resumed, unanswered: resumed && err != nil && refused == nil,
	}
}

// lastFrames gives the reader of a peer that has gone the time to finish what
// had arrived.
func (s *session) lastFrames() {
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-s.in.out:
	case <-t.C:
	}
}

// awaitReader returns true when the reader has left. Only a handler that blocks
// can hold it: then a shutdown goes on without it, a redial does not.
func (s *session) awaitReader(ctx context.Context) bool {
	t := time.NewTimer(handlerPatience)
	defer t.Stop()
	select {
	case <-s.in.out:
		return true
	case <-t.C:
		s.log.Error("the event handler blocks the reader of a connection that is over")
	}
	if ctx.Err() != nil {
		return false
	}
	select {
	case <-s.in.out:
		return true
	case <-ctx.Done():
		return false
	}
}

// release lets go of the buffers. An event that is kept keeps its session, and
// a stuck conversation may keep one event of each of many sessions.
func (s *session) release(readerLeft bool) {
	s.mu.Lock()
	s.lanes = lanes{}
	s.abandoned = nil
	s.mu.Unlock()
	if readerLeft {
		s.in.buf, s.names, s.conn.br = nil, nil, nil
	}
}

// end marks the session as over and closes its socket at once. The first call
// decides about reason and cause. It waits for nothing, and may be called from
// anywhere, without s.mu.
func (s *session) end(reason string, cause error) {
	s.ended.Do(func() {
		cause = s.c.cleanCause(cause)
		s.mu.Lock()
		switch {
		case s.leaving:
			reason, cause = reasonShutdown, errLeaving
		case s.draining && (reason == reasonClosed || reason == reasonNetwork || reason == reasonWrite):
			reason, cause = reasonDrained, errDrained
		}
		s.reason, s.cause = reason, cause
		s.closed = true
		s.accepting = false
		if s.drainEnd != nil {
			s.drainEnd.Stop()
		}
		s.mu.Unlock()
		s.stop()
		s.hangUp()
	})
}

// hangUp closes the socket without any goodbye, and lets the writer see it.
func (s *session) hangUp() {
	s.conn.abort()
	s.kick()
}

// goodbye writes what is queued and exchanges close frames, within
// goodbyeTimeout.
func (s *session) goodbye() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.leaving = true
	s.accepting = false
	opened := s.opened
	s.mu.Unlock()

	late := make(chan struct{})
	t := time.AfterFunc(goodbyeTimeout, func() {
		close(late)
		s.hangUp()
	})
	defer t.Stop()
	if opened && s.settleWrites(late) == nil {
		_ = s.ws.Close(websocket.StatusNormalClosure, "")
	}
}

// readReason classifies the error that ended reading.
func readReason(err error) string {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return reasonOversize
	case websocket.CloseStatus(err) != -1:
		return reasonClosed
	default:
		return reasonNetwork
	}
}

// readCause puts the end of reading into words.
func readCause(err error) error {
	var ce websocket.CloseError
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return errors.New("the platform sent a frame larger than MaxFrame")
	case errors.As(err, &ce):
		return &closeError{code: int(ce.Code), text: ce.Reason}
	case errors.Is(err, io.EOF):
		return errors.New("the connection ended without a close frame")
	default:
		return err
	}
}

// disconnect obeys signalwire.disconnect: no new requests, events and pings as
// before, and after the drain timeout the socket is closed if the platform has
// not done so.
func (s *session) disconnect(params []byte) {
	restart := wantsRestart(params)
	s.log.Info("the platform asks us to disconnect", "restart", restart)
	if restart {
		s.c.forgetResume()
	}
	s.c.transition(StateDraining, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed || s.draining {
			return false
		}
		s.draining = true
		s.drainEnd = time.AfterFunc(s.c.cfg.DrainTimeout, func() { s.end(reasonDrained, errDrained) })
		return true
	})
	s.callBack()
}

// becomeReady opens the session for requests.
func (s *session) becomeReady() {
	s.c.transition(StateSubscribed, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed || s.draining || s.leaving {
			return false
		}
		s.accepting = true
		s.ready = true
		return true
	})
}
