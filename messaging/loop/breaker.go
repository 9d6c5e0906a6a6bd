package loop

import (
	"container/list"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// The reasons of refusals; they are stable, and a metric's labels.
const (
	Loop             = "loop"
	DuplicateContent = "duplicate_content"
)

// What tells a machine from a person, and what follows.
const (
	// FastTurns answers running in less than FastTurn after ours are a machine's.
	FastTurn  = 2 * time.Second
	FastTurns = 5
	// Echoes inbounds running that contain a text of ours of at least EchoLength letters
	// are a machine's. Shorter ones are what people say too.
	Echoes     = 3
	EchoLength = 12
	// Repeats inbounds running with the same text, none RepeatGap after the one before,
	// are a machine's, and the last of them is not answered.
	Repeats   = 6
	RepeatGap = 10 * time.Minute
	// MostReplies in CapWindow are what a conversation gets at the most.
	MostReplies = 30
	CapWindow   = time.Minute
	// FirstPause is for how long a machine is not answered at first. It doubles each time,
	// up to LastPause, and starts again after LastPause without an incident.
	FirstPause = time.Minute
	LastPause  = 24 * time.Hour
)

// Conv is a conversation: our number and theirs.
type Conv struct{ Ours, Theirs string }

// Verdict is the answer to one question.
type Verdict struct {
	OK     bool
	Reason string    // Loop or DuplicateContent; empty if OK
	Rule   string    // the id of the rule that decided; empty if OK
	Until  time.Time // when it might be OK; zero for OK and for never
}

// Config tunes a Breaker. The zero value of every field means its documented default.
type Config struct {
	// Conversations bounds how many are remembered; the one that was quiet longest is
	// forgotten first. Default 50,000.
	Conversations int
	// Own reports whether a number is one of ours. Default: none is. It is called under a
	// lock and must not block.
	Own func(number string) bool
}

// Breaker keeps what is known of each conversation. Make one with [New]; it may be used by
// many goroutines.
type Breaker struct {
	cfg Config

	mu     sync.Mutex
	states map[Conv]*list.Element // of *state
	recent *list.List             // the latest first
}

// state is what is known of a conversation.
type state struct {
	conv Conv

	replies  []time.Time // that left within CapWindow
	texts    [3]string   // of the last replies, normal
	next     int         // in texts
	replied  time.Time   // when the last reply left
	awaiting bool        // it left after the last inbound
	before   turn        // replied and awaiting as they were without the last reply

	inbound  string // the last one's text, normal
	heard    time.Time
	turns    int // fast ones running
	echoes   int // running
	repeats  int // running
	pauses   int // how many there were
	until    time.Time
	incident string // the rule that made the pause
}

// turn is whose turn it is to write, and since when.
type turn struct {
	replied  time.Time
	awaiting bool
}

// New makes a Breaker.
func New(cfg Config) *Breaker {
	if cfg.Conversations <= 0 {
		cfg.Conversations = 50_000
	}
	if cfg.Own == nil {
		cfg.Own = func(string) bool { return false }
	}
	return &Breaker{cfg: cfg, states: map[Conv]*list.Element{}, recent: list.New()}
}

// Inbound tells of a text message from a person, or a machine. Tell the time at which it was
// sent if that is known: a backlog that arrives at once was not.
func (b *Breaker) Inbound(now time.Time, conv Conv, body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.state(conv)
	text := normal(body)
	if s.awaiting {
		if d := now.Sub(s.replied); d >= 0 && d < FastTurn {
			s.turns++
		} else {
			s.turns = 0
		}
	}
	if s.echo(text) {
		s.echoes++
	} else {
		s.echoes = 0
	}
	if text == "" || text != s.inbound || now.Sub(s.heard) >= RepeatGap {
		s.repeats = 0
	}
	s.repeats++
	s.inbound, s.heard, s.awaiting = text, now, false
	if rule := s.machine(); rule != "" && !now.Before(s.until) {
		s.pause(now, rule)
	}
}

// machine names the rule by which the other side is one; empty if it may be a person.
func (s *state) machine() string {
	switch {
	case s.turns >= FastTurns:
		return "loop.turnaround"
	case s.echoes >= Echoes:
		return "loop.echo"
	case s.repeats >= Repeats:
		return "loop.repeat"
	}
	return ""
}

// pause ends the replies for a while, after which the other side has a new chance.
func (s *state) pause(now time.Time, rule string) {
	if now.Sub(s.until) >= LastPause {
		s.pauses = 0
	}
	d := LastPause
	if s.pauses < 12 {
		d = min(FirstPause<<s.pauses, LastPause)
	}
	s.pauses++
	s.until, s.incident = now.Add(d), rule
	s.turns, s.echoes, s.repeats = 0, 0, 0
}

// Reply asks whether a reply may leave. If it may, it counts as having left. One that may not is
// to be dropped, not kept: what it answers has passed.
func (b *Breaker) Reply(now time.Time, conv Conv, body string) Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.Own(conv.Theirs) {
		return Verdict{Reason: Loop, Rule: "loop.own_number"}
	}
	s := b.state(conv)
	if now.Before(s.until) {
		return Verdict{Reason: Loop, Rule: s.incident, Until: s.until}
	}
	gone := 0
	for gone < len(s.replies) && now.Sub(s.replies[gone]) >= CapWindow {
		gone++
	}
	s.replies = s.replies[:copy(s.replies, s.replies[gone:])]
	if len(s.replies) >= MostReplies {
		return Verdict{Reason: Loop, Rule: "loop.cap", Until: s.replies[0].Add(CapWindow)}
	}
	s.replies = append(s.replies, now)
	s.texts[s.next] = normal(body)
	s.next = (s.next + 1) % len(s.texts)
	s.before = turn{s.replied, s.awaiting}
	s.replied, s.awaiting = now, true
	return Verdict{OK: true}
}

