package messaging

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// standings is where everybody stands, in memory: the ledger's states, and the numbers whose
// word is on its way into it. The states belong to the engine's goroutine; begin and end
// may be called by any.
type standings struct {
	loaded  bool
	cursor  int64 // of the ledger, up to which it was read
	reading bool
	again   bool // read once more after that

	states  map[standing]int64 // seq<<2 | review<<1 | opted out
	scopes  map[Scope]uint32   // those in use beside ScopeAll, from 1
	out     int
	reviews int

	mu       sync.Mutex
	changing map[Number]changes
	stopping atomic.Int32 // stops among them
}

// standing is a number in a scope. A million of them are held in some 40 MB.
type standing struct {
	number uint64
	scope  uint32
}

// changes counts a number's words that are decoded and not committed.
type changes struct{ stops, starts int }

var standingSeed = maphash.MakeSeed()

// packed makes a number small. Digits are unique; anything else is hashed, and two that
// collide are treated as one, which silences more than it should and never less.
func packed(n Number) uint64 {
	digits := n
	plus := uint64(0)
	if len(n) > 0 && n[0] == '+' {
		digits, plus = n[1:], 1
	}
	v := uint64(0)
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return maphash.String(standingSeed, string(n)) | 1<<63
		}
		v = v*10 + uint64(digits[i]-'0')
	}
	if len(digits) == 0 || len(digits) > 17 || digits[0] == '0' {
		return maphash.String(standingSeed, string(n)) | 1<<63
	}
	return v<<1 | plus
}

const (
	flagOut    = 1
	flagReview = 2
)

// apply takes over a state of the ledger unless a newer one is known.
func (s *standings) apply(st ConsentState) {
	if s.states == nil {
		s.states, s.scopes = map[standing]int64{}, map[Scope]uint32{}
	}
	key := standing{number: packed(st.Number)}
	if st.Scope != ScopeAll {
		if s.scopes[st.Scope] == 0 {
			s.scopes[st.Scope] = uint32(len(s.scopes) + 1)
		}
		key.scope = s.scopes[st.Scope]
	}
	was := s.states[key]
	if was>>2 >= st.Seq {
		return
	}
	now := st.Seq << 2
	if st.OptedOut {
		now |= flagOut
	}
	if st.Review {
		now |= flagReview
	}
	s.out += int(now&flagOut - was&flagOut)
	s.reviews += int(now&flagReview-was&flagReview) / flagReview
	s.states[key] = now
}

// of tells where a number stands towards one of ours in a context.
func (s *standings) of(theirs, ours Number, context string) (out, review bool) {
	if len(s.states) == 0 {
		return false, false
	}
	n := packed(theirs)
	flags := s.states[standing{number: n}]
	if len(s.scopes) > 0 {
		for _, scope := range [...]Scope{NumberScope(ours), ContextScope(context)} {
			if id := s.scopes[scope]; id != 0 {
				flags |= s.states[standing{n, id}] & (flagOut | flagReview)
			}
		}
	}
	return flags&flagOut != 0, flags&flagReview != 0
}

// in reports whether a number opted out in one scope.
func (s *standings) in(theirs Number, scope Scope) bool {
	id := uint32(0)
	if scope != ScopeAll {
		if id = s.scopes[scope]; id == 0 {
			return false
		}
	}
	return s.states[standing{packed(theirs), id}]&flagOut != 0
}

// begin notes that a number's word is on its way into the ledger. Until end nothing is sent
// to a number that said stop.
func (s *standings) begin(n Number, v ConsentVerb) { s.count(n, v, 1) }

// end follows the commit of a word, or its failure.
func (s *standings) end(n Number, v ConsentVerb) { s.count(n, v, -1) }

func (s *standings) count(n Number, v ConsentVerb, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.changing[n]
	switch v {
	case ConsentStop:
		s.stopping.Add(int32(by))
		c.stops += by
	case ConsentStart:
		c.starts += by
	}
	if c == (changes{}) {
		delete(s.changing, n)
		return
	}
	if s.changing == nil {
		s.changing = map[Number]changes{}
	}
	s.changing[n] = c
}

// pending tells which of a number's words are on their way.
func (s *standings) pending(n Number) changes {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changing[n]
}

// stopPause is how long a send waits whose recipient's stop is being written.
const stopPause = time.Second

// verdict says whether a send may leave as far as consent goes.
func (s *standings) verdict(now time.Time, snd *Send) Verdict {
	out, review := s.of(snd.To, snd.From, snd.Context)
	v := consentVerdict(now, snd, out, review)
	if !v.Go() && strings.HasPrefix(snd.Key, keyStart) && snd.Category == CategoryConsent {
		// The confirmation of a start is decided before the start is written. It leaves
		// only after that, when this is asked again.
		if p := s.pending(snd.To); p.starts > 0 && p.stops == 0 {
			return Verdict{}
		}
	}
	if v.Go() && s.stopping.Load() > 0 && s.pending(snd.To).stops > 0 && !consentVerdict(now, snd, true, false).Go() {
		return Verdict{Status: StatusQueued, Reason: ReasonOptedOut, Until: now.Add(stopPause)}
	}
	return v
}
