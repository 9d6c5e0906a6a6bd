package relay

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBuffer is how much one read may take from the kernel: a burst of
	// some fifty events in one call instead of seven.
	readBuffer = 32 << 10

	// maxBatch bounds what waits for the flusher. It holds one round of the
	// writer, the largest frame, and the pongs that a peer can provoke while
	// one write is stuck; a peer that provokes more is not well.
	maxBatch = 1 << 20

	// closeGrace is how long Close lets the flusher finish, so that the close
	// frame which answers the peer's leaves before the socket goes.
	closeGrace = 250 * time.Millisecond
)

var errBatchFull = errors.New("write buffer is full")

// batchConn is the network connection below the WebSocket. During the upgrade
// it writes through; after batch it appends, and flush, called by one
// goroutine, writes everything that has gathered with one system call and (it
// sits above TLS) one record. At rest a frame leaves at once; under load one
// write carries many. What it knows exactly is how much the kernel took.
type batchConn struct {
	net.Conn               // the TCP or TLS connection
	raw      net.Conn      // the TCP connection
	tls      bool          // Conn is not raw
	timeout  time.Duration // for each write to the kernel
	br       *bufio.Reader

	onWrite func() // tells the flusher; set by batch
	aborted atomic.Bool

	mu      sync.Mutex
	idle    sync.Cond // signalled when a flush ends
	batched bool
	closed  bool
	busy    bool // a flush is under way
	buf     []byte
	spare   []byte
	failed  error
}

func newBatchConn(conn, raw net.Conn, timeout time.Duration) *batchConn {
	b := &batchConn{Conn: conn, raw: raw, tls: conn != raw, timeout: timeout, br: bufio.NewReaderSize(conn, readBuffer)}
	b.idle.L = &b.mu
	return b
}

// Read reads through a buffer larger than the WebSocket's own.
func (b *batchConn) Read(p []byte) (int, error) { return b.br.Read(p) }

// batch ends the time of writing through. onWrite is called after each append.
func (b *batchConn) batch(onWrite func()) {
	b.mu.Lock()
	b.onWrite = onWrite
	b.batched = true
	b.mu.Unlock()
}

// Write appends p, or writes it through before batch. It never waits for the
// peer once batching.
func (b *batchConn) Write(p []byte) (int, error) {
	b.mu.Lock()
	if !b.batched {
		b.mu.Unlock()
		return b.Conn.Write(p)
	}
	switch {
	case b.closed:
		b.mu.Unlock()
		return 0, net.ErrClosed
	case b.failed != nil:
		b.mu.Unlock()
		return 0, b.failed
	case len(b.buf)+len(p) > maxBatch:
		b.mu.Unlock()
		return 0, errBatchFull
	}
	b.buf = append(b.buf, p...)
	b.mu.Unlock()
	b.onWrite()
	return len(p), nil
}

// buffered returns how many bytes wait for flush.
func (b *batchConn) buffered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.buf)
}

// flush hands everything buffered to the kernel, within the write timeout. It
// returns how many of the bytes may have been taken: exactly that count on a
// plain connection, all of them when a write fails under TLS, whose records
// do not tell.
func (b *batchConn) flush() (int, error) {
	b.mu.Lock()
	if b.failed != nil || b.closed {
		err := b.failed
		b.mu.Unlock()
		if err == nil {
			err = net.ErrClosed
		}
		return 0, err
	}
	out := b.buf
	b.buf = b.spare[:0]
	b.spare = nil
	b.busy = true
	b.mu.Unlock()

	n, err := 0, error(nil)
	if len(out) > 0 {
		err = b.Conn.SetWriteDeadline(time.Now().Add(b.timeout))
		if err == nil {
			n, err = b.Conn.Write(out)
			if err == nil && n < len(out) {
				err = io.ErrShortWrite
			}
			if err != nil && b.tls {
				n = len(out)
			}
		}
	}

	b.mu.Lock()
	if cap(out) <= maxBatch {
		b.spare = out[:0]
	}
	b.busy = false
	if err != nil {
		b.failed = err
	}
	b.idle.Broadcast()
	b.mu.Unlock()
	return n, err
}

// abort makes every later step fail fast, and closes the socket without the
// goodbyes of TLS, which could wait on a peer that is not there.
func (b *batchConn) abort() {
	b.aborted.Store(true)
	_ = b.raw.Close()
}

// Close closes the connection. Unless aborted it first gives the flusher a
// moment to write what is buffered.
func (b *batchConn) Close() error {
	b.mu.Lock()
	if b.batched && !b.closed && b.failed == nil && !b.aborted.Load() {
		late := false
		t := time.AfterFunc(closeGrace, func() {
			b.mu.Lock()
			late = true
			b.idle.Broadcast()
			b.mu.Unlock()
		})
		for (len(b.buf) > 0 || b.busy) && b.failed == nil && !late && !b.aborted.Load() {
			b.idle.Wait()
		}
		t.Stop()
	}
	b.closed = true
	b.mu.Unlock()
	if b.aborted.Load() {
		return b.raw.Close()
	}
	return b.Conn.Close()
}
