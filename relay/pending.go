package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// maxPending bounds the requests of one session whose answers have not
	// come. The messaging layer keeps 256 in flight; this is for a platform
	// that stops answering.
	maxPending = 16384

	// maxOwnFrame is the largest frame sent. The platform's limit is unknown;
	// no text message comes near this one.
	maxOwnFrame = 256 << 10

	// answerPatience is how long a request of Go stays in the table without an
	// answer. It is far beyond any caller's own patience; without it a platform
	// that forgets answers would fill the table over months.
	answerPatience = 15 * time.Minute
)

// pending is a request without its answer.
type pending struct {
	method string
	seq    uint64 // its place among the requests of the session; 0 in the control lane
	since  int64  // session clock

	done   func(Answer)            // of Go
	cancel context.CancelCauseFunc // of an exchange that jsonrpc2 waits for
}

// fail ends a request that will not get an answer.
func (p *pending) fail(err error) {
	if p.done != nil {
		p.done(Answer{Err: err})
		return
	}
	p.cancel(err)
}

// submit queues a request of Go. An error means that done will not be called
// and nothing was or will be written.
func (s *session) submit(id uuid.UUID, method string, params []byte, done func(Answer)) error {
	if len(params) > maxOwnFrame {
		return &Error{
			Method: method, Code: codeFrameTooLarge, Local: true,
			Message: fmt.Sprintf("params of %d bytes; the limit is %d", len(params), maxOwnFrame),
		}
	}
	s.mu.Lock()
	if err := s.admit(); err != nil {
		s.mu.Unlock()
		return err
	}
	if _, taken := s.pending[id]; taken {
		s.mu.Unlock()
		return &Error{Method: method, Code: codeDuplicateID, Local: true, Message: "a request with this id is waiting for its answer"}
	}
	s.queued++
	s.pending[id] = pending{method: method, seq: s.queued, since: s.lastFrame.Load(), done: done}
	l := &s.lanes.requests
	l.buf = appendRequest(l.buf, id, method, params)
	l.close()
	s.mu.Unlock()
	s.kick()
	return nil
}

// admit reports whether a request may be queued now. Called with s.mu.
func (s *session) admit() error {
	switch {
	case s.closed || s.draining || !s.accepting:
		return errNoSession
	case len(s.pending) >= maxPending || len(s.lanes.requests.buf) > maxLane:
		return errCrowded
	}
	return nil
}

var (
	errNoSession = fmt.Errorf("%w: there is no subscribed session", ErrNotSent)
	errCrowded   = fmt.Errorf("%w: too many requests wait for their answers", ErrNotSent)
	errDraining  = fmt.Errorf("%w: the platform asked us to disconnect", ErrNotSent)
	errForgotten = fmt.Errorf("%w: no answer in %s", ErrInDoubt, answerPatience)
)

func appendRequest(b []byte, id uuid.UUID, method string, params []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":"`...)
	b = appendUUID(b, id)
	b = append(b, `","method":`...)
	b = appendMethod(b, method)
	if len(params) > 0 {
		b = append(b, `,"params":`...)
		b = append(b, params...)
	}
	return append(b, '}')
}

func appendUUID(b []byte, id uuid.UUID) []byte {
	var text [36]byte
	const hex = "0123456789abcdef"
	at := 0
	for i, v := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		text[at], text[at+1] = hex[v>>4], hex[v&15]
		at += 2
	}
	return append(b, text[:]...)
}

func appendMethod(b []byte, method string) []byte {
	if strings.ContainsFunc(method, func(r rune) bool {
		return r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) {
		quoted, err := json.Marshal(method)
		if err == nil {
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, method...)
	return append(b, '"')
}

// parseUUID reads the raw JSON of an id of ours. Anything else is not one.
func parseUUID(raw []byte) (id uuid.UUID, ok bool) {
	if len(raw) != 38 || raw[0] != '"' {
		return id, false
	}
	text := raw[1:37]
	at := 0
	for i := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			if text[at] != '-' {
				return id, false
			}
			at++
		}
		hi, lo := unhex[text[at]], unhex[text[at+1]]
		if hi|lo > 15 {
			return id, false
		}
		id[i] = hi<<4 | lo
		at += 2
	}
	return id, true
}

// unhex maps a hexadecimal digit to its value, any other byte to 255.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i] = byte(10 + i)
		t['A'+i] = byte(10 + i)
	}
	return t
}()

// claim takes the request with this id out of the table.
func (s *session) claim(id uuid.UUID) (pending, bool) {
	s.mu.Lock()
	p, ok := s.pending[id]
	if ok {
		delete(s.pending, id)
	}
	s.mu.Unlock()
	return p, ok
}

// deliver calls done with the answer in data, on the read goroutine.
func (s *session) deliver(p *pending, data []byte, f *frame) {
	a := Answer{}
	if !f.err.null(data) {
		e := s.c.clean(parseError(p.method, f.err.in(data)))
		a.Code, a.Message, a.Err = e.Code, e.Message, e
		p.done(a)
		return
	}
	a.Result = json.RawMessage(f.result.in(data))
	if f.code.present() {
		a.Code = codeText(f.code.in(data))
	}
	if f.message.present() {
		if text, ok := plainString(f.message.in(data)); ok {
			if string(text) != s.lastMessage { // nearly always the same words
				s.lastMessage = string(text)
			}
			a.Message = s.lastMessage
		}
	}
	if !success(a.Code) {
		e := s.c.clean(&Error{Method: p.method, Code: a.Code, Message: a.Message})
		a.Message, a.Err = e.Message, e
	}
	p.done(a)
}

// drain stops new requests, and calls back those of which no byte can have
// left.
func (s *session) callBack() {
	var back []pending
	s.mu.Lock()
	s.draining = true
	s.lanes.requests.reset()
	for id, p := range s.pending {
		if p.seq > s.encoded {
			back = append(back, p)
			delete(s.pending, id)
		}
	}
	s.mu.Unlock()
	for i := range back {
		back[i].fail(errDraining)
	}
}

// forget ends requests that have waited beyond answerPatience.
func (s *session) forget(now int64) {
	var old []pending
	s.mu.Lock()
	for id, p := range s.pending {
		if p.done != nil && now-p.since > int64(answerPatience) {
			old = append(old, p)
			delete(s.pending, id)
		}
	}
	s.mu.Unlock()
	for i := range old {
		old[i].fail(errForgotten)
	}
}

// settle ends every request of a session that is over, when its writer is gone
// and the line between not sent and in doubt is final.
func (s *session) settle() {
	s.mu.Lock()
	left := s.pending
	s.pending = nil
	taken := s.taken
	s.mu.Unlock()
	notSent, inDoubt := outcome(ErrNotSent, s.cause), outcome(ErrInDoubt, s.cause)
	for _, p := range left {
		if p.seq > taken {
			p.fail(notSent)
		} else {
			p.fail(inDoubt)
		}
	}
}
