package relaytest

import (
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Session is one authenticated Relay session. It outlives its connections: a
// client that resumes comes back to the same Session.
type Session struct {
	srv                       *Server
	name, id, identity        string
	project, signature        string
	contexts                  map[string]bool // guarded by srv.mu, as all below
	order                     []string        // the contexts, first subscribed first
	conn                      *conn           // nil while disconnected
	authState, ackedAuthState string
	unacked                   *list.List // of *Delivery, oldest first
	forgotten                 bool       // after restart: true, or evicted
	left                      *list.Element
}

// sessionState is the part of Server.state about sessions.
type sessionState struct {
	sessions   map[string]*Session
	live       map[string][]*Session // connected subscribers by context
	turn       map[string]int        // of round-robin, by context
	away       *list.List            // disconnected sessions, longest first
	spaceID    string
	jwtProject string // project of sessions opened by JWT alone
}

func (s *Server) initSessions() {
	s.sessions = make(map[string]*Session)
	s.live = make(map[string][]*Session)
	s.turn = make(map[string]int)
	s.away = list.New()
	s.spaceID, s.jwtProject = s.newID(), s.newID()
}

func (s *Server) remember(sess *Session) {
	sess.unacked = list.New()
	s.sessions[sess.name] = sess
	for len(s.sessions) > maxSessions && s.away.Len() > 0 {
		s.forget(s.away.Front().Value.(*Session))
	}
}

// forget makes the session's protocol unknown.
func (s *Server) forget(sess *Session) {
	sess.forgotten = true
	delete(s.sessions, sess.name)
	if sess.left != nil {
		s.away.Remove(sess.left)
		sess.left = nil
	}
	for e := sess.unacked.Front(); e != nil; e = sess.unacked.Front() {
		s.lose(e.Value.(*Delivery))
	}
}

// enter gives the session a connection.
func (s *Server) enter(sess *Session, c *conn) {
	if old := sess.conn; old != nil {
		s.superseded(sess, old)
		s.leave(old)
	}
	if sess.left != nil {
		s.away.Remove(sess.left)
		sess.left = nil
	}
	sess.conn, c.sess = c, sess
	c.session.Store(&sess.name)
	c.info.Session = sess.name
	for _, name := range sess.order {
		s.live[name] = append(s.live[name], sess)
	}
}

// leave takes a connection from its session and decides what becomes of its
// unacknowledged events.
func (s *Server) leave(c *conn) {
	sess := c.sess
	if sess == nil || sess.conn != c {
		return
	}
	sess.conn = nil
	for _, name := range sess.order {
		s.dropLive(name, sess)
	}
	if c.draining && c.drain.forget {
		s.settleUnacked(sess)
		s.forget(sess)
		return
	}
	s.settleUnacked(sess)
	if !sess.forgotten {
		sess.left = s.away.PushBack(sess)
	}
}

func (s *Server) dropLive(name string, sess *Session) {
	rest := slices.DeleteFunc(s.live[name], func(o *Session) bool { return o == sess })
	if len(rest) == 0 {
		delete(s.live, name)
		return
	}
	s.live[name] = rest
}

// subscribe adds contexts to a session; those it has are left alone. Events that
// waited for a subscriber follow.
func (s *Server) subscribe(sess *Session, contexts []string) {
	for _, name := range contexts {
		if !sess.contexts[name] {
			sess.contexts[name] = true
			sess.order = append(sess.order, name)
			if sess.conn != nil {
				s.live[name] = append(s.live[name], sess)
			}
		}
		s.flushWaiting(sess, name)
	}
}

func (s *Server) unsubscribe(sess *Session, contexts []string) {
	for _, name := range slices.Clone(contexts) {
		if sess.contexts[name] {
			delete(sess.contexts, name)
			sess.order = slices.DeleteFunc(sess.order, func(o string) bool { return o == name })
			s.dropLive(name, sess)
		}
	}
}

// ready reports whether the session is connected, subscribed and not draining.
func (sess *Session) ready() bool {
	return sess.conn != nil && !sess.conn.draining && len(sess.contexts) > 0
}

// WaitSession returns a connected session with at least one context, waiting
// until there is one. With several it returns the one that connected last.
func (s *Server) WaitSession(ctx context.Context) (*Session, error) {
	return s.WaitSessionFunc(ctx, nil)
}

// WaitSessionFunc is WaitSession over the sessions for which match is true; nil
// matches all. match may call the session's methods.
func (s *Server) WaitSessionFunc(ctx context.Context, match func(*Session) bool) (*Session, error) {
	for {
		changed := s.changed.wait()
		for _, sess := range s.Sessions() {
			s.mu.Lock()
			ready := sess.ready()
			s.mu.Unlock()
			if ready && (match == nil || match(sess)) {
				return sess, nil
			}
		}
		if err := s.waitOn(ctx, changed); err != nil {
			return nil, fmt.Errorf("wait for a subscribed session: %w", err)
		}
	}
}

// sessionWait is how long Session waits. Inside a synctest bubble it costs
// nothing; outside, a client that needs longer is stuck.
const sessionWait = 30 * time.Second

// Session is WaitSession for tests: it fails t when none comes within 30 s.
func (s *Server) Session(t TB) *Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sessionWait)
	defer cancel()
	sess, err := s.WaitSession(ctx)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return sess
}

