package relaytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Choices for fields of Faults. The empty string is always the default.
const (
	// BeforeAuth: default answers -32002.
	BeforeAuthSilence = "silence" // no answer
	BeforeAuthClose   = "close"   // close with 1008

	// Ping: default is one every PingInterval.
	PingOnce  = "once"  // one, then stop
	PingNever = "never" // none

	// ClientPing: default answers with the same timestamp and payload.
	ClientPingSilence = "silence" // no answer
	ClientPingError   = "error"   // answer -32603

	// EventID: default is a fresh UUID per delivery.
	EventIDInteger = "integer" // a fresh integer per delivery
	EventIDNone    = "none"    // notifications: nothing can be acked

	// AuthState: default is one new authorization state after each connect.
	AuthStateNever  = "never"  // none, and resuming needs none
	AuthStateRepeat = "repeat" // the same value again with every ping
	AuthStateRotate = "rotate" // a new value with every ping

	// LogID: default gives log entries of Relay sends ids of their own, since
	// nobody has shown that the platform does otherwise.
	LogIDMessage = "message_id" // the message id
)

// Faults are the standing deviations of a space from its defaults: all off in
// the zero value. One-shot deviations are scripts: NextConnects, NextReplies,
// NextSends, NextUpgrades, NextREST.
type Faults struct {
	// Connections. RefuseTCP closes the Relay ports; StallHandshake accepts and
	// then says nothing; UpgradeStatus answers the handshake with that HTTP
	// status; SilenceReads and SilenceWrites make new connections half-open from
	// the start; Impair slows new connections; MuteConnect leaves
	// signalwire.connect unanswered.
	RefuseTCP      bool       `json:"refuse_tcp,omitempty"`
	StallHandshake bool       `json:"stall_handshake,omitempty"`
	UpgradeStatus  int        `json:"upgrade_status,omitempty"`
	SilenceReads   bool       `json:"silence_reads,omitempty"`
	SilenceWrites  bool       `json:"silence_writes,omitempty"`
	Impair         Impairment `json:"impair,omitzero"`
	AcceptDeflate  bool       `json:"accept_deflate,omitempty"`
	CloseOnInvalid bool       `json:"close_on_invalid,omitempty"` // 1003 for binary, 1007 for non-JSON
	MuteConnect    bool       `json:"mute_connect,omitempty"`

	// Authentication. ConnectError is a JSON-RPC error code for every connect;
	// ConnectDelay slows each; ResumeError answers unknown or stale resume data
	// (-32003, -32602, -32002) instead of opening a fresh session; ExpiresIn
	// sets authorization.expires_at (default one hour).
	ConnectError   int           `json:"connect_error,omitempty"`
	ConnectDelay   time.Duration `json:"connect_delay,omitempty"`
	ResumeError    int           `json:"resume_error,omitempty"`
	ExpiresIn      time.Duration `json:"expires_in,omitempty"`
	OmitSessionID  bool          `json:"omit_session_id,omitempty"` // and session_restored
	BeforeAuth     string        `json:"before_auth,omitempty"`
	AuthState      string        `json:"auth_state,omitempty"`
	ForgetContexts bool          `json:"forget_contexts,omitempty"` // a resumed session starts unsubscribed

	// Pings. PingInterval overrides Config.PingInterval.
	PingInterval    time.Duration    `json:"ping_interval,omitempty"`
	Ping            string           `json:"ping,omitempty"`
	PingNoTimestamp bool             `json:"ping_no_timestamp,omitempty"`
	PingIntegerID   bool             `json:"ping_integer_id,omitempty"`
	PingPayload     string           `json:"ping_payload,omitempty"`
	ClientPing      string           `json:"client_ping,omitempty"`
	DropAfterMissed int              `json:"drop_after_missed,omitempty"` // unanswered server pings
	Replies         map[string]Reply `json:"replies,omitempty"`           // by method, for every request

	// Events.
	EventID           string     `json:"event_id,omitempty"`
	Redelivery        Redelivery `json:"redelivery,omitzero"`
	QueueUnsubscribed bool       `json:"queue_unsubscribed,omitempty"` // keep events until somebody subscribes
	StatesFirst       bool       `json:"states_first,omitempty"`       // states before the send result
	SameSegment       bool       `json:"same_segment,omitempty"`       // result and immediate states in one write
	HideTags          bool       `json:"hide_tags,omitempty"`          // tags are not echoed

	// Sends. DropEverySends drops the connection at each Nth send it carries,
	// executed only with DropExecuted.
	DropEverySends int  `json:"drop_every_sends,omitempty"`
	DropExecuted   bool `json:"drop_executed,omitempty"`

	// The message log. LogHidden keeps new messages out of it; LogDelay shows
	// them late.
	LogHidden bool          `json:"log_hidden,omitempty"`
	LogDelay  time.Duration `json:"log_delay,omitempty"`
	LogID     string        `json:"log_id,omitempty"`
}

// Redelivery says when unacknowledged events come again, always with the same
// message id. The zero value never redelivers: events unacknowledged when their
// connection ends are lost.
type Redelivery struct {
	OnResume    bool          `json:"on_resume,omitempty"`    // to the session that resumes
	OnReconnect bool          `json:"on_reconnect,omitempty"` // to whoever next subscribes to the context
	AckTimeout  time.Duration `json:"ack_timeout,omitempty"`  // again on the same connection
	SameID      bool          `json:"same_id,omitempty"`      // with the envelope id of the first time
}

