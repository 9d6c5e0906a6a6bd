package relaytest

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// maxHeld bounds what a connection that has stopped reading still takes off the
// wire. Taking a little lets the server notice that the peer has gone, as a
// half-open test needs; beyond it the peer feels the back-pressure.
const maxHeld = 64 << 10

// Impairment slows or shreds the bytes of a connection. Zero fields change
// nothing.
type Impairment struct {
	// ReadChunk and ReadDelay make a slow reader: at most ReadChunk bytes are
	// taken per ReadDelay.
	ReadChunk int           `json:"read_chunk,omitempty"`
	ReadDelay time.Duration `json:"read_delay,omitempty"`
	// WriteChunk and WriteDelay trickle: every write is cut into pieces of
	// WriteChunk bytes (1 when only the delay is set), WriteDelay apart.
	WriteChunk int           `json:"write_chunk,omitempty"`
	WriteDelay time.Duration `json:"write_delay,omitempty"`
	// Fragment splits each text message into WebSocket fragments with at most
	// this many payload bytes.
	Fragment int `json:"fragment,omitempty"`
}

// faultConn is a connection that can go silent, slow down or be reset. It sits
// beneath TLS, so that faults hit ciphertext as they would on a network.
type faultConn struct {
	net.Conn
	done chan struct{} // closed by the first Close or abort

	mu      sync.Mutex
	changed *sync.Cond
	deaf    bool // stop reading
	dumb    bool // stop writing
	closed  bool
	held    []byte // read while deaf
	kicked  bool   // the read deadline is ours, to wake a blocked Read
	readBy  time.Time
	impair  Impairment
}

func newFaultConn(c net.Conn) *faultConn {
	f := &faultConn{Conn: c, done: make(chan struct{})}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// silence sets which directions are dead. Nothing is closed.
func (f *faultConn) silence(read, write bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf && !read && !f.closed {
		// The reader may wait for more bytes while some are held: wake it.
		f.kicked = true
		_ = f.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	f.deaf, f.dumb = read, write
	f.changed.Broadcast()
}

func (f *faultConn) setImpairment(i Impairment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.impair = i
}

func (f *faultConn) impairment() Impairment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.impair
}

func (f *faultConn) Read(p []byte) (int, error) {
	for {
		f.mu.Lock()
		for f.deaf && len(f.held) >= maxHeld && !f.closed {
			f.changed.Wait()
		}
		if f.closed {
			f.mu.Unlock()
			return 0, net.ErrClosed
		}
		if !f.deaf && len(f.held) > 0 {
			n := copy(p, f.held)
			f.held = f.held[n:]
			f.mu.Unlock()
			return n, nil
		}
		slow := f.impair
		f.mu.Unlock()

		q := p
		if slow.ReadChunk > 0 && len(q) > slow.ReadChunk {
			q = q[:slow.ReadChunk]
		}
		if slow.ReadDelay > 0 && !f.pause(slow.ReadDelay) {
			return 0, net.ErrClosed
		}
		n, err := f.Conn.Read(q)

		f.mu.Lock()
		if f.kicked && errors.Is(err, os.ErrDeadlineExceeded) {
			f.kicked = false
			_ = f.Conn.SetReadDeadline(f.readBy)
			err = nil
		}
		if f.deaf {
			f.held = append(f.held, q[:n]...)
			n = 0
		}
		f.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (f *faultConn) Write(p []byte) (int, error) {
	f.mu.Lock()
	for f.dumb && !f.closed {
		f.changed.Wait()
	}
	slow, closed := f.impair, f.closed
	f.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	if slow.WriteChunk <= 0 && slow.WriteDelay <= 0 {
		return f.Conn.Write(p)
	}
	piece, written := max(slow.WriteChunk, 1), 0
	for written < len(p) {
		if written > 0 && slow.WriteDelay > 0 && !f.pause(slow.WriteDelay) {
			return written, net.ErrClosed
		}
		n, err := f.Conn.Write(p[written:min(written+piece, len(p))])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (f *faultConn) isDumb() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dumb
}

// waitWritable waits while writing is silenced; false means closed.
func (f *faultConn) waitWritable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.dumb && !f.closed {
		f.changed.Wait()
	}
	return !f.closed
}

// pause waits d, or returns false at once when the connection is closed.
func (f *faultConn) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-f.done:
		return false
	}
}

func (f *faultConn) SetDeadline(t time.Time) error {
	return errors.Join(f.SetReadDeadline(t), f.Conn.SetWriteDeadline(t))
}

func (f *faultConn) SetReadDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readBy = t
	if f.kicked {
		return nil // Read restores readBy itself
	}
	return f.Conn.SetReadDeadline(t)
}

func (f *faultConn) Close() error {
	f.finish()
	return f.Conn.Close()
}

// abort ends the connection with a reset instead of an orderly close.
func (f *faultConn) abort() {
	f.finish()
	switch c := f.Conn.(type) {
	case *net.TCPConn:
		_ = c.SetLinger(0)
		_ = c.Close()
	case *memConn:
		c.Reset()
	default:
		_ = c.Close()
	}
}

func (f *faultConn) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.done)
	}
	f.changed.Broadcast()
}
