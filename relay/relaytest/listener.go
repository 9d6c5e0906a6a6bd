package relaytest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// listener accepts connections for one address, hands them out wrapped, and can
// refuse as if nobody listened.
type listener interface {
	net.Listener
	refuse(bool) error
}

// tcpListener is the real one. Refusing closes the socket, so that clients get
// a genuine ECONNREFUSED, and accepting again reopens the same port.
type tcpListener struct {
	wrap func(net.Conn) net.Conn

	mu       sync.Mutex
	changed  *sync.Cond
	inner    net.Listener
	addr     net.Addr
	refusing bool
	closed   bool
}

func listenTCP(addr string, wrap func(net.Conn) net.Conn) (*tcpListener, error) {
	inner, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; choose a free address, or port 0 for any", addr, err)
	}
	l := &tcpListener{wrap: wrap, inner: inner, addr: inner.Addr()}
	l.changed = sync.NewCond(&l.mu)
	return l, nil
}

func (l *tcpListener) Addr() net.Addr { return l.addr }

func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		for l.refusing && !l.closed {
			l.changed.Wait()
		}
		if l.closed {
			l.mu.Unlock()
			return nil, net.ErrClosed
		}
		inner := l.inner
		l.mu.Unlock()
		c, err := inner.Accept()
		if err == nil {
			return l.wrap(c), nil
		}
		l.mu.Lock()
		fatal := !l.refusing && !l.closed && inner == l.inner
		l.mu.Unlock()
		if fatal {
			return nil, err
		}
	}
}

func (l *tcpListener) refuse(on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on == l.refusing || l.closed {
		return nil
	}
	if on {
		l.refusing = true
		return l.inner.Close()
	}
	inner, err := net.Listen("tcp", l.addr.String())
	if err != nil {
		return fmt.Errorf("listen on %s again: %w; another program took the port meanwhile, start the server anew", l.addr, err)
	}
	l.inner, l.refusing = inner, false
	l.changed.Broadcast()
	return nil
}

func (l *tcpListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.changed.Broadcast()
	if l.refusing {
		return nil
	}
	return l.inner.Close()
}

// memListener is the in-memory one.
type memListener struct {
	wrap    func(net.Conn) net.Conn
	addr    memAddr
	backlog chan net.Conn
	done    chan struct{}

	mu       sync.Mutex
	dials    int
	refusing bool
	closed   bool
}

func listenMem(addr memAddr, wrap func(net.Conn) net.Conn) *memListener {
	// A backlog lets a dial return before the server has accepted, as TCP does.
	return &memListener{wrap: wrap, addr: addr, backlog: make(chan net.Conn, 128), done: make(chan struct{})}
}

func (l *memListener) Addr() net.Addr { return l.addr }

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return l.wrap(c), nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	l.dials++
	from := memAddr(fmt.Sprintf("client-%d", l.dials))
	refused := l.refusing || l.closed
	l.mu.Unlock()
	if refused {
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: l.addr, Err: syscall.ECONNREFUSED}
	}
	if err := ctx.Err(); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: l.addr, Err: err}
	}
	client, server := memPipe(from, l.addr)
	select {
	case l.backlog <- server:
		return client, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: l.addr, Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: l.addr, Err: ctx.Err()}
	}
}

func (l *memListener) refuse(on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing = on
	return nil
}

func (l *memListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.done)
	}
	// Dials that were never accepted see a reset rather than a hang.
	for {
		select {
		case c := <-l.backlog:
			c.(*memConn).Reset()
		default:
			return nil
		}
	}
}