// Cancel takes back a reply that was let go at that time and did not leave after all.
func (b *Breaker) Cancel(at time.Time, conv Conv, body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.states[conv]
	if e == nil {
		return
	}
	s := e.Value.(*state)
	for i := len(s.replies) - 1; i >= 0; i-- {
		if !s.replies[i].Equal(at) {
			continue
		}
		s.replies = append(s.replies[:i], s.replies[i+1:]...)
		if last := (s.next + len(s.texts) - 1) % len(s.texts); s.texts[last] == normal(body) {
			s.texts[last], s.next = "", last
		}
		if s.replied.Equal(at) {
			s.replied, s.awaiting = s.before.replied, s.before.awaiting && s.awaiting
		}
		return
	}
}

// echo reports whether a text contains one of our last.
func (s *state) echo(text string) bool {
	for _, ours := range s.texts {
		if len(ours) >= EchoLength && strings.Contains(text, ours) {
			return true
		}
	}
	return false
}

// state finds or begins a conversation, and forgets another where there are too many.
func (b *Breaker) state(conv Conv) *state {
	if e := b.states[conv]; e != nil {
		b.recent.MoveToFront(e)
		return e.Value.(*state)
	}
	// The strings outlive the call, and must not hold on to what they were cut out of.
	both := conv.Ours + conv.Theirs
	conv = Conv{both[:len(conv.Ours)], both[len(conv.Ours):]}
	if len(b.states) < b.cfg.Conversations {
		s := &state{conv: conv}
		b.states[conv] = b.recent.PushFront(s)
		return s
	}
	e := b.recent.Back()
	s := e.Value.(*state)
	delete(b.states, s.conv)
	*s = state{conv: conv, replies: s.replies[:0]}
	b.recent.MoveToFront(e)
	b.states[conv] = e
	return s
}

// longestText is how much of a text is compared, in bytes of its normal form.
const longestText = 160

// normal is a text without case and space, cut off where it is long.
func normal(text string) string {
	var buf [longestText + utf8.UTFMax]byte
	b := buf[:0]
	for _, r := range text {
		switch {
		case r == ' ' || r >= '\t' && r <= '\r':
			continue
		case 'A' <= r && r <= 'Z':
			b = append(b, byte(r)+'a'-'A')
		case r < utf8.RuneSelf:
			b = append(b, byte(r))
		case unicode.IsSpace(r):
			continue
		default:
			b = utf8.AppendRune(b, unicode.ToLower(r))
		}
		if len(b) >= longestText {
			break
		}
	}
	return string(b)
}
