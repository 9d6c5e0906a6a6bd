package relay

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/sourcegraph/jsonrpc2"
)

// urgency says in which lane a call of the session waits to be written.
type urgency int

const (
	first   urgency = iota // signalwire.connect: before anything else on the socket
	control                // the session's own calls
	request                // what the owner of the session calls
)

// exchange makes one call through jsonrpc2 and returns its result as it came,
// code unchecked. timeout, if positive, bounds the wait beside ctx. An error is
// an *Error, or wraps ErrNotSent or ErrInDoubt.
func (s *session) exchange(ctx context.Context, method string, params any, timeout time.Duration, u urgency) (json.RawMessage, error) {
	raw, err := json.Marshal(params)
	switch {
	case err != nil:
		return nil, &Error{Method: method, Code: codeBadParams, Local: true, Message: err.Error()}
	case len(raw) > maxOwnFrame:
		return nil, &Error{Method: method, Code: codeFrameTooLarge, Local: true, Message: "params are larger than the limit of 256 KiB"}
	}
	if timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, timeout)
		defer stop()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	id, wait, err := s.dispatch(ctx, method, raw, u, cancel)
	if err != nil {
		return nil, err
	}
	var result json.RawMessage
	err = wait.Wait(ctx, &result)
	if err == nil {
		return result, nil
	}
	var refused *jsonrpc2.Error
	if errors.As(err, &refused) {
		e := &Error{Method: method}
		if refused.Data != nil {
			e = parseError(method, *refused.Data)
		}
		return nil, s.c.clean(e)
	}
	if errors.Is(err, jsonrpc2.ErrClosed) {
		// The session is over; settle is about to say what became of us.
		<-ctx.Done()
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrNotSent) || errors.Is(cause, ErrInDoubt) {
		return nil, cause
	}
	s.abandon(id)
	if u != first && errors.Is(cause, context.DeadlineExceeded) && method != "signalwire.ping" {
		s.requestProbe()
	}
	return nil, outcome(ErrInDoubt, cause)
}

// dispatch enters the call into our table and jsonrpc2's, and queues it.
func (s *session) dispatch(ctx context.Context, method string, params json.RawMessage, u urgency, cancel context.CancelCauseFunc) (id uuid.UUID, w jsonrpc2.Waiter, err error) {
	if id, err = uuid.NewRandom(); err != nil {
		return id, w, outcome(ErrNotSent, err)
	}
	p := pending{method: method, since: s.lastFrame.Load(), cancel: cancel}

	// One dispatch at a time, so that queueCall knows whose frame it gets.
	s.dispatching.Lock()
	defer s.dispatching.Unlock()
	s.next = nextCall{id: id, p: p, urgency: u}
	w, err = s.rpc.DispatchCall(ctx, method, params, jsonrpc2.PickID(jsonrpc2.ID{Str: id.String(), IsString: true}))
	if errors.Is(err, jsonrpc2.ErrClosed) {
		err = errNoSession
	}
	return id, w, err
}

// nextCall is what dispatch tells queueCall, through jsonrpc2, which calls it.
type nextCall struct {
	id      uuid.UUID
	p       pending
	urgency urgency
}

// queueCall queues the frame of the call being dispatched.
func (s *session) queueCall(frame []byte) error {
	next := &s.next
	s.mu.Lock()
	switch next.urgency {
	case request:
		if err := s.admit(); err != nil {
			s.mu.Unlock()
			return err
		}
		s.queued++
		next.p.seq = s.queued
		s.lanes.requests.push(frame)
	default:
		if s.closed {
			s.mu.Unlock()
			return errNoSession
		}
		if next.urgency == first {
			s.opened = true
			s.lanes.control.pushFront(frame)
		} else {
			s.lanes.control.push(frame)
		}
	}
	s.pending[next.id] = next.p
	s.mu.Unlock()
	s.kick()
	return nil
}

// abandon gives a call up whose caller does not wait any more.
func (s *session) abandon(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.pending[id]; ok {
		delete(s.pending, id)
		s.abandoned = append(s.abandoned, id)
		s.hasAbandoned.Store(true)
	}
}

func (s *session) abandonedCall() (id uuid.UUID, ok bool) {
	if !s.hasAbandoned.Load() {
		return id, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.abandoned)
	if n == 0 {
		s.hasAbandoned.Store(false)
		return id, false
	}
	id = s.abandoned[n-1]
	s.abandoned = s.abandoned[:n-1]
	return id, true
}

// call is exchange with the result's code checked.
func (s *session) call(ctx context.Context, method string, params any, timeout time.Duration, u urgency) (json.RawMessage, error) {
	result, err := s.exchange(ctx, method, params, timeout, u)
	if err != nil {
		return nil, err
	}
	if e := checkResult(method, result); e != nil {
		return nil, s.c.clean(e)
	}
	return result, nil
}

// ack queues the acknowledgement of an event.
func (s *session) ack(id []byte) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrStaleAck
	}
	l := &s.lanes.acks
	l.buf = appendReply(l.buf, id, nil)
	l.close()
	full := len(l.buf) > maxLane
	s.mu.Unlock()
	s.unacked.Add(-1)
	if full {
		s.end(reasonWrite, errBatchFull)
		return ErrStaleAck
	}
	s.kick()
	return nil
}

// queueControl queues a reply that must not wait behind anything.
func (s *session) queueControl(frame []byte) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return // R35: never sent on a later connection
	}
	s.lanes.control.push(frame)
	full := len(s.lanes.control.buf) > maxLane
	s.mu.Unlock()
	if full {
		s.end(reasonWrite, errBatchFull)
		return
	}
	s.kick()
}
