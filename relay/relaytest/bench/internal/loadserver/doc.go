// Package loadserver is the Relay server of the bench: one client at a time, as fast as one core allows, and an account
// of everything the client did with what it was given. It writes its own WebSocket frames and its own JSON, so that it
// shares neither code nor mistakes with the programs it measures.
//
//	s, err := loadserver.Start(loadserver.Config{Messages: 100_000, Outstanding: 256})
//	defer s.Close()
//	// start a client on s.URL()
//	err = s.WaitSubscribed(ctx)
//	result, err := s.Load(ctx)
//
// Every inbound is numbered, and its body carries the number: a client answers with a text that contains the body. From
// the numbers the server knows which inbounds were acknowledged, which were answered, how often, and in which order.
package loadserver

import (
	"fmt"
	"time"
)

// Contexts are the three contexts that inbounds arrive on. A client is subscribed once it has sent signalwire.receive for
// all of them.
var Contexts = []string{"support", "sales", "billing"}

// MaxSenders is the largest Config.Senders: senders are +12025550000 and up, and +12025559900 and up are our own numbers.
const MaxSenders = 9900

// Config says what load to make. The zero value of a field means its default.
type Config struct {
	Messages    int     // inbounds in all; default 10,000
	Senders     int     // numbers they come from, in turn; default 1,000, at most MaxSenders
	Outstanding int     // closed loop: inbounds kept unanswered; default 256
	Rate        float64 // open loop: inbounds a second, whatever the client does; 0 means a closed loop
	// Backlog makes the closed loop one of acknowledgements: Outstanding counts what is not acknowledged, so that inbounds
	// come as fast as the client takes them, whether it answers or not. The load still waits for all answers. Not with
	// ResetEvery.
	Backlog bool

	States   bool // report "sent" and "delivered" for every accepted send
	DropTags bool // leave the tags of a send out of its states

	// ResetEvery cuts the connection after so many answers: with a TCP reset, or by Disrupt when that is set. Answers and
	// states that were composed and not yet written are lost with it. 0 means never.
	ResetEvery int
	// Disrupt, if set, takes the place of the reset. It is called on the goroutine that reads the connection, and the
	// connection is dropped when it returns. Kill the client here.
	Disrupt func()
	// Redeliver makes events that were unacknowledged when a connection ended come again on the next, with a new envelope
	// id and the same message_id. Otherwise the platform forgets them, and so does the closed loop.
	Redeliver bool

	// Patience is how long the load waits for the answer to an inbound before it gives up on it and lets another in; a later
	// answer still counts. Without any answer for twice as long the load ends. Default 5 s.
	Patience time.Duration
	// Linger is how long after the last messaging.send the load still listens for repeats; 0 means not at all.
	Linger time.Duration
	// PingEvery is the pause between two pings of the server; default 5 s.
	PingEvery time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Messages == 0 {
		c.Messages = 10_000
	}
	if c.Senders == 0 {
		c.Senders = 1000
	}
	if c.Outstanding == 0 {
		c.Outstanding = 256
	}
	if c.Patience == 0 {
		c.Patience = 5 * time.Second
	}
	if c.PingEvery == 0 {
		c.PingEvery = 5 * time.Second
	}
	switch {
	case c.Messages < 0 || c.Messages > maxMessages:
		return c, fmt.Errorf("%d messages: give 1 to %d", c.Messages, maxMessages)
	case c.Senders < 0 || c.Senders > MaxSenders:
		return c, fmt.Errorf("%d senders: give 1 to %d", c.Senders, MaxSenders)
	case c.Backlog && (c.ResetEvery > 0 || c.Rate > 0):
		return c, fmt.Errorf("a backlog is a closed loop without resets")
	case c.Outstanding < 0 || c.Rate < 0 || c.ResetEvery < 0:
		return c, fmt.Errorf("outstanding, rate and reset-every are not negative")
	}
	return c, nil
}

// maxMessages is what the number in a body has digits for.
const maxMessages = 99_999_999

// Result is the account of one load.
type Result struct {
	Messages int           // inbounds that were injected
	Answered int           // of them, those with at least one answer
	Elapsed  time.Duration // from the first inbound to the last answer
	P50, P99 time.Duration // from inbound to answer, as the server saw them

	Inversions        int // answers to a sender that came after the answer to a later inbound of the same sender
	Repeats           int // answers to an inbound that had been answered before
	NeedlessRepeats   int // of them, those whose earlier answer the platform had confirmed on the wire
	UnansweredAcked   int // inbounds that the client acknowledged and never answered: lost by the client
	UnansweredUnacked int // inbounds neither acknowledged nor answered: lost by the platform, or never read
	Unacked           int // inbounds that were answered and never acknowledged
	Misdirected       int // answers from a wrong number, to a wrong number, or on a wrong context
	Strangers         int // sends that answer no inbound
	DuplicateAcks     int
	StaleAcks         int // acknowledgements of a delivery that was made on another connection
	UnknownAcks       int // answers to no request of the server
	BadFrames         int // frames that are not JSON objects
	BadPongs          int // answers to a server ping without its timestamp

	MaxLive      int             // most sockets that the client held open at once
	Connections  int             // sockets that authenticated
	Resets       int             // connections cut by the server
	AnswersLost  int             // sends carried out whose answer was lost by a cut: resent, they are repeats
	SendsLost    int             // sends written by the client and lost by a cut before the server read them
	Resubscribes []time.Duration // from each cut to subscribed again

	Stalled bool // the client stopped answering, and the load was ended
}
