package relay

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
)

func BenchmarkParseEvent(b *testing.B) {
	data := realFrames(b)["messaging-receive.json"]
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var f frame
	for b.Loop() {
		if f.parse(data) != nil {
			b.Fatal("does not parse")
		}
	}
}

// BenchmarkRouteEvent is an event from the read buffer to its queued ack.
func BenchmarkRouteEvent(b *testing.B) {
	data := realFrames(b)["messaging-receive.json"]
	s := offline(ackAll{})
	s.heard()
	b.ReportAllocs()
	for b.Loop() {
		s.route(data)
		s.lanes.acks.reset()
	}
}

// BenchmarkGo is a request from the caller to the queue, and its answer from
// the read buffer to the caller.
func BenchmarkGo(b *testing.B) {
	s := offline(ackAll{})
	s.heard()
	s.c.current.Store(s)
	params := []byte(sendBody)
	answer := []byte(`{"jsonrpc":"2.0","id":"0192f0c1-2233-7abc-8def-0123456789ad","result":{"code":"200","message":"Message accepted","message_id":"5c1d0b4e-9a57-4c2c-8f3b-9a2f8e6d7c01"}}`)
	id := uuid.MustParse("0192f0c1-2233-7abc-8def-0123456789ad")
	n := 0
	done := func(a Answer) {
		if a.Err == nil {
			n++
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s.c.Go(id, "messaging.send", params, done)
		s.route(answer)
		s.lanes.requests.reset()
	}
	if n == 0 {
		b.Fatal("no answers")
	}
}

type ackAll struct{}

func (ackAll) HandleEvent(ev *Event) { _ = ev.Ack() }
func (ackAll) HandleState(State)     {}

const sendBody = `{"from_number":"+12025550102","to_number":"+12025550101","context":"office","body":"You said: a text of some fifty characters, as people do","tags":["sp-0192f0c1-2233-7abc-8def-0123456789ad"]}`

// BenchmarkMessage is a whole message over loopback TCP: event in, ack and
// request out, answer in. The other side is a goroutine of this process that
// does as little as it can; its share is part of the figure.
func BenchmarkMessage(b *testing.B) {
	for _, window := range []int{1, 256} {
		b.Run(fmt.Sprint(window), func(b *testing.B) { benchMessages(b, window) })
	}
}

func benchMessages(b *testing.B, window int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	h := &replier{}
	c, err := New(Config{URL: "ws://" + ln.Addr().String(), Project: "p", Token: testToken, Contexts: []string{"office"}, Logger: discard})
	if err != nil {
		b.Fatal(err)
	}
	h.c = c
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Run(ctx, h) }()
	conn, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	srv := newBenchServer(b, conn)
	if err := c.Ready(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	srv.run(b.N, window)
	b.StopTimer()
	if got := h.answers.Load(); got < int64(b.N-window) {
		b.Errorf("%d answers of %d", got, b.N)
	}
	cancel()
	_ = conn.Close()
	<-ended
}

// replier answers each event with an ack and a request, on the read goroutine.
type replier struct {
	c       *Client
	seq     uint64
	answers atomic.Int64
}

func (r *replier) HandleState(State) {}

func (r *replier) HandleEvent(ev *Event) {
	_ = ev.Ack()
	r.seq++
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], r.seq)
	r.c.Go(id, "messaging.send", []byte(sendBody), func(a Answer) {
		if a.Err == nil {
			r.answers.Add(1)
		}
	})
}

type benchServer struct {
	conn  net.Conn
	r     *bufio.Reader
	event []byte
	out   []byte
}

func newBenchServer(b *testing.B, conn net.Conn) *benchServer {
	s := &benchServer{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), event: []byte(wsFrame(1, true, string(realFrames(b)["messaging-receive.json"])))}
	head, err := http.ReadRequest(s.r)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha1.Sum([]byte(head.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	for range 3 { // connect, receive, ping
		id, _ := s.request()
		s.answer(id)
		s.flush()
	}
	return s
}

// request reads up to the next frame of the client that is a request, and
// returns its id.
func (s *benchServer) request() (id [36]byte, ok bool) {
	const prefix = len(`{"jsonrpc":"2.0","id":"`)
	for {
		head, err := s.r.Peek(8)
		if err != nil {
			return id, false
		}
		n, at := int(head[1]&0x7f), 2
		if n == 126 {
			n, at = int(binary.BigEndian.Uint16(head[2:])), 4
		}
		frame, err := s.r.Peek(at + 4 + n)
		if err != nil {
			return id, false
		}
		mask, body := frame[at:at+4], frame[at+4:]
		isAck := n < 200 // ours are longer
		if n > prefix+36 {
			if body[0]^mask[0] == '{' && body[2]^mask[2] == 'i' { // jsonrpc2 writes {"id":
				for i := range id {
					id[i] = body[7+i] ^ mask[(7+i)&3]
				}
				isAck = false
			} else {
				for i := range id {
					id[i] = body[prefix+i] ^ mask[(prefix+i)&3]
				}
			}
		}
		_, _ = s.r.Discard(at + 4 + n)
		if head[0] == 0x81 && !isAck {
			return id, true
		}
	}
}

func (s *benchServer) answer(id [36]byte) {
	const rest = `","result":{"code":"200","message":"Message accepted","message_id":"5c1d0b4e-9a57-4c2c-8f3b-9a2f8e6d7c01"}}`
	const start = `{"jsonrpc":"2.0","id":"`
	s.out = append(s.out, 0x81, 126, 0, byte(len(start)+36+len(rest)))
	s.out = append(s.out, start...)
	s.out = append(s.out, id[:]...)
	s.out = append(s.out, rest...)
}

func (s *benchServer) flush() {
	_, _ = s.conn.Write(s.out)
	s.out = s.out[:0]
}

// run keeps window events outstanding until n have been answered.
func (s *benchServer) run(n, window int) {
	sent := min(n, window)
	for range sent {
		s.out = append(s.out, s.event...)
	}
	s.flush()
	for range n {
		id, ok := s.request()
		if !ok {
			return
		}
		s.answer(id)
		if sent < n {
			s.out = append(s.out, s.event...)
			sent++
		}
		if s.r.Buffered() < 16 {
			s.flush()
		}
	}
	s.flush()
}
