package relaytest

import (
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// event is something to tell subscribers, before it has an envelope.
type event struct {
	kind      string // event_type
	project   string // only this project's sessions; "" is any
	context   string
	channel   string          // event_channel, if not the session's protocol
	inner     json.RawMessage // params; nil leaves them out
	extra     []byte          // further envelope members, `"name":value`
	messageID string
	authState string // what it gives the session once acknowledged
	optional  bool   // unanswered is fine
}

// Delivery is one event on its way to one session. Its methods are safe for
// concurrent use.
type Delivery struct {
	// MessageID is the message the event is about, EventType its type.
	MessageID, EventType string

	srv     *Server
	ev      *event
	written atomic.Int64 // when first put on the wire, Unix nanoseconds of the space's clock; 0: not yet
	done    chan struct{}

	// Guarded by srv.mu.
	sess      *Session
	id        json.RawMessage
	conn      int // that it was last sent on
	attempts  int
	ackedAt   time.Time
	lost      bool
	unackedAt *list.Element
}

// Acked is closed when the client has acknowledged the event.
func (d *Delivery) Acked() <-chan struct{} { return d.done }

// Done reports whether the client has acknowledged the event.
func (d *Delivery) Done() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// Wait waits for the acknowledgement. It fails at once when the event is lost:
// its connection ended and redelivery is off.
func (d *Delivery) Wait(ctx context.Context) error {
	for {
		changed := d.srv.changed.wait()
		switch {
		case d.Done():
			return nil
		case d.Lost():
			return fmt.Errorf("wait for the ack of %s: its connection ended first", d.EventType)
		}
		if err := d.srv.waitOn(ctx, changed); err != nil {
			return fmt.Errorf("wait for the ack of %s: %w", d.EventType, err)
		}
	}
}

// Lost reports whether the event will not be sent again, unacknowledged.
func (d *Delivery) Lost() bool {
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	return d.lost
}

// Attempts is how often the event was sent.
func (d *Delivery) Attempts() int {
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	return d.attempts
}

// EventID is the envelope id of the last attempt, byte for byte; empty if it
// carried none.
func (d *Delivery) EventID() json.RawMessage {
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	return slices.Clone(d.id)
}

// Latency is the time from the first byte on the wire to the acknowledgement by
// the space's clock, 0 before it.
func (d *Delivery) Latency() time.Duration {
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	return d.latency()
}

func (d *Delivery) latency() time.Duration {
	if d.ackedAt.IsZero() || d.written.Load() == 0 {
		return 0
	}
	return d.ackedAt.Sub(time.Unix(0, d.written.Load()))
}

// eventState is the part of Server.state about events.
type eventState struct {
	integers     int64               // for integer ids
	issued       *recent[issuedID]   // event ids
	waiting      map[string][]*event // by context, for want of a subscriber
	waitingCount int
	latencies    ring[time.Duration]
}

type issuedID struct {
	conn  int
	acked bool
}

func (s *Server) initEvents() {
	s.issued = newRecent[issuedID](maxRecent)
	s.waiting = make(map[string][]*event)
	s.latencies.limit = 10_000
}

// subscribers are the sessions an event of the context goes to.
func (s *Server) subscribers(ev *event) []*Session {
	var out []*Session
	for _, sess := range s.live[ev.context] {
		if s.mayReceive(sess, ev) {
			out = append(out, sess)
		}
	}
	if sess := s.sessions[ev.context]; sess != nil && !sess.contexts[ev.context] &&
		(sess.conn != nil || s.faults.Redelivery.OnResume) && s.mayReceive(sess, ev) {
		out = append(out, sess) // a session's own protocol, used as the context of a send
	}
	if s.faults.Redelivery.OnResume {
		// The absent are remembered too, as a platform that replays would.
		for e := s.away.Front(); e != nil; e = e.Next() {
			if sess := e.Value.(*Session); sess.contexts[ev.context] && s.mayReceive(sess, ev) {
				out = append(out, sess)
			}
		}
	}
	return out
}

func (s *Server) mayReceive(sess *Session, ev *event) bool {
	if c := sess.conn; c != nil && c.draining && !c.drain.KeepEvents {
		return false
	}
	return ev.project == "" || ev.project == sess.project
}

// publish sends an event to all subscribers, or to one in turn.
func (s *Server) publish(ev *event, roundRobin bool) []*Delivery {
	targets := s.subscribers(ev)
	if len(targets) == 0 {
		s.park(ev)
		return nil
	}
	if roundRobin {
		n := s.turn[ev.context]
		s.turn[ev.context] = n + 1
		targets = targets[n%len(targets) : n%len(targets)+1]
	}
	out := make([]*Delivery, 0, len(targets))
	for _, sess := range targets {
		out = append(out, s.send(sess, ev))
	}
	return out
}

// park keeps an event without a subscriber, if the faults say so.
func (s *Server) park(ev *event) {
	if !s.faults.QueueUnsubscribed || s.waitingCount >= maxUnacked {
		s.stats.Discarded++
		return
	}
	s.waiting[ev.context] = append(s.waiting[ev.context], ev)
	s.waitingCount++
}

func (s *Server) flushWaiting(sess *Session, name string) {
	list := s.waiting[name]
	if len(list) == 0 || sess.conn == nil {
		return
	}
	delete(s.waiting, name)
	s.waitingCount -= len(list)
	for _, ev := range list {
		if s.mayReceive(sess, ev) {
			s.send(sess, ev)
		} else {
			s.waiting[name] = append(s.waiting[name], ev)
			s.waitingCount++
		}
	}
}

// send makes a delivery and puts it on the wire, if the session has one.
func (s *Server) send(sess *Session, ev *event) *Delivery {
	d := &Delivery{
		srv: s, sess: sess, ev: ev, EventType: ev.kind, MessageID: ev.messageID, done: make(chan struct{}),
	}
	if c := sess.conn; c != nil && !c.eventAcks && c.authed {
		// The client did not ask for acks: nothing to wait for.
		s.transmit(d)
		return d
	}
	if !ev.optional && s.faults.EventID != EventIDNone {
		d.unackedAt = sess.unacked.PushBack(d)
		if sess.unacked.Len() > maxUnacked {
			s.lose(sess.unacked.Front().Value.(*Delivery))
		}
	}
	s.transmit(d)
	return d
}

// transmit sends a delivery, or sends it again.
func (s *Server) transmit(d *Delivery) {
	c := d.sess.conn
	if c == nil || c.closed {
		return
	}
	again := d.attempts > 0
	d.attempts++
	d.conn = c.num
	if !again || !s.faults.Redelivery.SameID {
		d.id = s.eventID() // an answer to the earlier id still counts
	}
	tracked := c.eventAcks || !c.authed
	if d.id != nil && !tracked {
		s.issued.put(string(d.id), issuedID{conn: c.num}) // answered or not, as the client likes
	}
	if d.id != nil && tracked {
		kind := "event"
		if d.ev.optional {
			kind = "maybe"
		}
		c.pending[string(d.id)] = &request{kind: kind, delivery: d, sent: s.clock.Now()}
		s.issued.put(string(d.id), issuedID{conn: c.num})
	}
	c.info.EventsSent++
	if again {
		s.stats.Redelivered++
	}
	c.push(outItem{
		op: opText, payload: s.envelope(c, d), id: d.id, method: "signalwire.event", eventType: d.ev.kind, delivery: d,
	})
	if t := s.faults.Redelivery.AckTimeout; t > 0 && d.unackedAt != nil {
		s.clock.afterFunc(t, func() {
			s.mu.Lock()
			if d.unackedAt != nil && d.sess.conn == c && !c.closed {
				s.transmit(d)
			}
			s.mu.Unlock()
			s.changed.wake()
		})
	}
}

func (s *Server) eventID() json.RawMessage {
	switch s.faults.EventID {
	case EventIDNone:
		return nil
	case EventIDInteger:
		s.integers++
		return strconv.AppendInt(nil, s.integers, 10)
	}
	return jsonString(s.newID())
}

func (s *Server) envelope(c *conn, d *Delivery) []byte {
	ev := d.ev
	b := make([]byte, 0, 384+len(ev.inner))
	b = append(b, `{"jsonrpc":"2.0"`...)
	if d.id != nil {
		b = append(append(b, `,"id":`...), d.id...)
	}
	b = append(b, `,"method":"signalwire.event","params":{`...)
	b = appendStringMember(b, "event_type", ev.kind)
	if ev.kind != "signalwire.authorization.state" {
		channel := ev.channel
		if channel == "" {
			channel = d.sess.name
		}
		b = appendStringMember(b, "event_channel", channel)
	}
	b = appendTime(appendMember(b, "timestamp"), s.clock.Now())
	b = appendStringMember(b, "space_id", s.spaceID)
	b = appendStringMember(b, "project_id", d.sess.project)
	if ev.context != "" {
		b = appendStringMember(b, "context", ev.context)
	}
	if ev.extra != nil {
		b = append(append(b, ','), ev.extra...)
	}
	if ev.inner != nil {
		b = append(appendMember(b, "params"), ev.inner...)
	}
	return append(b, "}}"...)
}

// deliverEarly sends an inbound to a connection whose connect is unanswered.
func (s *Server) deliverEarly(c *conn, sess *Session, m SMS) {
	if sess.unacked == nil {
		sess.unacked = list.New()
	}
	sess.conn = c
	if m.Context == "" {
		m.Context = s.contextOf(m, sess)
	}
	s.send(sess, s.inbound(&m))
}

// acked settles a delivery that the client has answered on connection c.
func (s *Server) acked(c *conn, d *Delivery, id json.RawMessage) {
	s.issued.put(string(id), issuedID{conn: c.num, acked: true})
	c.info.Acks++
	if d.Done() {
		return // an earlier attempt was answered already
	}
	d.ackedAt = s.clock.Now()
	if d.unackedAt != nil {
		d.sess.unacked.Remove(d.unackedAt)
		d.unackedAt = nil
	}
	if d.ev.authState != "" && d.ev.authState == d.sess.authState {
		d.sess.ackedAuthState = d.ev.authState
	}
	s.latencies.add(d.latency())
	close(d.done)
}

// lose gives a delivery up.
func (s *Server) lose(d *Delivery) {
	if d.unackedAt != nil {
		d.sess.unacked.Remove(d.unackedAt)
		d.unackedAt = nil
	}
	if c := d.sess.conn; c != nil {
		delete(c.pending, string(d.id))
	}
	d.lost = true
	s.stats.Lost++
}

// settleUnacked decides about the events a session has not acknowledged when
// its connection ends.
func (s *Server) settleUnacked(sess *Session) {
	if s.faults.Redelivery.OnResume {
		return // resent takes them up
	}
	for e := sess.unacked.Front(); e != nil; {
		d := e.Value.(*Delivery)
		e = e.Next()
		s.lose(d)
		if s.faults.Redelivery.OnReconnect && d.ev.context != "" && s.waitingCount < maxUnacked {
			s.waiting[d.ev.context] = append(s.waiting[d.ev.context], d.ev)
			s.waitingCount++
			s.stats.Redelivered++
		}
	}
}

// resent sends a resumed session what it has not acknowledged.
func (s *Server) resent(sess *Session) {
	if !s.faults.Redelivery.OnResume {
		return
	}
	for e := sess.unacked.Front(); e != nil; e = e.Next() {
		if d := e.Value.(*Delivery); d.conn != sess.conn.num {
			s.transmit(d)
		}
	}
}

// Unacked returns the deliveries that the session has not acknowledged, oldest
// first.
func (sess *Session) Unacked() []*Delivery {
	sess.srv.mu.Lock()
	defer sess.srv.mu.Unlock()
	out := make([]*Delivery, 0, sess.unacked.Len())
	for e := sess.unacked.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(*Delivery))
	}
	return out
}

// AckLatencies returns the times between sending and acknowledgement of the
// last 10,000 acknowledged events.
func (s *Server) AckLatencies() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latencies.since(0)
}

// strayAnswer judges an answer that matches nothing open on its connection.
func (s *Server) strayAnswer(c *conn, in incoming, payload []byte) {
	id, known := s.issued.get(string(in.id))
	switch {
	case known && id.conn != c.num:
		s.stats.AcksWrongConn++
		s.violate(c, "ack", fmt.Sprintf("the ack of %s on conn %d, where the event was sent, or nowhere", in.id, id.conn),
			fmt.Sprintf("on conn %d", c.num), payload)
	case known && id.acked:
		s.stats.AcksDuplicate++
		s.violate(c, "ack", fmt.Sprintf("one answer to %s", in.id), "another", payload)
	case known:
		// A delivery that was given up, or replaced by one with a new id.
	default:
		s.stats.AcksUnknown++
		s.violate(c, "ack", "answers to requests of the server", fmt.Sprintf("an answer to %s, which it never sent", in.id), payload)
	}
}
