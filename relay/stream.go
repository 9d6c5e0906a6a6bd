package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/coder/websocket"
	"github.com/sourcegraph/jsonrpc2"
)

// stream is the session as jsonrpc2 sees it, its ObjectStream. It reads every
// frame and keeps what is not jsonrpc2's: events, pings, disconnects, answers
// to requests of Go, and everything malformed or unexpected. What jsonrpc2
// gets is answers to its own calls, in a form that it cannot fail to decode.
type stream struct {
	s   *session
	buf []byte        // the frame being read; reused
	out chan struct{} // closed when jsonrpc2's reader will not call again
}

// ReadObject returns the next answer that is jsonrpc2's.
func (st *stream) ReadObject(v any) error {
	s := st.s
	for {
		if id, ok := s.abandonedCall(); ok {
			// Its caller is gone; an answer, even one of ours, clears it from
			// jsonrpc2's table.
			return st.hand(v, appendLocalError(st.buf[:0], id))
		}
		data, err := st.next()
		if err != nil {
			s.end(readReason(err), readCause(err))
			close(st.out)
			return io.EOF // jsonrpc2 stays quiet about it; the cause is ours to report
		}
		if data == nil {
			continue
		}
		if answer := s.route(data); answer != nil {
			if err := st.hand(v, answer); err == nil {
				return nil
			}
			s.malformed("answer")
		}
	}
}

// hand decodes an answer into jsonrpc2's message.
func (st *stream) hand(v any, answer []byte) error {
	err := json.Unmarshal(answer, v)
	if err != nil {
		// A message filled by half would send the next answer to the request
		// handler while its caller waits.
		reflect.ValueOf(v).Elem().SetZero()
	}
	return err
}

// next reads one text frame into the reused buffer; nil for one that was
// skipped.
func (st *stream) next() ([]byte, error) {
	typ, r, err := st.s.ws.Reader(context.Background()) // CloseNow ends it
	if err != nil {
		return nil, err
	}
	if cap(st.buf) > keepBuffer {
		st.buf = make([]byte, 0, firstBuffer) // one large frame should not stay for months
	}
	buf := st.buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	st.buf = buf
	st.s.heard()
	if typ != websocket.MessageText {
		st.s.malformed("binary")
		return nil, nil
	}
	return buf, nil
}

const (
	firstBuffer = 8 << 10
	keepBuffer  = 256 << 10
)

// WriteObject queues a call of jsonrpc2. It never waits for the network.
func (st *stream) WriteObject(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return st.s.queueCall(data)
}

// Close is called by jsonrpc2 when it is closed.
func (st *stream) Close() error {
	st.s.hangUp()
	return nil
}

// Handle would answer requests of the platform, but none gets this far: the
// session answers them itself, since it can echo any id byte for byte.
func (st *stream) Handle(context.Context, *jsonrpc2.Conn, *jsonrpc2.Request) {}

// route acts on one frame. It returns the answer to hand to jsonrpc2, if it is
// one.
func (s *session) route(data []byte) (answer []byte) {
	var f frame
	if err := f.parse(data); err != nil {
		s.malformed(err.Error())
		return nil
	}
	hasResult, hasError := f.result.present(), !f.err.null(data)
	if f.method.present() && !f.method.null(data) {
		method, ok := plainString(f.method.in(data))
		if !ok || hasError || !f.result.null(data) {
			s.malformed("request")
			return nil
		}
		s.request(string(method), data, &f)
		return nil
	}
	if !hasResult && !hasError {
		s.malformed("neither request nor answer")
		return nil
	}
	return s.answer(data, &f)
}

// answer gives an answer to whoever waits for it.
func (s *session) answer(data []byte, f *frame) []byte {
	s.lastAnswer.Store(s.lastFrame.Load())
	var p pending
	id, ours := parseUUID(f.id.in(data))
	if ours {
		p, ours = s.claim(id)
	}
	if !ours {
		s.c.stats.unmatched.Add(1)
		s.log.Debug("answer without a request skipped", "len", len(data))
		return nil
	}
	if p.done != nil {
		s.deliver(&p, data, f)
		return nil
	}
	return normalAnswer(id[:], data, f)
}

// request answers one request of the platform.
func (s *session) request(method string, data []byte, f *frame) {
	switch method {
	case "signalwire.event":
		s.event(data, f)
	case "signalwire.ping":
		if !f.id.null(data) {
			s.reply(f.id.in(data), pong(f.params.in(data)))
		}
	case "signalwire.disconnect":
		if !f.id.null(data) {
			s.reply(f.id.in(data), nil)
		}
		s.disconnect(f.params.in(data))
	default:
		s.c.stats.unknown.Add(1)
		if f.id.null(data) {
			return
		}
		b := append([]byte(`{"jsonrpc":"2.0","id":`), f.id.in(data)...)
		b = append(b, `,"error":{"code":-32601,"message":"Method not found"}}`...)
		s.queueControl(b)
	}
}

