package relaytest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memBuffer is how many bytes one direction of an in-memory connection holds
// before writers wait: about what a kernel buffers on loopback, so that code
// which only works unbuffered, or only works unbounded, shows itself.
const memBuffer = 256 << 10

// memPipe returns the two ends of a buffered in-memory connection. Everything
// waits on condition variables, so goroutines blocked in it count as durably
// blocked and the clock of a synctest bubble moves.
func memPipe(local, remote memAddr) (*memConn, *memConn) {
	there, back := newHalf(), newHalf()
	return &memConn{in: back, out: there, local: local, remote: remote},
		&memConn{in: there, out: back, local: remote, remote: local}
}

type memAddr string

func (memAddr) Network() string  { return "memory" }
func (a memAddr) String() string { return string(a) }

// memConn is one end: a net.Conn with deadlines, and Reset for an abrupt end.
type memConn struct {
	in, out       *half
	local, remote memAddr
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memConn) LocalAddr() net.Addr         { return c.local }
func (c *memConn) RemoteAddr() net.Addr        { return c.remote }

// Close lets the peer read what was written, then EOF; the peer's writes fail.
func (c *memConn) Close() error {
	c.out.finish(io.EOF, net.ErrClosed, false)
	c.in.finish(net.ErrClosed, syscall.EPIPE, false)
	return nil
}

// Reset is a TCP RST: what is in flight is lost and the peer's next read or
// write fails with ECONNRESET.
func (c *memConn) Reset() {
	c.out.finish(syscall.ECONNRESET, net.ErrClosed, true)
	c.in.finish(net.ErrClosed, syscall.ECONNRESET, true)
}

func (c *memConn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// half is one direction.
type half struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      []byte // a ring that grows up to memBuffer
	head     int    // of the first unread byte
	unread   int
	readErr  error // for the reader once buf is empty
	writeErr error // for the writer at once
	readBy   memDeadline
	writeBy  memDeadline
}

type memDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *memDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newHalf() *half {
	h := &half{}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case errors.Is(h.readErr, net.ErrClosed):
			return 0, net.ErrClosed
		case len(p) == 0:
			return 0, nil
		case h.unread > 0:
			n := 0
			for h.unread > 0 && n < len(p) {
				k := copy(p[n:], h.buf[h.head:min(h.head+h.unread, len(h.buf))])
				h.head, h.unread, n = (h.head+k)%len(h.buf), h.unread-k, n+k
			}
			h.changed.Broadcast()
			return n, nil
		case h.readErr != nil:
			return 0, h.readErr
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		switch {
		case h.writeErr != nil:
			return written, h.writeErr
		case h.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		case written == len(p):
			return written, nil
		}
		if h.unread < memBuffer {
			n := min(memBuffer-h.unread, len(p)-written)
			h.put(p[written : written+n])
			written += n
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

// put appends bytes for which there is room.
func (h *half) put(p []byte) {
	if need := h.unread + len(p); need > len(h.buf) {
		grown := make([]byte, min(max(need, 2*len(h.buf), 4<<10), memBuffer))
		k := copy(grown, h.buf[h.head:min(h.head+h.unread, len(h.buf))])
		copy(grown[k:], h.buf[:h.unread-k])
		h.buf, h.head = grown, 0
	}
	tail := (h.head + h.unread) % len(h.buf)
	k := copy(h.buf[tail:], p)
	copy(h.buf, p[k:])
	h.unread += len(p)
}

// finish ends the direction; the first end wins, except that a local close is
// always seen locally.
func (h *half) finish(readErr, writeErr error, discard bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readErr == nil || errors.Is(readErr, net.ErrClosed) {
		h.readErr = readErr
	}
	if h.writeErr == nil || errors.Is(writeErr, net.ErrClosed) {
		h.writeErr = writeErr
	}
	if discard {
		h.buf, h.head, h.unread = nil, 0, 0
	}
	if errors.Is(h.readErr, net.ErrClosed) {
		h.readBy.stop()
	}
	if errors.Is(h.writeErr, net.ErrClosed) {
		h.writeBy.stop()
	}
	h.changed.Broadcast()
}

func (d *memDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (h *half) setDeadline(d *memDeadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.stop()
	d.at = t
	if !t.IsZero() {
		if wait := time.Until(t); wait > 0 {
			d.timer = time.AfterFunc(wait, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.changed.Broadcast()
			})
		}
	}
	h.changed.Broadcast()
}
