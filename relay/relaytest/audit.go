package relaytest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Violation is something a client did that the protocol does not allow or, when
// it is not Severe, that deserves a look.
type Violation struct {
	Seq     uint64    `json:"seq"` // 1, 2, 3, ...
	Time    time.Time `json:"time"`
	Conn    int       `json:"conn"`
	Session string    `json:"session,omitempty"`
	Rule    string    `json:"rule"` // short name of the rule, such as "ack"
	Want    string    `json:"want"`
	Got     string    `json:"got"`
	Severe  bool      `json:"severe"` // fails a strict test
	Frame   string    `json:"frame,omitempty"`
}

// shownFrame bounds how much of a frame a violation carries.
const shownFrame = 1024

// String is the violation as a diff.
func (v Violation) String() string {
	var b strings.Builder
	kind := "protocol violation"
	if !v.Severe {
		kind = "protocol notice"
	}
	fmt.Fprintf(&b, "relaytest: %s: %s (conn %d", kind, v.Rule, v.Conn)
	if v.Session != "" {
		fmt.Fprintf(&b, ", %s", v.Session)
	}
	fmt.Fprintf(&b, ")\n  -want: %s\n  +got:  %s", v.Want, v.Got)
	if v.Frame != "" {
		fmt.Fprintf(&b, "\n  frame: %s", v.Frame)
	}
	return b.String()
}

// ConnectionInfo describes one connection.
type ConnectionInfo struct {
	Num           int       `json:"num"` // 1, 2, 3, ...
	Remote        string    `json:"remote"`
	Opened        time.Time `json:"opened"`
	Closed        time.Time `json:"closed,omitzero"`      // zero while open
	Cause         string    `json:"cause,omitempty"`      // why it ended
	CloseCode     int       `json:"close_code,omitempty"` // of the client's close frame
	Session       string    `json:"session,omitempty"`
	Rejected      bool      `json:"rejected,omitempty"` // connect was refused
	Leaked        bool      `json:"leaked,omitempty"`   // see Stats.Leaked
	FramesIn      int       `json:"frames_in"`
	FramesOut     int       `json:"frames_out"`
	EventsSent    int       `json:"events_sent"`
	Acks          int       `json:"acks"`
	PingsSent     int       `json:"pings_sent"`
	PingsAnswered int       `json:"pings_answered"`
	LastPong      time.Time `json:"last_pong,omitzero"`
	ClientPings   int       `json:"client_pings"`
}

// connRecord is what remains of a connection. It is guarded by Server.mu.
type connRecord struct {
	ConnectionInfo
	framesOut atomic.Int64 // counted by the writer, without the lock
	useless   time.Time    // since when the client should close the socket
}

// Stats are totals since the start.
type Stats struct {
	Opened        int `json:"opened"`         // connections
	Open          int `json:"open"`           // of them, now
	MaxOpen       int `json:"max_open"`       // at any one time
	Overlaps      int `json:"overlaps"`       // resumed while the old socket stayed open
	Leaked        int `json:"leaked"`         // sockets still open 10 s after their connect was refused, their session moved on or, with NeverClose, they answered a disconnect
	InvalidFrames int `json:"invalid_frames"` // not JSON-RPC text

	RequestsBeforeAuth int `json:"requests_before_auth"`
	RequestsOnDraining int `json:"requests_on_draining"`
	DuplicateIDs       int `json:"duplicate_ids"`      // request ids used again
	DuplicateReceives  int `json:"duplicate_receives"` // signalwire.receive for nothing new
	DuplicateTags      int `json:"duplicate_tags"`     // executed sends with a tag of an earlier one

	Inbound     int `json:"inbound"`
	Sends       int `json:"sends"`
	Executed    int `json:"executed"`
	Redelivered int `json:"redelivered"`
	Discarded   int `json:"discarded"` // events without a subscriber
	Lost        int `json:"lost"`      // deliveries given up unacknowledged

	AcksDuplicate int `json:"acks_duplicate"`
	AcksUnknown   int `json:"acks_unknown"`
	AcksWrongConn int `json:"acks_wrong_conn"`
	Unacked       int `json:"unacked"` // now, over connected sessions

	Violations int `json:"violations"`
	Notices    int `json:"notices"`
}

// Grace before two sockets of one session count as overlapping, and before a
// socket that has no more purpose counts as leaked. The first covers the time
// between the closing of one socket and the news of it.
const (
	overlapGrace = 250 * time.Millisecond
	leakGrace    = 10 * time.Second
)

