package relaytest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Send is one messaging.send request that the server took.
type Send struct {
	Seq       uint64                     `json:"seq"` // 1, 2, 3, ...
	Time      time.Time                  `json:"time"`
	Conn      int                        `json:"conn"`
	Session   string                     `json:"session"`
	Project   string                     `json:"project"`
	RequestID json.RawMessage            `json:"request_id"` // byte for byte
	MessageID string                     `json:"message_id"` // given also if the client never saw it; empty unless executed
	From      string                     `json:"from"`
	To        string                     `json:"to"`
	Context   string                     `json:"context"`
	Body      string                     `json:"body"`
	Media     []string                   `json:"media,omitempty"`
	Tags      []string                   `json:"tags,omitempty"`
	Region    string                     `json:"region,omitempty"`
	Extra     map[string]json.RawMessage `json:"extra,omitempty"` // unknown params
	Segments  int                        `json:"segments"`
	// Executed tells whether the message went out, whatever the client was told.
	Executed bool `json:"executed"`
	// Code is the answer's result code or JSON-RPC error code; empty if there
	// was no answer.
	Code   string   `json:"code"`
	States []string `json:"states,omitempty"` // reported so far
}

// Request returns the request id as text, without the quotes of a string id.
func (s Send) Request() string {
	if text, ok := stringOf(s.RequestID); ok {
		return text
	}
	return string(s.RequestID)
}

// sendRecord is a Send under way. It is guarded by Server.mu.
type sendRecord struct {
	Send
	expected bool // returned by ExpectSend
	arrived  bool // at the handset
	log      *logEntry
}

// sendState is the part of Server.state about sends.
type sendState struct {
	sends    ring[*sendRecord]
	byNumber map[string][]Outcome
	fallback Outcome
	texts    ring[Text]
}

func (s *Server) initSends() {
	s.sends.limit = s.cfg.Transcript
	s.texts.limit = s.cfg.Transcript
	s.byNumber = make(map[string][]Outcome)
}

// Sends returns the sends taken so far, oldest first, up to Config.Transcript.
func (s *Server) Sends() []Send {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Send, 0, len(s.sends.items))
	for _, r := range s.sends.since(0) {
		out = append(out, r.copy())
	}
	return out
}

func (r *sendRecord) copy() Send {
	c := r.Send
	c.States = slices.Clone(c.States)
	return c
}

// ExpectSend waits for a send for which match is true, nil matching any, and
// takes it: the next ExpectSend looks at later or other sends. Sends are looked
// at in the order they arrived, executed or not.
func (s *Server) ExpectSend(ctx context.Context, match func(Send) bool) (Send, error) {
	var next uint64
	for {
		changed := s.changed.wait()
		for {
			s.mu.Lock()
			r, candidate := s.nextSend(&next)
			s.mu.Unlock()
			if r == nil {
				break
			}
			if match != nil && !match(candidate) {
				continue
			}
			s.mu.Lock()
			taken := r.expected
			r.expected = true
			s.mu.Unlock()
			if !taken {
				return candidate, nil
			}
		}
		if err := s.waitOn(ctx, changed); err != nil {
			return Send{}, fmt.Errorf("wait for a send: %w", err)
		}
	}
}

// nextSend returns the next send at or after *next that nobody has taken, and
// moves *next past it.
func (s *Server) nextSend(next *uint64) (*sendRecord, Send) {
	for *next = max(*next, s.sends.first()); *next < s.sends.next; {
		r := *s.sends.at(*next)
		*next++
		if !r.expected {
			return r, r.copy()
		}
	}
	return nil, Send{}
}

// ToNumber matches sends to a number, for ExpectSend.
func ToNumber(number string) func(Send) bool {
	return func(s Send) bool { return s.To == number }
}

// WithTag matches sends with a tag, for ExpectSend.
func WithTag(tag string) func(Send) bool {
	return func(s Send) bool { return slices.Contains(s.Tags, tag) }
}

// Report reports one more state of the newest executed send that match is true for, nil
// matching any, whatever was reported of it before, and returns that send. After is ignored.
func (s *Server) Report(match func(Send) bool, st Step) (Send, error) {
	s.mu.Lock()
	defer s.changed.wake()
	defer s.mu.Unlock()
	kept := s.sends.since(0)
	for _, r := range slices.Backward(kept) {
		if r.Executed && (match == nil || match(r.copy())) {
			s.emitState(r, st, false)
			return r.copy(), nil
		}
	}
	return Send{}, fmt.Errorf("report a state: no such send among the last %d; GET /control/sends lists them", len(kept))
}

