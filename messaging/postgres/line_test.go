package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
)

// line is a TCP line to the server that the test can cut, silence and mend.
type line struct {
	url string
	l   net.Listener
	to  string

	mu     sync.Mutex
	cond   *sync.Cond
	mute   bool // what is sent waits
	cut    bool // connections are refused
	conns  map[net.Conn]bool
	filter func(fromServer []byte) bool // false: the answer is lost and the line is cut
}

func newLine(t *testing.T, at place) *line {
	t.Helper()
	u, err := url.Parse(at.url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &line{l: l, to: u.Host, conns: map[net.Conn]bool{}}
	p.cond = sync.NewCond(&p.mu)
	if !strings.Contains(u.Host, ":") {
		p.to += ":5432"
	}
	u.Host = l.Addr().String()
	p.url = u.String()
	t.Cleanup(func() { p.set(func() { p.cut, p.mute = true, false }); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			refused := p.cut
			p.mu.Unlock()
			s, err := net.Dial("tcp", p.to)
			if refused || err != nil {
				c.Close()
				if err == nil {
					s.Close()
				}
				continue
			}
			p.mu.Lock()
			p.conns[c], p.conns[s] = true, true
			p.mu.Unlock()
			go p.pass(s, c, false)
			go p.pass(c, s, true)
		}
	}()
	return p
}

// set changes the line; cutting it ends its connections.
func (p *line) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	if p.cut {
		for c := range p.conns {
			c.Close()
		}
		clear(p.conns)
	}
	p.cond.Broadcast()
}

func (p *line) pass(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		for p.mute {
			p.cond.Wait()
		}
		drop := answers && p.filter != nil && !p.filter(buf[:n])
		if drop {
			p.filter = nil
		}
		p.mu.Unlock()
		if drop {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func TestRenewEndsWhenTheServerIsSilent(t *testing.T) {
	t.Parallel()
	at := schema(t)
	p := newLine(t, at)
	a := join(t, place{at.name, p.url}, "a")
	p.set(func() { p.mute = true })
	defer p.set(func() { p.mute = false })
	var err error
	ended := later(t, func() { _, err = a.Renew(context.Background(), a.owner) })
	eventually(t, "Renew ends", ended)
	if err == nil {
		t.Fatal("Renew without an answer: no error")
	}
}

func TestAnswerOfCommitIsLost(t *testing.T) {
	t.Parallel()
	at := schema(t)
	p := newLine(t, at)
	a := join(t, place{at.name, p.url}, "a")
	a.append(message(), nil) // the connection is there
	b := a.batch()
	ap := &messaging.Append{Event: message()}
	b.Appends = append(b.Appends, ap)
	p.set(func() {
		p.filter = func(answer []byte) bool { return !strings.Contains(string(answer), "COMMIT\x00") }
	})
	if err := a.Commit(t.Context(), b); !errors.Is(err, messaging.ErrUnavailable) {
		t.Fatalf("Commit whose answer is lost: %v, want ErrUnavailable", err)
	}
	ap.Fresh = false
	if err := a.Commit(t.Context(), b); err != nil {
		t.Fatalf("Commit of the same batch: %v", err)
	}
	if !ap.Fresh || ap.Event.Seq == 0 {
		t.Errorf("Fresh %v, Seq %d after the answer was lost; want what the first was told", ap.Fresh, ap.Event.Seq)
	}
}

func TestServerIsGoneAndBack(t *testing.T) {
	t.Parallel()
	at := schema(t)
	p := newLine(t, at)
	a := join(t, place{at.name, p.url}, "a")
	a.append(message(), nil)
	p.set(func() { p.cut = true })
	b := a.batch()
	ap := &messaging.Append{Event: message()}
	b.Appends = append(b.Appends, ap)
	for range 2 {
		if err := a.Commit(t.Context(), b); !errors.Is(err, messaging.ErrUnavailable) {
			t.Fatalf("Commit without a server: %v, want ErrUnavailable", err)
		}
		if _, err := a.Renew(t.Context(), a.owner); !errors.Is(err, messaging.ErrUnavailable) {
			t.Fatalf("Renew without a server: %v, want ErrUnavailable", err)
		}
	}
	p.set(func() { p.cut = false })
	if err := a.Commit(t.Context(), b); err != nil || !ap.Fresh {
		t.Fatalf("Commit when the server is back: %v, Fresh %v", err, ap.Fresh)
	}
	a.renew()
}
