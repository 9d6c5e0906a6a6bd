package relay

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Status is a snapshot of the client for readiness checks and metrics.
type Status struct {
	State State
	Since time.Time // when State was entered

	Contexts []string // confirmed by the platform, sorted
	Missing  []string // wanted, not confirmed
	Paused   string   // the reason given to Pause; empty if not paused

	LastFrame time.Time     // when the last frame came on the current connection
	LastPong  time.Time     // when a ping of ours was last answered on it
	RTT       time.Duration // round trip of that ping
	LastEvent time.Time     // when the last event came, on any connection

	Connects    uint64            // times the platform accepted us
	Sessions    uint64            // of these, the times it began a new session
	Disconnects map[string]uint64 // connections and attempts that ended, by reason

	LastError LastError
	SessionID string // short hash of the session's name

	Unacked   int64  // events of the current connection that were not acknowledged yet
	Pending   int    // requests without an answer
	Queued    int    // frames that wait to be written
	Malformed uint64 // frames skipped: no JSON object, or no JSON-RPC
	Unknown   uint64 // requests of the platform that were answered with "method not found"
	Unmatched uint64 // answers that nobody waited for
	Dropped   uint64 // events that came after Shutdown

	DeafFor time.Duration // total time since Run began without a subscribed session
}

// LastError is the latest trouble, credentials replaced by "[redacted]".
type LastError struct {
	At   time.Time
	What string // what was being done, or the reason of a disconnect
	Code string // the platform's code, if it gave one
	Text string
}

// Ready reports whether requests can be made and events can come.
func (s *Status) Ready() bool { return s.State == StateSubscribed }

// PongAge returns how long ago a ping of ours was answered on the current
// connection, or a negative duration if none was.
func (s *Status) PongAge() time.Duration {
	if s.LastPong.IsZero() {
		return -1
	}
	return time.Since(s.LastPong)
}

// Status returns a snapshot. It is cheap enough for every scrape and probe.
func (c *Client) Status() Status {
	var st Status
	st.Contexts, st.Missing, st.Paused = c.subs.snapshot()
	c.mu.Lock()
	st.State, st.Since = c.state, c.since
	st.Connects, st.Sessions = c.connects, c.sessions
	st.Disconnects = maps.Clone(c.disconnects)
	st.LastError = c.lastError
	st.SessionID = c.sessionHash
	st.DeafFor = c.notReady
	if !c.notReadyAt.IsZero() {
		st.DeafFor += time.Since(c.notReadyAt)
	}
	c.mu.Unlock()
	st.Malformed = c.stats.malformed.Load()
	st.Unknown = c.stats.unknown.Load()
	st.Unmatched = c.stats.unmatched.Load()
	st.Dropped = c.stats.dropped.Load()
	if at := c.stats.lastEvent.Load(); at != 0 {
		st.LastEvent = time.Unix(0, at)
	}
	if s := c.current.Load(); s != nil {
		s.status(&st)
	} else {
		st.Contexts = nil // confirmed on a connection that is gone
	}
	return st
}

func (s *session) status(st *Status) {
	if at := s.lastFrame.Load(); at > 0 {
		st.LastFrame = s.born.Add(time.Duration(at))
	}
	if at := s.pongAt.Load(); at > 0 {
		st.LastPong = s.born.Add(time.Duration(at))
		st.RTT = time.Duration(s.rtt.Load())
	}
	st.Unacked = s.unacked.Load()
	s.mu.Lock()
	st.Pending = len(s.pending)
	st.Queued = s.lanes.control.len() + s.lanes.acks.len() + s.lanes.requests.len()
	s.mu.Unlock()
}

// noteError records trouble for Status, and reports whether it is another one
// than before.
func (c *Client) noteError(what string, err error) (news bool) {
	e := LastError{At: time.Now(), What: what}
	var refused *Error
	if errors.As(err, &refused) {
		e.Code = refused.Code
	}
	if err != nil {
		e.Text = c.redact(err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	news = c.lastError.What != e.What || c.lastError.Text != e.Text
	c.lastError = e
	return news
}

// maxSecrets is how many literal values are kept for redaction: the token, and
// the last few of those that change (JWT, authorization state, session name).
const maxSecrets = 16

// remember adds a literal value to those that redact removes. Called with c.mu,
// or before the client is shared.
func (c *Client) remember(secret string) {
	if secret == "" || slices.Contains(c.secrets, secret) {
		return
	}
	if len(c.secrets) == maxSecrets {
		c.secrets = slices.Delete(c.secrets, 1, 2) // the first is the configured one
	}
	c.secrets = append(c.secrets, secret)
}

// redact removes the literal value of every credential from a text that came
// from outside, which may have echoed it.
func (c *Client) redact(text string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, redacted)
	}
	return text
}

// clean redacts a refusal, in place.
func (c *Client) clean(e *Error) *Error {
	e.Message = c.redact(e.Message)
	e.Code = c.redact(e.Code)
	return e
}

// cleanCause redacts an error whose text may hold words of the peer. An error
// without a secret is returned as it is.
func (c *Client) cleanCause(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if safe := c.redact(text); safe != text {
		return errors.New(safe)
	}
	return err
}