// Sessions returns the connected sessions, last connected first.
func (s *Server) Sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Session
	for _, c := range s.conns {
		if c.sess != nil && c.sess.conn == c {
			out = append(out, c.sess)
		}
	}
	slices.SortFunc(out, func(a, b *Session) int { return b.conn.num - a.conn.num })
	return out
}

// SessionByName finds a known session, connected or not, by its protocol.
func (s *Server) SessionByName(name string) (*Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sess, ok := s.sessions[name]
	return sess, ok
}

// Name is the session's protocol value.
func (sess *Session) Name() string { return sess.name }

// Project is the project id it authenticated with.
func (sess *Session) Project() string { return sess.project }

// Contexts returns its subscriptions, first subscribed first.
func (sess *Session) Contexts() []string {
	sess.srv.mu.Lock()
	defer sess.srv.mu.Unlock()
	return slices.Clone(sess.order)
}

// Conn is the number of its connection, 0 while it has none.
func (sess *Session) Conn() int {
	sess.srv.mu.Lock()
	defer sess.srv.mu.Unlock()
	if sess.conn == nil {
		return 0
	}
	return sess.conn.num
}

// do runs f with the lock held if the session is connected.
func (sess *Session) do(f func(c *conn)) bool {
	s := sess.srv
	s.mu.Lock()
	c := sess.conn
	if c != nil {
		f(c)
	}
	s.mu.Unlock()
	s.changed.wake()
	return c != nil
}

// Drop resets the connection: what is in flight in either direction is lost.
// When Drop returns the session is disconnected, so a following Session call
// waits for the client to come back.
func (sess *Session) Drop() { sess.do(func(c *conn) { c.abort("dropped") }) }

// Silence stops the server's reading, writing or both without closing anything:
// a half-open connection. Silence(false, false) revives it.
func (sess *Session) Silence(read, write bool) {
	sess.do(func(c *conn) { c.fc.silence(read, write) })
}

// Impair slows or shreds the session's present connection.
func (sess *Session) Impair(i Impairment) { sess.do(func(c *conn) { c.fc.setImpairment(i) }) }

// Close closes the connection with a WebSocket close code, any number, or
// without a code if it is 0.
func (sess *Session) Close(code int, reason string) {
	sess.do(func(c *conn) { c.closeWith(code, reason) })
}

// Ping sends one signalwire.ping now. The channel closes when the client has
// answered it.
func (sess *Session) Ping() <-chan struct{} {
	done := make(chan struct{})
	sess.do(func(c *conn) { done = sess.srv.sendPing(c).answered })
	return done
}

// PushAuthState sends a new authorization state, as the platform does when it
// rotates them.
func (sess *Session) PushAuthState() {
	sess.do(func(*conn) { sess.srv.pushAuthState(sess, true) })
}

// SendRaw writes payload as one text message, whatever it holds. An id in it is
// not tracked.
func (sess *Session) SendRaw(payload []byte) {
	sess.do(func(c *conn) { c.push(outItem{op: opText, payload: slices.Clone(payload)}) })
}