// audit is the part of Server.state that watches the clients.
type audit struct {
	stats      Stats
	violations ring[Violation]
	requestIDs *recent[int]    // to the connection first used on
	tags       *recent[string] // to the message id first sent with
	intervals  ring[time.Duration]
	lastClosed time.Time
}

func (s *Server) initAudit() {
	s.violations.limit = 1000
	s.intervals.limit = 10_000
	s.requestIDs = newRecent[int](maxRecent)
	s.tags = newRecent[string](maxRecent)
}

func (s *Server) violate(c *conn, rule, want, got string, frame []byte) {
	s.note(c, rule, want, got, frame, true)
}

func (s *Server) notice(c *conn, rule, want, got string, frame []byte) {
	s.note(c, rule, want, got, frame, false)
}

func (s *Server) note(c *conn, rule, want, got string, frame []byte, severe bool) {
	v := Violation{
		Seq: s.violations.next + 1, Time: s.clock.Now(), Conn: c.num, Session: c.sessionName(),
		Rule: rule, Want: want, Got: got, Severe: severe, Frame: string(frame[:min(len(frame), shownFrame)]),
	}
	s.violations.add(v)
	if severe {
		s.stats.Violations++
	} else {
		s.stats.Notices++
	}
	// What was wanted and got may quote the client; the log gets the rule alone.
	s.cfg.Logger.Warn("protocol violation", "rule", rule, "conn", c.num, "severe", severe)
	if s.cfg.report != nil {
		s.cfg.report(v)
	}
}

// Violations returns the last 1,000 violations and notices, oldest first.
func (s *Server) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.violations.since(0)
}

// Connections describes the last 10,000 connections, oldest first.
func (s *Server) Connections() []ConnectionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ConnectionInfo, 0, len(s.connLog.items))
	for _, r := range s.connLog.since(0) {
		info := r.ConnectionInfo
		info.FramesOut = int(r.framesOut.Load())
		info.Leaked = s.leaked(r)
		out = append(out, info)
	}
	return out
}

// Stats returns the totals.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	for _, c := range s.conns {
		if !c.closed {
			st.Open++
		}
		if s.leaked(c.info) {
			st.Leaked++
		}
		if c.sess != nil && c.sess.conn == c {
			st.Unacked += c.sess.unacked.Len()
		}
	}
	return st
}

// ReconnectIntervals returns the times between the end of a connection and the
// opening of the next one, for the last 10,000: what jitter and backoff are
// verified with.
func (s *Server) ReconnectIntervals() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.intervals.since(0)
}

func (s *Server) noteOpened(c *conn) {
	s.stats.Opened++
	open := 0
	for _, o := range s.conns {
		if !o.closed {
			open++
		}
	}
	s.stats.MaxOpen = max(s.stats.MaxOpen, open)
	if !s.lastClosed.IsZero() {
		s.intervals.add(c.info.Opened.Sub(s.lastClosed))
		s.lastClosed = time.Time{}
	}
}

func (s *Server) noteClosed(c *conn) { s.lastClosed = c.info.Closed }

// superseded watches the socket that a session has left behind by resuming.
func (s *Server) superseded(sess *Session, old *conn) {
	old.info.useless = s.clock.Now()
	s.clock.afterFunc(overlapGrace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !old.closed && !s.closed {
			s.stats.Overlaps++
			s.violate(old, "overlap", "the old socket closed before the session is resumed on another",
				fmt.Sprintf("conn %d still open after %s was resumed", old.num, sess.name), nil)
		}
	})
}

// leaked reports whether the socket is open without a purpose for too long.
func (s *Server) leaked(r *connRecord) bool {
	return r.Closed.IsZero() && !r.useless.IsZero() && s.clock.Now().Sub(r.useless) >= leakGrace
}

// checkTags notes a client tag that an executed send has carried before.
func (s *Server) checkTags(c *conn, r *sendRecord, payload []byte) {
	if !r.Executed {
		return
	}
	for _, tag := range r.Tags {
		if _, seen := s.tags.get(tag); seen {
			s.stats.DuplicateTags++
			s.notice(c, "duplicate-tag", "a tag of its own for each executed send", fmt.Sprintf("tag %q again", tag), payload)
		}
		s.tags.put(tag, r.Request())
	}
}

// Rules counts the violations and notices by rule.
func (s *Server) Rules() map[string]int {
	out := map[string]int{}
	for _, v := range s.Violations() {
		out[v.Rule]++
	}
	return out
}
