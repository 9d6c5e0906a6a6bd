package relaytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Fictional numbers that stand in where a test does not care.
const (
	// DefaultFrom is the person who texts when SMS.From is empty.
	DefaultFrom = "+12025550111"
	// DefaultTo is the number of ours that is texted when SMS.To is empty and
	// Config.Numbers binds none to the context.
	DefaultTo = "+12025550199"
)

// SMS is a text message from a person to one of our numbers.
type SMS struct {
	From  string   `json:"from,omitempty"` // default DefaultFrom
	To    string   `json:"to,omitempty"`   // default: the first number bound to Context, else DefaultTo
	Body  string   `json:"body"`
	Media []string `json:"media,omitempty"`
	// Context is where it arrives; default: what Config.Numbers binds To to,
	// else the first context the receiving session subscribed to.
	Context  string   `json:"context,omitempty"`
	ID       string   `json:"id,omitempty"`       // message id; default a fresh one
	Project  string   `json:"project,omitempty"`  // only sessions of this project
	Segments int      `json:"segments,omitempty"` // default: computed
	Tags     []string `json:"tags,omitempty"`
	// Fields overrides inner fields of the event by name; a nil value is JSON
	// null. It is how to send what the protocol does not promise.
	Fields map[string]any `json:"fields,omitempty"`
}

// Target says who gets an injected message.
type Target struct {
	roundRobin, all bool
	session         *Session
}

// Targets of Inject. The zero Target follows Config.RoundRobin.
var (
	// All is every session subscribed to the context.
	All = Target{all: true}
	// RoundRobin is one of them in turn.
	RoundRobin = Target{roundRobin: true}
)

// Only is one session, subscribed or not.
func Only(sess *Session) Target { return Target{session: sess} }

// Inbound is an injected message.
type Inbound struct {
	MessageID string
	Context   string
	// Deliveries are the events sent for it at once, one per session. There are
	// none while nobody is subscribed.
	Deliveries []*Delivery
}

// Done reports whether any session has acknowledged it.
func (in *Inbound) Done() bool {
	return slices.ContainsFunc(in.Deliveries, (*Delivery).Done)
}

// Wait waits until one session has acknowledged it.
func (in *Inbound) Wait(ctx context.Context) error {
	if len(in.Deliveries) == 0 {
		return fmt.Errorf("wait for the ack of an inbound: nobody was subscribed to context %q", in.Context)
	}
	s := in.Deliveries[0].srv
	for {
		changed := s.changed.wait()
		lost := 0
		for _, d := range in.Deliveries {
			if d.Done() {
				return nil
			}
			if d.Lost() {
				lost++
			}
		}
		if lost == len(in.Deliveries) {
			return errors.New("wait for the ack of an inbound: every connection it went to ended first")
		}
		if err := s.waitOn(ctx, changed); err != nil {
			return fmt.Errorf("wait for the ack of an inbound: %w", err)
		}
	}
}

// Deliver sends the session an inbound message and returns without waiting. On
// a session without a connection the delivery is lost at once, unless
// redelivery on resume is on.
func (sess *Session) Deliver(m SMS) *Delivery {
	s := sess.srv
	s.mu.Lock()
	if m.Context == "" {
		m.Context = s.contextOf(m, sess)
	}
	ev := s.inbound(&m)
	d := s.send(sess, ev)
	if sess.conn == nil && !s.faults.Redelivery.OnResume {
		s.lose(d)
	}
	s.mu.Unlock()
	s.changed.wake()
	return d
}

// Inject gives an inbound message to the sessions that the target names. It
// fails when the message names no context and none can be found for it.
func (s *Server) Inject(m SMS, to Target) (*Inbound, error) {
	s.mu.Lock()
	defer s.changed.wake()
	defer s.mu.Unlock()
	if m.Context == "" {
		m.Context = s.contextOf(m, to.session)
	}
	if m.Context == "" {
		return nil, fmt.Errorf("inject an inbound: no context; set SMS.Context, or bind the number in Config.Numbers")
	}
	ev := s.inbound(&m)
	in := &Inbound{MessageID: ev.messageID, Context: m.Context}
	if to.session != nil {
		d := s.send(to.session, ev)
		if to.session.conn == nil && !s.faults.Redelivery.OnResume {
			s.lose(d)
		}
		in.Deliveries = []*Delivery{d}
		return in, nil
	}
	in.Deliveries = s.publish(ev, to.roundRobin || s.cfg.RoundRobin && !to.all)
	return in, nil
}

// contextOf finds the context of a message by its number, else the session's first.
func (s *Server) contextOf(m SMS, sess *Session) string {
	if name, ok := s.cfg.Numbers[m.To]; ok {
		return name
	}
	if sess != nil && len(sess.order) > 0 {
		return sess.order[0]
	}
	return ""
}

// numberOf finds a number of ours for a context.
func (s *Server) numberOf(name string) string {
	best := ""
	for number, bound := range s.cfg.Numbers {
		if bound == name && (best == "" || number < best) {
			best = number
		}
	}
	if best == "" {
		return DefaultTo
	}
	return best
}

// inbound completes m, logs it, and makes its event.
func (s *Server) inbound(m *SMS) *event {
	if m.From == "" {
		m.From = DefaultFrom
	}
	if m.To == "" {
		m.To = s.numberOf(m.Context)
	}
	if m.ID == "" {
		m.ID = s.newID()
	}
	if m.Segments == 0 {
		m.Segments = segments(m.Body)
	}
	msg := message{
		id: m.ID, context: m.Context, direction: "inbound", from: m.From, to: m.To, body: m.Body,
		media: m.Media, segments: m.Segments, state: "received", tags: m.Tags,
	}
	s.logInbound(*m)
	s.stats.Inbound++
	return &event{
		kind: "messaging.receive", project: m.Project, context: m.Context, messageID: m.ID,
		inner: overridden(msg.encode(), m.Fields),
	}
}

// message is the inner object of messaging events.
type message struct {
	id, context, direction, from, to, body string
	media                                  []string
	segments                               int
	state                                  string
	tags                                   []string
	reason                                 string
}

func (m message) encode() json.RawMessage {
	b := make([]byte, 0, 320+len(m.body))
	b = appendStringMember(append(b, '{'), "message_id", m.id)
	b = appendStringMember(b, "message_state", m.state)
	if m.reason != "" {
		b = appendStringMember(b, "reason", m.reason)
	}
	b = appendStringMember(b, "context", m.context)
	b = appendStringMember(b, "direction", m.direction)
	b = appendStringMember(b, "from_number", m.from)
	b = appendStringMember(b, "to_number", m.to)
	b = appendStringMember(b, "body", m.body)
	b = appendStrings(appendMember(b, "media"), m.media)
	b = strconv.AppendInt(appendMember(b, "segments"), int64(m.segments), 10)
	b = appendStrings(appendMember(b, "tags"), m.tags)
	return append(b, '}')
}

// overridden replaces or adds members.
func overridden(object json.RawMessage, fields map[string]any) json.RawMessage {
	if len(fields) == 0 {
		return object
	}
	ms, err := members(object)
	if err != nil {
		return object
	}
	left := make(map[string]any, len(fields))
	for name, v := range fields {
		left[name] = v
	}
	b := []byte{'{'}
	for _, m := range ms {
		if v, ok := left[m.name]; ok {
			delete(left, m.name)
			b = appendAny(appendMember(b, m.name), v)
			continue
		}
		b = append(appendMember(b, m.name), m.value...)
	}
	names := make([]string, 0, len(left))
	for name := range left {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = appendAny(appendMember(b, name), left[name])
	}
	return append(b, '}')
}