// DisconnectOptions say what follows a signalwire.disconnect. The zero value
// closes as soon as the client has answered.
type DisconnectOptions struct {
	CloseAfter       time.Duration `json:"close_after,omitempty"`        // after the answer
	NeverClose       bool          `json:"never_close,omitempty"`        // leave it to the client
	CloseBeforeReply bool          `json:"close_before_reply,omitempty"` // do not wait for the answer
	// KeepEvents goes on sending events to the draining session. By default it
	// gets no new ones.
	KeepEvents bool `json:"keep_events,omitempty"`

	forget bool // restart: true was sent
}

// Disconnect sends signalwire.disconnect. restart true makes the session's
// protocol unknown, false keeps it, and nil leaves the field out, which means
// the same as false.
func (sess *Session) Disconnect(restart *bool, o DisconnectOptions) {
	s := sess.srv
	sess.do(func(c *conn) {
		o.forget = restart != nil && *restart
		c.draining, c.drain = true, o
		id := jsonString(s.newID())
		c.pending[string(id)] = &request{kind: "disconnect", sent: s.clock.Now(), answered: make(chan struct{})}
		params := []byte{'{'}
		if restart != nil {
			params = strconv.AppendBool(appendMember(params, "restart"), *restart)
		}
		s.request(c, id, "signalwire.disconnect", append(params, '}'))
		if o.CloseBeforeReply {
			c.closeWith(1001, "going away")
		}
	})
}

// Restart and Keep are the arguments of Disconnect.
var (
	restartTrue, restartFalse = true, false
	// Restart tells the client to forget its session.
	Restart = &restartTrue
	// Keep tells the client to resume its session.
	Keep = &restartFalse
)

// Restart simulates a crash and restart of the platform: every connection is
// reset and every session forgotten. Messages, logs and the transcript stay.
func (s *Server) Restart() {
	s.mu.Lock()
	for _, c := range s.openConns() {
		c.abort("server restart")
	}
	for _, sess := range s.sessions {
		s.forget(sess)
	}
	s.waiting, s.waitingCount = make(map[string][]*event), 0
	s.mu.Unlock()
	s.changed.wake()
}

// onAnswer takes the client's answer to a request of ours.
func (s *Server) onAnswer(c *conn, in incoming, payload []byte) {
	r, ok := c.pending[string(in.id)]
	if !ok {
		s.strayAnswer(c, in, payload)
		return
	}
	delete(c.pending, string(in.id))
	if r.answered != nil {
		close(r.answered)
	}
	switch r.kind {
	case "event":
		if in.failure != nil && !isNull(in.failure) {
			s.violate(c, "nack", "a result for each event", "an error", payload)
			return
		}
		s.acked(c, r.delivery, in.id)
	case "ping":
		s.onPong(c, r, in, payload)
	case "disconnect":
		c.drainReplied = true
		switch {
		case c.drain.NeverClose:
			c.info.useless = s.clock.Now()
		case c.drain.CloseAfter <= 0:
			c.closeWith(1001, "going away")
		default:
			s.clock.afterFunc(c.drain.CloseAfter, func() {
				s.mu.Lock()
				c.closeWith(1001, "going away")
				s.mu.Unlock()
				s.changed.wake()
			})
		}
	}
}

func (s *Server) onPong(c *conn, r *request, in incoming, payload []byte) {
	c.missedPings = 0
	c.info.PingsAnswered++
	c.info.LastPong = s.clock.Now()
	if isNull(in.result) {
		return // an error is a sign of life too
	}
	var got struct {
		Timestamp json.RawMessage `json:"timestamp"`
		Payload   string          `json:"payload"`
	}
	_ = json.Unmarshal(in.result, &got) // what does not decode does not match
	if r.timestamp != nil && !sameNumber(got.Timestamp, r.timestamp) {
		s.violate(c, "pong", "timestamp "+string(r.timestamp)+" echoed", "timestamp "+string(got.Timestamp), payload)
	}
	if r.payload != "" && got.Payload != r.payload {
		s.violate(c, "pong", fmt.Sprintf("payload %q echoed", r.payload), fmt.Sprintf("%q", got.Payload), payload)
	}
}

// sameNumber compares by value: 1.50 is 1.5.
func sameNumber(a, b json.RawMessage) bool {
	x, errX := strconv.ParseFloat(string(a), 64)
	y, errY := strconv.ParseFloat(string(b), 64)
	return errX == nil && errY == nil && x == y
}
