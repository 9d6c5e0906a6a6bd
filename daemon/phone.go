package daemon

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
)

// phone is what the handset of "signpost dev" knows: one thread of bubbles for each context
// that can be texted. It is plain state without I/O, used by one goroutine; a screen reads it,
// or a listener prints what it tells.
type phone struct {
	number  messaging.Number
	threads []*thread
	session string

	typed   map[string]*bubble    // by the platform's message id, until the chain has decided
	replies map[uuid.UUID]*bubble // by send id, until the last word on it

	// told hears of every change a person would notice; nil for none.
	told func(th *thread, b *bubble, what phoneChange)
}

// thread is the conversation with one context.
type thread struct {
	context string
	ours    messaging.Number // the number that the context answers on
	bubbles []*bubble
	unread  int
}

// threadLimit bounds a thread; a session of hours must not grow without end.
const threadLimit = 1000

// bubble is one message of a thread, or a remark when nothing came.
type bubble struct {
	kind bubbleKind
	text string
	tick tick
	note string // why it failed, or what became of it
	at   time.Time
}

type bubbleKind uint8

const (
	bubbleMine   bubbleKind = iota // typed on the handset
	bubbleTheirs                   // a reply
	bubbleRemark                   // why there is no reply
)

// tick is how far a message got.
type tick uint8

const (
	tickWaiting   tick = iota
	tickSent           // accepted; for a typed text: journaled
	tickDelivered      // delivered; for a typed text: the chain has decided
	tickFailed
)

func (t tick) String() string { return [...]string{"…", "✓", "✓✓", "✗"}[t] }

// phoneChange says what happened to a bubble.
type phoneChange uint8

const (
	changeNew  phoneChange = iota // it appeared
	changeTick                    // its tick or note changed
)

// phoneEvent is what the engine tells the phone; one field group is set. It holds copies:
// the engine goes on using its own values.
type phoneEvent struct {
	session string // the session's new state

	inbound *inboundNews
	send    *messaging.SendTrace
}

// inboundNews is a run of the chain over an inbound.
type inboundNews struct {
	messageID string
	context   string
	from, to  messaging.Number
	body      string
	fate      messaging.Fate
	err       string
	handler   string
	retryAt   time.Time
	sends     []replyNews
}

type replyNews struct {
	id     uuid.UUID
	to     messaging.Number
	body   string
	media  int
	status messaging.Status
	reason string
}

// newInboundNews copies what the phone needs; false for what it does not show.
func newInboundNews(tr *messaging.InboundTrace) (*inboundNews, bool) {
	if tr.Duplicate || tr.Outcome == nil || tr.Event.Kind != messaging.KindMessage {
		return nil, false
	}
	n := &inboundNews{
		messageID: tr.Event.MessageID, context: tr.Event.Context, from: tr.Event.From, to: tr.Event.To, body: tr.Event.Body,
		fate: tr.Outcome.Fate, err: tr.Outcome.Err, handler: tr.Outcome.Handler, retryAt: tr.Outcome.RetryAt,
	}
	for _, s := range tr.Outcome.Sends {
		n.sends = append(n.sends, replyNews{s.ID, s.To, s.Body, len(s.Media), s.Status, s.Reason})
	}
	return n, true
}

func newPhone(number messaging.Number) *phone {
	return &phone{
		number:  number,
		session: "idle",
		typed:   map[string]*bubble{},
		replies: map[uuid.UUID]*bubble{},
	}
}

// outstanding is how many messages wait for their last word.
func (p *phone) outstanding() int { return len(p.typed) + len(p.replies) }

// threadOf finds the thread of a context; nil if the handset has none.
func (p *phone) threadOf(context string) *thread {
	for _, th := range p.threads {
		if th.context == context {
			return th
		}
	}
	return nil
}

func (p *phone) add(th *thread, b *bubble) *bubble {
	b.at = time.Now()
	th.bubbles = append(th.bubbles, b)
	if len(th.bubbles) > threadLimit {
		th.bubbles = th.bubbles[len(th.bubbles)-threadLimit:]
	}
	p.tell(th, b, changeNew)
	return b
}

func (p *phone) tell(th *thread, b *bubble, what phoneChange) {
	if p.told != nil {
		p.told(th, b, what)
	}
}

// text notes what was typed and sent under the message id.
func (p *phone) text(th *thread, body, messageID string) {
	p.typed[messageID] = p.add(th, &bubble{kind: bubbleMine, text: body})
}

// apply takes in what the engine told.
func (p *phone) apply(ev phoneEvent) {
	switch {
	case ev.session != "":
		p.session = ev.session
	case ev.inbound != nil:
		p.decided(ev.inbound)
	case ev.send != nil:
		p.progressed(ev.send)
	}
}

