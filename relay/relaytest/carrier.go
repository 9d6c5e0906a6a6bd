package relaytest

import (
	"time"
)

// Message states of the protocol.
const (
	StateQueued      = "queued"
	StateInitiated   = "initiated"
	StateSent        = "sent"
	StateDelivered   = "delivered"
	StateUndelivered = "undelivered"
	StateFailed      = "failed"
)

func terminal(state string) bool {
	return state == StateDelivered || state == StateUndelivered || state == StateFailed
}

// Step is one messaging.state event of a send.
type Step struct {
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// ErrorCode appears in the message log and in status callbacks.
	ErrorCode string `json:"error_code,omitempty"`
	// After is the time since the step before; default Config.StateDelay.
	After time.Duration `json:"after,omitempty"`
	// Minimal leaves everything but id, state and reason out.
	Minimal bool `json:"minimal,omitempty"`
	// Fields overrides inner fields by name, as in SMS.
	Fields map[string]any `json:"fields,omitempty"`
}

// Outcome is what becomes of a send: how it is answered, and the states it then
// goes through. The zero value is accepted and delivered.
type Outcome struct {
	Reply
	// Steps are the states in order; nil is queued, initiated, sent, delivered,
	// and an empty slice is no state at all.
	Steps []Step `json:"steps,omitzero"`
	// StatesFirst sends the states before the answer.
	StatesFirst bool `json:"states_first,omitempty"`
	// SameSegment puts the answer and the states that follow at once into one
	// write.
	SameSegment bool `json:"same_segment,omitempty"`
}

func (o Outcome) steps() []Step {
	if o.Steps == nil {
		return Steps(StateQueued, StateInitiated, StateSent, StateDelivered)
	}
	return o.Steps
}

// Steps returns a step for each state.
func Steps(states ...string) []Step {
	out := make([]Step, len(states))
	for i, st := range states {
		out[i].State = st
	}
	return out
}

func failing(state, reason string) Outcome {
	steps := Steps(StateQueued, StateInitiated, state)
	steps[2].Reason = reason
	return Outcome{Steps: steps}
}

// Outcomes for scripts.

// Deliver is the default: queued, initiated, sent, delivered.
func Deliver() Outcome { return Outcome{} }

// Undeliver ends undelivered with a reason.
func Undeliver(reason string) Outcome { return failing(StateUndelivered, reason) }

// Fail ends failed with a reason.
func Fail(reason string) Outcome { return failing(StateFailed, reason) }

// NoLastWord is delivered, but sent is the last state ever reported.
func NoLastWord() Outcome { return Outcome{Steps: Steps(StateQueued, StateInitiated, StateSent)} }

// Reject refuses the send with a result code such as "400" or "429".
func Reject(code, message string) Outcome { return Outcome{Reply: Reply{Code: code, Message: message}} }

// RejectRPC refuses the send with a JSON-RPC error.
func RejectRPC(code int, message string) Outcome {
	return Outcome{Reply: Reply{RPCCode: code, Message: message}}
}

// AcceptThenDrop executes the send and resets the connection before answering.
func AcceptThenDrop() Outcome { return Outcome{Reply: Reply{Drop: true, Execute: true}} }

// DropUnexecuted resets the connection without executing the send.
func DropUnexecuted() Outcome { return Outcome{Reply: Reply{Drop: true}} }

// Unanswered never answers the send, executed or not.
func Unanswered(executed bool) Outcome {
	return Outcome{Reply: Reply{Silence: true, Execute: executed}}
}

// Magic is one row of the table of magic numbers.
type Magic struct {
	// Suffix is what the destination number ends with.
	Suffix string `json:"suffix"`
	// About tells what happens.
	About   string  `json:"about"`
	Outcome Outcome `json:"outcome"`
}

