package loadserver

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/frame"
	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/pick"
)

// readBuffer holds some 700 frames of a client: as many as it can have written while the server was busy with the last.
const readBuffer = 256 << 10

// conn is one connection of the client.
type conn struct {
	s      *Server
	tcp    *net.TCPConn
	frames *frame.Reader
	kick   chan struct{} // tells the flusher that out has something
	done   chan struct{} // closed when the reader is gone

	// Guarded by Server.mu.
	number        int
	authenticated bool
	contexts      int        // bit set of the subscribed Contexts
	out           []byte     // composed and not yet handed to the kernel
	spare         []byte     // the buffer that out takes turns with
	writing       bool       // somebody is handing a buffer to the kernel
	composed      []composed // sends whose answers are in out
	handed        []composed // sends whose answers the kernel took, the last of them
	handedBytes   int64      // that the kernel took
	pings         []ping     // unanswered
	cut           bool
}

// composed names a send by its number, the inbound that it answers, -1 for none, and where its answer ends in the stream of
// the connection.
type composed struct {
	send, inbound int
	end           int64
}

// maxHanded is more answers than the send buffer of a socket holds.
const maxHanded = 16 << 10

type ping struct {
	number    int
	timestamp string
}

// errCut ends the reader of a connection that the server cut.
var errCut = errors.New("cut")

func (s *Server) serve(tcp *net.TCPConn) {
	defer tcp.Close()
	head, err := handshake(tcp)
	if err != nil {
		return
	}
	c := &conn{
		s:      s,
		tcp:    tcp,
		frames: frame.NewReader(tcp, readBuffer, head),
		kick:   make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	s.mu.Lock()
	s.accepted++
	c.number = s.accepted
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.goroutines.Go(c.flusher)
	select {
	case <-s.closed: // Close may have looked at conns before this one was in it
		tcp.Close()
	default:
	}

	err = c.read()

	s.mu.Lock()
	delete(s.conns, c)
	if s.active == c {
		s.active = nil
	}
	s.mu.Unlock()
	close(c.done)
	if errors.Is(err, errCut) {
		c.hangUp()
	}
}

// handshake answers the HTTP upgrade and returns what came after it.
func handshake(tcp *net.TCPConn) (rest []byte, err error) {
	const limit = 16 << 10
	tcp.SetReadDeadline(time.Now().Add(10 * time.Second))
	defer tcp.SetReadDeadline(time.Time{})
	var head []byte
	var end int
	for buf := make([]byte, 4096); ; {
		n, err := tcp.Read(buf)
		if err != nil {
			return nil, err
		}
		head = append(head, buf[:n]...)
		if end = bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
			break
		}
		if len(head) > limit {
			return nil, errors.New("request head above 16 KiB")
		}
	}
	lines := strings.Split(string(head[:end]), "\r\n")
	var key string
	for _, line := range lines[1:] {
		if name, value, ok := strings.Cut(line, ":"); ok && http.CanonicalHeaderKey(name) == "Sec-Websocket-Key" {
			key = strings.TrimSpace(value)
		}
	}
	target := strings.Fields(lines[0])
	if len(target) != 3 || key == "" || (target[1] != "/" && target[1] != "/api/relay/ws") {
		fmt.Fprint(tcp, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return nil, errors.New("not a WebSocket upgrade on / or /api/relay/ws")
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(tcp, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	return head[end+4:], err
}

// read handles frames until the connection ends. What it composes leaves when nothing more is readable without waiting, so
// that one system call carries all answers to what one system call brought.
func (c *conn) read() error {
	inline := c.s.inline()
	fresh := true
	for {
		if fresh = !c.frames.Buffered(); fresh {
			if inline {
				c.flush()
			} else {
				c.kickFlusher()
			}
		}
		op, payload, err := c.frames.Next()
		if err != nil {
			return err
		}
		c.s.mu.Lock()
		if fresh {
			now := time.Now()
			c.s.stampLocked(now)
			if c.s.load != nil {
				c.s.load.now = now
			}
		}
		err = c.s.handleLocked(c, op, payload)
		c.s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// inline reports whether the reader may write. It may where what is in flight is bounded by less than what two sockets hold:
// otherwise it could wait for a client that waits for it.
func (s *Server) inline() bool { return s.cfg.Rate == 0 && s.cfg.Outstanding <= 4096 }

// flusher writes for those that must not wait for the client.
func (c *conn) flusher() {
	for {
		select {
		case <-c.kick:
			c.flush()
		case <-c.done:
			return
		}
	}
}

func (c *conn) kickFlusher() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// flush hands everything composed to the kernel, or leaves that to the goroutine that is doing it.
func (c *conn) flush() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.writing {
		return
	}
	for len(c.out) > 0 && !c.cut {
		batch := c.out
		c.out, c.spare = c.spare[:0], nil
		if len(c.handed) >= maxHanded {
			c.handed = append(c.handed[:0], c.handed[maxHanded/2:]...)
		}
		c.handed = append(c.handed, c.composed...)
		c.composed = c.composed[:0]
		c.handedBytes += int64(len(batch))
		c.writing = true
		c.s.mu.Unlock()
		_, err := c.tcp.Write(batch)
		c.s.mu.Lock()
		c.writing, c.spare = false, batch
		if err != nil {
			c.cut = true
			c.tcp.Close() // the reader will see it
		}
	}
}

// cutLocked ends the connection as a failing network does: what was composed and not written is lost.
func (s *Server) cutLocked(c *conn) {
	c.cut = true
	s.result.Resets++
	for _, lost := range c.composed {
		if s.cfg.States {
			s.sends[lost.send].owed = true
		}
		s.answerLostLocked(lost)
	}
	c.out = c.out[:0]
	if s.active == c {
		s.active = nil
	}
	delete(s.conns, c)
}

func (s *Server) answerLostLocked(lost composed) {
	s.result.AnswersLost++
	if lost.inbound >= 0 {
		s.load.flags[lost.inbound] |= answerLost
	}
}

// hangUp sends the reset, after a look at what the client had written: those sends are lost before they were carried out.
func (c *conn) hangUp() {
	c.s.mu.Lock()
	c.s.cutAt = time.Now()
	c.s.mu.Unlock()
	if c.s.cfg.Disrupt != nil {
		c.s.cfg.Disrupt()
	}
	sendsLost := c.drain()
	unsent := c.unsent()
	c.tcp.SetLinger(0)
	c.tcp.Close()
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.result.SendsLost += sendsLost
	for _, answer := range c.handed {
		if answer.end > c.handedBytes-unsent {
			c.s.answerLostLocked(answer) // in the send buffer, which a reset empties
		}
	}
}

// drain counts the sends that the client has written and the server has not read.
func (c *conn) drain() (lost int) {
	for {
		for c.frames.Buffered() {
			_, payload, err := c.frames.Next()
			if err != nil {
				return lost
			}
			if method, _, _, _ := envelope(payload); string(pick.String(method)) == "messaging.send" {
				lost++
			}
		}
		if !c.fillNow() {
			return lost
		}
	}
}

// fillNow reads what the kernel holds, without waiting; false when there is nothing.
func (c *conn) fillNow() bool {
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return false
	}
	filled := false
	raw.Read(func(fd uintptr) bool {
		filled = c.frames.FillFrom(rawReader(fd)) == nil
		return true
	})
	return filled
}