// decided shows what a run of the chain came to.
func (p *phone) decided(n *inboundNews) {
	th := p.threadOf(n.context)
	if th == nil || n.from != p.number {
		return
	}
	mine := p.typed[n.messageID]
	if mine == nil { // texted from the same handset by other means, such as the simulator's control API
		mine = p.add(th, &bubble{kind: bubbleMine, text: n.body})
	}
	switch n.fate {
	case messaging.FateRetry:
		p.mark(th, mine, tickSent, fmt.Sprintf("the handler failed (%s), next try at %s", n.err, n.retryAt.Format(time.TimeOnly)))
		p.typed[n.messageID] = mine
		return
	case messaging.FateDead:
		p.mark(th, mine, tickFailed, "")
		p.add(th, &bubble{kind: bubbleRemark, text: "no reply: dead letter: " + n.err})
	case messaging.FateDone:
		p.mark(th, mine, tickDelivered, "")
		if len(n.sends) == 0 {
			p.add(th, &bubble{kind: bubbleRemark, text: "no reply: " + n.silence()})
		}
		for _, s := range n.sends {
			p.reply(th, s)
		}
	}
	delete(p.typed, n.messageID)
}

// silence says why nothing was decided to be sent.
func (n *inboundNews) silence() string {
	switch {
	case n.handler == messaging.HandlerPaused:
		return "the conversation is with a person, and paused"
	case n.handler != api.HandlerConsent:
		return fmt.Sprintf("no handler of %q decided to answer this", n.context)
	case consent.Classify(n.body, consent.State{}).Kind == consent.Start:
		return "you have not opted out, so that START changes nothing"
	}
	return "you have opted out, and get nothing but the answer to HELP until you text START"
}

// reply shows a send that the chain decided on.
func (p *phone) reply(th *thread, s replyNews) {
	if s.to != p.number {
		p.add(th, &bubble{kind: bubbleRemark, text: "a text to another number was sent: " + s.to.Masked()})
		return
	}
	body := s.body
	if s.media > 0 {
		body = fmt.Sprintf("%s [%d media]", body, s.media)
	}
	if s.status.Terminal() {
		p.add(th, &bubble{kind: bubbleRemark, text: fmt.Sprintf("no reply: %s (%s): %s", s.status, s.reason, body)})
		return
	}
	p.replies[s.id] = p.add(th, &bubble{kind: bubbleTheirs, text: body})
	th.unread++
}

// progressed moves the tick of a reply.
func (p *phone) progressed(s *messaging.SendTrace) {
	b := p.replies[s.ID]
	if b == nil {
		return
	}
	th := p.threadWith(b)
	switch {
	case s.Status == messaging.StatusDelivered:
		p.mark(th, b, tickDelivered, "")
	case s.Status.Terminal():
		note := string(s.Status)
		if s.Reason != "" {
			note += ": " + s.Reason
		}
		p.mark(th, b, tickFailed, note)
	case s.Status.Accepted():
		p.mark(th, b, tickSent, "")
	case s.Status == messaging.StatusInDoubt:
		p.mark(th, b, tickWaiting, "in doubt: no answer came, it may or may not have been sent")
	case s.Status == messaging.StatusQueued:
		p.mark(th, b, tickWaiting, s.Reason)
	}
	if s.Status.Terminal() {
		delete(p.replies, s.ID)
	}
}

func (p *phone) threadWith(b *bubble) *thread {
	for _, th := range p.threads {
		for i := len(th.bubbles) - 1; i >= 0; i-- {
			if th.bubbles[i] == b {
				return th
			}
		}
	}
	return nil
}

// mark changes a bubble's tick and note and tells it, if it is a change.
func (p *phone) mark(th *thread, b *bubble, t tick, note string) {
	if b.tick == t && b.note == note {
		return
	}
	b.tick, b.note = t, note
	p.tell(th, b, changeTick)
}

// phoneLine carries events from the engine, which must not wait, to whoever shows them. It
// is bounded: a flood, such as a load test against the same simulator, drops the oldest.
type phoneLine struct {
	mu     sync.Mutex
	events []phoneEvent
	wake   chan struct{}
}

const phoneLineLimit = 10_000

func newPhoneLine() *phoneLine { return &phoneLine{wake: make(chan struct{}, 1)} }

// put never blocks.
func (l *phoneLine) put(ev phoneEvent) {
	l.mu.Lock()
	if len(l.events) == phoneLineLimit {
		l.events = append(l.events[:0], l.events[phoneLineLimit/2:]...)
	}
	l.events = append(l.events, ev)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take gives everything put so far, in order.
func (l *phoneLine) take() []phoneEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	evs := l.events
	l.events = nil
	return evs
}

// trace is a messaging.Config.Trace.
func (l *phoneLine) trace(tr messaging.Trace) {
	switch {
	case tr.Inbound != nil:
		if n, ok := newInboundNews(tr.Inbound); ok {
			l.put(phoneEvent{inbound: n})
		}
	case tr.Send != nil:
		s := *tr.Send
		l.put(phoneEvent{send: &s})
	}
}

// contexts lists what can be texted.
func (p *phone) contexts() []string {
	names := make([]string, len(p.threads))
	for i, th := range p.threads {
		names[i] = th.context
	}
	return names
}

// first is the thread to begin with: that of the named context, or else of support, or else
// the first there is.
func (p *phone) first(named string) (int, error) {
	names := p.contexts()
	if named != "" && !slices.Contains(names, named) {
		return 0, exitf(ExitUsage, "--to: there is no context %q; there are: %s", named, strings.Join(names, ", "))
	}
	for _, want := range []string{named, "support"} {
		if i := slices.Index(names, want); i >= 0 {
			return i, nil
		}
	}
	return 0, nil
}