// MagicNumbers returns the table: a send to a number with one of these endings
// meets that outcome unless a script says otherwise. In addition a number that
// ends in 94xx or 95xx is refused with result code 4xx or 5xx, whatever it is.
func MagicNumbers() []Magic {
	slow := Steps(StateQueued, StateInitiated, StateSent, StateDelivered)
	for i := range slow {
		slow[i].After = 10 * time.Second
	}
	minimal := Steps(StateQueued, StateSent, StateDelivered)
	for i := range minimal {
		minimal[i].Minimal = true
	}
	return []Magic{
		{"9000", "delivered, as any other number", Deliver()},
		{"9001", "undelivered, reason unreachable", Undeliver("unreachable")},
		{"9002", "undelivered, reason carrier_blocked", Undeliver("carrier_blocked")},
		{"9003", "failed, reason spam", Fail("spam")},
		{"9004", "failed at once, after no other state", Outcome{Steps: []Step{{State: StateFailed, Reason: "invalid_destination"}}}},
		{"9010", "delivered, but sent is the last word", NoLastWord()},
		{"9011", "accepted, and no state ever", Outcome{Steps: []Step{}}},
		{"9012", "delivered slowly: 10 s before each state", Outcome{Steps: slow}},
		{"9013", "queued for ever", Outcome{Steps: Steps(StateQueued)}},
		{"9020", "states before the answer", Outcome{StatesFirst: true}},
		{"9021", "answer and states in one TCP segment", Outcome{SameSegment: true}},
		{"9022", "states out of order: sent, queued, delivered, initiated", Outcome{Steps: Steps(StateSent, StateQueued, StateDelivered, StateInitiated)}},
		{"9023", "each state twice", Outcome{Steps: Steps(StateQueued, StateQueued, StateInitiated, StateInitiated, StateSent, StateSent, StateDelivered, StateDelivered)}},
		{"9024", "delivered, all other states skipped", Outcome{Steps: Steps(StateDelivered)}},
		{"9025", "regression: sent after delivered", Outcome{Steps: Steps(StateQueued, StateDelivered, StateSent)}},
		{"9026", "an unknown state between sent and delivered", Outcome{Steps: Steps(StateQueued, StateSent, "teleported", StateDelivered)}},
		{"9027", "states with nothing but id and state", Outcome{Steps: minimal}},
		{"9028", "two conflicting last words: delivered, then undelivered", Outcome{Steps: Steps(StateQueued, StateSent, StateDelivered, StateUndelivered)}},
		{"9029", "two conflicting last words: failed, then delivered", Outcome{Steps: Steps(StateQueued, StateFailed, StateDelivered)}},
		{"9030", "executed, and the connection reset before the answer", AcceptThenDrop()},
		{"9031", "not executed, and the connection reset", DropUnexecuted()},
		{"9032", "executed, never answered", Unanswered(true)},
		{"9033", "not executed, never answered", Unanswered(false)},
		{"9034", "executed, answered after 15 s", Outcome{Reply: Reply{Delay: 15 * time.Second}}},
		{"9035", "executed, answered with code 500", Outcome{Reply: Reply{Code: "500", Message: "Internal error", Execute: true}}},
		{"9600", "JSON-RPC error -32000", RejectRPC(-32000, "Timeout")},
		{"9603", "JSON-RPC error -32603", RejectRPC(-32603, "Internal error")},
	}
}

var magicBySuffix = func() map[string]Outcome {
	m := make(map[string]Outcome)
	for _, row := range MagicNumbers() {
		m[row.Suffix] = row.Outcome
	}
	return m
}()

// magicSuffix is the length of the endings.
const magicSuffix = 4

func magic(number string) (Outcome, bool) {
	// Short codes have five or six digits, all of them their owner's.
	if len(number) < 8 {
		return Outcome{}, false
	}
	end := number[len(number)-magicSuffix:]
	if o, ok := magicBySuffix[end]; ok {
		return o, true
	}
	if end[:2] == "94" || end[:2] == "95" {
		return Reject(end[1:], "Refused by magic number"), true
	}
	return Outcome{}, false
}

// Carrier decides what becomes of sends by their destination. Its methods are
// safe for concurrent use.
type Carrier struct{ s *Server }

// Carrier returns the space's carrier.
func (s *Server) Carrier() *Carrier { return &Carrier{s} }

// On scripts the sends to a number: the first meets the first outcome, and so
// on; the last outcome stays. Without outcomes the number's script is removed.
func (c *Carrier) On(number string, outcomes ...Outcome) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if len(outcomes) == 0 {
		delete(c.s.byNumber, number)
		return
	}
	c.s.byNumber[number] = outcomes
}

// Default sets what becomes of sends that no script and no magic number claims.
func (c *Carrier) Default(o Outcome) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.fallback = o
}

// outcome picks the plan for a send.
func (s *Server) outcome(to string) Outcome {
	if o, ok := shift(&s.sendPlan); ok {
		return o
	}
	if list := s.byNumber[to]; len(list) > 0 {
		if len(list) > 1 {
			s.byNumber[to] = list[1:]
		}
		return list[0]
	}
	if !s.cfg.NoMagic {
		if o, ok := magic(to); ok {
			return o
		}
	}
	return s.fallback
}