// parseSend reads the params; problems maps names to what is wrong with them.
func (s *Server) parseSend(c *conn, in incoming, payload []byte) (r *sendRecord, problems map[string]string) {
	r = &sendRecord{Send: Send{
		Time: s.clock.Now(), Conn: c.num, Session: c.sess.name, Project: c.sess.project, RequestID: slices.Clone(in.id),
	}}
	problems = map[string]string{}
	ms, err := members(in.params)
	if err != nil {
		problems["params"] = "must be an object"
		return r, problems
	}
	text := func(m member, p *string) {
		var ok bool
		if *p, ok = stringOf(m.value); !ok {
			problems[m.name] = "must be a string"
		}
	}
	list := func(m member, p *[]string) {
		var ok bool
		if *p, ok = stringsOf(m.value); !ok {
			problems[m.name] = "must be an array of strings"
		}
	}
	for _, m := range ms {
		switch m.name {
		case "from_number":
			text(m, &r.From)
		case "to_number":
			text(m, &r.To)
		case "context":
			text(m, &r.Context)
		case "body":
			text(m, &r.Body)
		case "region":
			text(m, &r.Region)
		case "media":
			list(m, &r.Media)
		case "tags":
			list(m, &r.Tags)
		default:
			if r.Extra == nil {
				r.Extra = map[string]json.RawMessage{}
			}
			r.Extra[m.name] = slices.Clone(m.value)
			s.stranger(c, in.method, m.name, payload)
			if s.cfg.Strict {
				problems[m.name] = "is not a parameter of messaging.send"
			}
		}
	}
	for _, need := range []struct{ name, value string }{
		{"from_number", r.From}, {"to_number", r.To}, {"context", r.Context},
	} {
		if need.value == "" && problems[need.name] == "" {
			problems[need.name] = "is required"
		}
	}
	if r.Body == "" && len(r.Media) == 0 && problems["body"] == "" && problems["media"] == "" {
		problems["body"] = "is required without media"
	}
	r.Segments = segments(r.Body)
	return r, problems
}

func (s *Server) onSend(c *conn, in incoming, scripted Reply, isScripted bool, payload []byte) {
	r, problems := s.parseSend(c, in, payload)
	if len(problems) > 0 {
		s.violate(c, "send-params", "valid params of messaging.send", fmt.Sprint(problems), payload)
		errs := appendAny(nil, problems)
		r.Code = "400"
		s.keep(r)
		s.apply(c, in.id, Reply{Code: "400", Message: "Invalid message parameters", Errors: errs}, nil, nil)
		return
	}
	plan := s.outcome(r.To)
	if isScripted {
		plan.Reply = scripted
	}
	c.sends++
	if n := s.faults.DropEverySends; n > 0 && c.sends%n == 0 {
		plan.Reply = Reply{Drop: true, Execute: s.faults.DropExecuted}
	}
	r.Executed = plan.executes()
	s.checkTags(c, r, payload)
	switch {
	case plan.Drop, plan.Silence:
	case plan.RPCCode != 0:
		r.Code = strconv.Itoa(plan.RPCCode)
	case plan.Code != "":
		r.Code = plan.Code
	default:
		r.Code = "200"
	}
	if r.Executed {
		r.MessageID = s.newID()
		r.log = s.logSend(r)
		s.stats.Executed++
	}
	s.keep(r)
	steps := plan.steps()
	run := func() {
		if r.Executed {
			s.report(r, steps)
		}
	}
	switch {
	case plan.Drop:
		// The connection goes first, so that no state can reach it.
		c.abort("dropped by a script instead of answering a send")
		run()
		return
	case plan.Silence:
		run()
		return
	case plan.StatesFirst || s.faults.StatesFirst:
		run()
		run = nil
	}
	if plan.SameSegment || s.faults.SameSegment {
		c.hold()
		defer c.release()
	}
	reply := plan.orMessage("Message accepted")
	s.apply(c, in.id, reply, func(b []byte) []byte { return appendStringMember(b, "message_id", r.MessageID) }, run)
}

func (s *Server) keep(r *sendRecord) {
	s.stats.Sends++
	r.Seq = s.sends.next + 1
	s.sends.add(r)
}

// report emits the states, each when its time has come.
func (s *Server) report(r *sendRecord, steps []Step) {
	// Without a last word, sent has to mean that the text arrived.
	lastWord := slices.ContainsFunc(steps, func(st Step) bool { return terminal(st.State) })
	if len(steps) == 0 {
		s.arrive(r)
	}
	s.reportFrom(r, steps, 0, lastWord)
}

func (s *Server) reportFrom(r *sendRecord, steps []Step, i int, lastWord bool) {
	for ; i < len(steps); i++ {
		st := steps[i]
		wait := st.After
		if wait == 0 {
			wait = s.cfg.StateDelay
		}
		if wait <= 0 {
			s.emitState(r, st, !lastWord && st.State == StateSent)
			continue
		}
		s.clock.afterFunc(wait, func() {
			s.mu.Lock()
			if !s.closed {
				s.emitState(r, st, !lastWord && st.State == StateSent)
				s.reportFrom(r, steps, i+1, lastWord)
			}
			s.mu.Unlock()
			s.changed.wake()
		})
		return
	}
}

// emitState reports one state; reached tells that the text arrives with it.
func (s *Server) emitState(r *sendRecord, st Step, reached bool) {
	r.States = append(r.States, st.State)
	if st.State == StateDelivered || reached {
		s.arrive(r)
	}
	s.noteState(r.log, st)
	s.callBack(r.log, st)
	if r.Context == "" {
		return // created over REST: nobody listens for it here
	}
	var inner json.RawMessage
	if st.Minimal {
		b := appendStringMember([]byte{'{'}, "message_id", r.MessageID)
		b = appendStringMember(b, "message_state", st.State)
		if st.Reason != "" {
			b = appendStringMember(b, "reason", st.Reason)
		}
		inner = append(b, '}')
	} else {
		tags := r.Tags
		if s.faults.HideTags {
			tags = nil
		}
		inner = message{
			id: r.MessageID, context: r.Context, direction: "outbound", from: r.From, to: r.To, body: r.Body,
			media: r.Media, segments: r.Segments, state: st.State, tags: tags, reason: st.Reason,
		}.encode()
	}
	s.publish(&event{
		kind: "messaging.state", project: r.Project, context: r.Context, messageID: r.MessageID,
		inner: overridden(inner, st.Fields),
	}, s.cfg.RoundRobin)
}