// pong returns the result that answers a ping: its timestamp and payload, as
// they came.
func pong(params []byte) []byte {
	var p struct {
		Timestamp json.RawMessage `json:"timestamp,omitempty"`
		Payload   json.RawMessage `json:"payload,omitempty"`
	}
	if json.Unmarshal(params, &p) != nil {
		return nil
	}
	b := []byte{'{'}
	if present(p.Timestamp) {
		b = append(append(b, `"timestamp":`...), p.Timestamp...)
	}
	if present(p.Payload) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(b, `"payload":`...), p.Payload...)
	}
	return append(b, '}')
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] != 'n' }

// event hands one event to the handler, or keeps it if it is the session's own.
func (s *session) event(data []byte, f *frame) {
	own := make([]byte, len(data))
	copy(own, data)
	ev := &Event{Frame: own, Received: s.now, session: s}
	if !f.id.null(own) {
		ev.id = f.id.in(own)
		s.unacked.Add(1)
	}
	if f.params.present() {
		ev.Params = f.params.in(own)
	}
	if f.eventType.present() {
		if name, ok := plainString(f.eventType.in(own)); ok {
			ev.Type = s.intern(name)
		}
	}
	if ev.Type == "signalwire.authorization.state" {
		s.keepAuthState(f.inner.in(own))
		_ = ev.Ack() // the session is here, or nobody minds
		return
	}
	s.c.stats.lastEvent.Store(s.now.UnixNano())
	if s.c.deaf.Load() {
		s.c.stats.dropped.Add(1)
		return
	}
	s.c.handler.HandleEvent(ev)
}

// maxNames bounds the event types kept by intern.
const maxNames = 64

// intern returns name as a string, the same one for each type seen before.
func (s *session) intern(name []byte) string {
	if known, ok := s.names[string(name)]; ok {
		return known
	}
	fresh := string(name)
	if len(s.names) < maxNames && len(fresh) <= 128 {
		s.names[fresh] = fresh
	}
	return fresh
}

// heard notes that the peer lives.
func (s *session) heard() {
	s.now = time.Now()
	s.lastFrame.Store(int64(s.now.Sub(s.born)))
}

// malformed counts a frame that was skipped. Nothing of its content is logged.
func (s *session) malformed(what string) {
	n := s.c.stats.malformed.Add(1)
	if n&(n-1) == 0 { // the first, second, fourth, eighth, ...: enough to be seen, too few to flood
		s.log.Warn("malformed frame skipped", "what", what, "total", n)
	}
}

// reply answers a request of the platform; nil means an empty object.
func (s *session) reply(id, result []byte) {
	b := make([]byte, 0, 64+len(id)+len(result))
	s.queueControl(appendReply(b, id, result))
}

func appendReply(b, id, result []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"result":`...)
	if result == nil {
		b = append(b, '{')
		b = append(b, '}')
	} else {
		b = append(b, result...)
	}
	return append(b, '}')
}

// normalAnswer rewrites an answer so that jsonrpc2 decodes it whatever the
// platform made of it: an error whose code is a string, both members at once,
// other members. An error travels whole in data.
func normalAnswer(id []byte, data []byte, f *frame) []byte {
	b := make([]byte, 0, len(data)+128)
	b = append(b, `{"id":"`...)
	b = appendUUID(b, [16]byte(id))
	if !f.err.null(data) {
		b = append(b, `","error":{"code":0,"message":"","data":`...)
		b = append(b, f.err.in(data)...)
		return append(b, "}}"...)
	}
	b = append(b, `","result":`...)
	b = append(b, f.result.in(data)...)
	return append(b, '}')
}

func appendLocalError(b []byte, id [16]byte) []byte {
	b = append(b, `{"id":"`...)
	b = appendUUID(b, id)
	return append(b, `","error":{"code":0,"message":"abandoned"}}`...)
}

// rpcLogger sends what jsonrpc2 has to say nowhere but to a counter: it prints
// ids and errors of the wire.
type rpcLogger struct{ s *session }

func (l rpcLogger) Printf(format string, _ ...any) {
	l.s.log.Debug("jsonrpc2 remark", "format", fmt.Sprintf("%.80q", format))
}
