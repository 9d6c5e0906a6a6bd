package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// newPipe returns two ends of an in-memory connection with a buffer in each
// direction, as a kernel has: unlike net.Pipe a writer does not wait for the
// reader until room is used up. It works inside a synctest bubble.
func newPipe(room int) (a, b *pipeEnd) {
	up, down := newFlow(room), newFlow(room)
	return &pipeEnd{in: down, out: up}, &pipeEnd{in: up, out: down}
}

type pipeEnd struct{ in, out *flow }

func (e *pipeEnd) Read(p []byte) (int, error)        { return e.in.read(p) }
func (e *pipeEnd) Write(p []byte) (int, error)       { return e.out.write(p) }
func (e *pipeEnd) LocalAddr() net.Addr               { return pipeAddr{} }
func (e *pipeEnd) RemoteAddr() net.Addr              { return pipeAddr{} }
func (e *pipeEnd) SetReadDeadline(t time.Time) error { e.in.setDeadline(&e.in.readBy, t); return nil }

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	e.out.setDeadline(&e.out.writeBy, t)
	return nil
}

func (e *pipeEnd) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

// Close ends both directions: the other side reads what is buffered, then EOF.
func (e *pipeEnd) Close() error {
	e.out.fail(io.EOF, net.ErrClosed)
	e.in.fail(net.ErrClosed, syscall.EPIPE)
	return nil
}

// reset is an abrupt RST: what is buffered is gone.
func (e *pipeEnd) reset() {
	for _, f := range []*flow{e.in, e.out} {
		f.mu.Lock()
		f.buf = nil
		f.mu.Unlock()
		f.fail(syscall.ECONNRESET, syscall.ECONNRESET)
	}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// flow is one direction.
type flow struct {
	mu       sync.Mutex
	cond     sync.Cond
	room     int
	buf      []byte
	readErr  error // once buf is empty
	writeErr error
	readBy   deadline
	writeBy  deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func newFlow(room int) *flow {
	f := &flow{room: room}
	f.cond.L = &f.mu
	return f
}

func (f *flow) fail(read, write error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readErr == nil {
		f.readErr = read
	}
	if f.writeErr == nil {
		f.writeErr = write
	}
	f.cond.Broadcast()
}

func (f *flow) setDeadline(d *deadline, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = t
	if !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.cond.Broadcast()
		})
	}
	f.cond.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case errors.Is(f.readErr, net.ErrClosed):
			return 0, f.readErr
		case len(f.buf) > 0:
			n := copy(p, f.buf)
			f.buf = f.buf[n:]
			f.cond.Broadcast()
			return n, nil
		case f.readErr != nil:
			return 0, f.readErr
		case f.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		}
		f.cond.Wait()
	}
}

func (f *flow) write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := 0
	for {
		switch {
		case f.writeErr != nil:
			return done, f.writeErr
		case len(p) == done:
			return done, nil
		case f.writeBy.passed():
			return done, os.ErrDeadlineExceeded
		}
		if n := min(f.room-len(f.buf), len(p)-done); n > 0 {
			f.buf = append(f.buf, p[done:done+n]...)
			done += n
			f.cond.Broadcast()
			continue
		}
		f.cond.Wait()
	}
}