func (f Faults) validate() error {
	oneOf := func(field, got string, choices ...string) error {
		if got == "" {
			return nil
		}
		for _, c := range choices {
			if got == c {
				return nil
			}
		}
		return fmt.Errorf("%s: %q is none of %q", field, got, choices)
	}
	for _, err := range []error{
		oneOf("before_auth", f.BeforeAuth, BeforeAuthSilence, BeforeAuthClose),
		oneOf("auth_state", f.AuthState, AuthStateNever, AuthStateRepeat, AuthStateRotate),
		oneOf("ping", f.Ping, PingOnce, PingNever),
		oneOf("client_ping", f.ClientPing, ClientPingSilence, ClientPingError),
		oneOf("event_id", f.EventID, EventIDInteger, EventIDNone),
		oneOf("log_id", f.LogID, LogIDMessage),
	} {
		if err != nil {
			return err
		}
	}
	if f.UpgradeStatus != 0 && (f.UpgradeStatus < 300 || f.UpgradeStatus > 599) {
		return fmt.Errorf("upgrade_status: %d is no HTTP error status", f.UpgradeStatus)
	}
	return nil
}

// Faults returns the deviations in force.
func (s *Server) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults
	f.Replies = maps.Clone(f.Replies)
	return f
}

// SetFaults replaces the deviations in force. What concerns connections as such
// applies to those opened from now on; everything else applies at once. It
// fails, changing nothing, on a value that Faults does not know.
func (s *Server) SetFaults(f Faults) error {
	if err := f.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	before := s.faults
	f.Replies = maps.Clone(f.Replies)
	s.faults = f
	if before.StallHandshake && !f.StallHandshake {
		for fc := range s.rawConns {
			fc.silence(f.SilenceReads, f.SilenceWrites)
		}
	}
	if before.PingInterval != f.PingInterval || before.Ping != f.Ping {
		for _, c := range s.conns {
			s.armPing(c)
		}
	}
	s.mu.Unlock()
	s.changed.wake()
	if before.RefuseTCP != f.RefuseTCP {
		return s.applyRefusal(f.RefuseTCP)
	}
	return nil
}

// ChangeFaults edits the deviations in force.
func (s *Server) ChangeFaults(edit func(*Faults)) error {
	f := s.Faults()
	edit(&f)
	return s.SetFaults(f)
}

func (s *Server) applyRefusal(on bool) error {
	for _, ln := range s.relayLns {
		if err := ln.refuse(on); err != nil {
			return err
		}
	}
	return nil
}

// Reply scripts the answer to one request. The zero value is success.
type Reply struct {
	Code    string `json:"code,omitempty"` // result code; not 2xx means refused
	Message string `json:"message,omitempty"`
	// Errors is the value of the "errors" member beside a code.
	Errors json.RawMessage `json:"errors,omitempty"`
	// RPCCode, if not 0, makes it a JSON-RPC error, with Data if set.
	RPCCode int             `json:"rpc_code,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Delay   time.Duration   `json:"delay,omitempty"`
	Silence bool            `json:"silence,omitempty"` // no answer
	Drop    bool            `json:"drop,omitempty"`    // reset the connection instead
	// Execute carries the request out although the answer denies it or is missing.
	Execute bool `json:"execute,omitempty"`
	// Shapes that the protocol does not promise but clients must survive.
	NumericCode bool `json:"numeric_code,omitempty"` // code as a number, in a result
	StringCode  bool `json:"string_code,omitempty"`  // code as a string, in an error
	OmitCode    bool `json:"omit_code,omitempty"`    // no code in the result
	NullError   bool `json:"null_error,omitempty"`   // "error":null beside the result
}

// executes reports whether the request takes effect.
func (r Reply) executes() bool {
	return r.Execute || !r.Silence && !r.Drop && r.RPCCode == 0 && (r.Code == "" || r.Code[0] == '2')
}

func (r Reply) orMessage(m string) Reply {
	if r.Message == "" {
		r.Message = m
	}
	return r
}

// encode makes the frame.
func (r Reply) encode(id json.RawMessage, extra func([]byte) []byte) []byte {
	b := append(append([]byte(`{"jsonrpc":"2.0","id":`), id...), ',')
	if r.RPCCode != 0 {
		code := strconv.Itoa(r.RPCCode)
		if r.StringCode {
			code = strconv.Quote(code)
		}
		b = appendStringMember(append(b, `"error":{"code":`+code...), "message", r.Message)
		if r.Data != nil {
			b = append(appendMember(b, "data"), r.Data...)
		}
		return append(b, "}}"...)
	}
	if r.NullError {
		b = append(b, `"error":null,`...)
	}
	b = append(b, `"result":{`...)
	code := r.Code
	if code == "" {
		code = "200"
	}
	switch {
	case r.OmitCode:
	case r.NumericCode:
		b = append(appendMember(b, "code"), code...)
	default:
		b = appendStringMember(b, "code", code)
	}
	if r.Message != "" {
		b = appendStringMember(b, "message", r.Message)
	}
	if r.Errors != nil {
		b = append(appendMember(b, "errors"), r.Errors...)
	}
	if extra != nil && code[0] == '2' {
		b = extra(b)
	}
	return append(b, "}}"...)
}

// deliverAnswer queues an answer, now or later.
func (s *Server) deliverAnswer(c *conn, id json.RawMessage, delay time.Duration, frame []byte, then func()) {
	if isNull(id) {
		return
	}
	item := outItem{op: opText, payload: frame, id: id}
	if delay <= 0 {
		c.push(item)
		if then != nil {
			then()
		}
		return
	}
	s.clock.afterFunc(delay, func() {
		s.mu.Lock()
		if !c.closed {
			c.push(item)
		}
		if then != nil {
			then()
		}
		s.mu.Unlock()
		s.changed.wake()
	})
}
