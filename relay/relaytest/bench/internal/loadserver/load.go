package loadserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxRefill bounds what one step injects, and with it the time that the lock is held.
const maxRefill = 1024

// Flags of an inbound.
const (
	acked      uint8 = 1 << iota
	replied          // answered at least once
	writtenOff       // no longer awaited
	answerLost       // a cut took the platform's answer to the reply before it was written
)

// load is the account of the inbounds. Its fields are guarded by Server.mu.
type load struct {
	senders     int
	start, now  time.Time
	next        int   // inbounds injected so far: the number of the next one
	outstanding int   // injected, awaited, not written off
	awaited     uint8 // the flag that lets the next inbound in: replied, in a backlog acked
	replies     int   // inbounds answered
	sends       int   // messaging.send accepted
	lastReply   time.Time
	lastSend    time.Time
	oldest      int // no inbound below it is awaited

	injectedAt []time.Duration // since start
	latencies  []time.Duration // of answered inbounds, in order of their answers
	flags      []uint8
	delivery   []uint16 // of the newest delivery of an inbound
	carrier    []int32  // connection that it went to
	lastOf     []int    // per sender: the newest inbound answered so far, plus one
}

// Load injects the inbounds and returns the account when all are answered or given up on. It is called once, after
// WaitSubscribed. When ctx ends first, the account so far comes with an error.
func (s *Server) Load(ctx context.Context) (Result, error) {
	n := s.cfg.Messages
	now := time.Now()
	l := &load{
		senders: s.cfg.Senders, start: now, now: now, lastReply: now, lastSend: now,
		injectedAt: make([]time.Duration, n),
		latencies:  make([]time.Duration, 0, n),
		flags:      make([]uint8, n),
		delivery:   make([]uint16, n),
		carrier:    make([]int32, n),
		lastOf:     make([]int, s.cfg.Senders),
		awaited:    replied,
	}
	if s.cfg.Backlog {
		l.awaited = acked
	}
	s.mu.Lock()
	if s.load != nil {
		s.mu.Unlock()
		return Result{}, errors.New("the load server serves one load")
	}
	s.load = l
	s.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	injected := make(chan struct{})
	s.goroutines.Go(func() {
		defer close(injected)
		if s.cfg.Rate > 0 {
			s.pace(ctx)
		} else {
			s.fill()
		}
	})
	stalled, err := s.watch(ctx)
	cancel()
	if stalled || err != nil {
		s.hangUp() // the injector may be waiting for a client that reads no more
	}
	<-injected

	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Stalled = stalled
	return l.account(s.result), err
}

// Answered is how many inbounds have been answered so far.
func (s *Server) Answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.load == nil {
		return 0
	}
	return s.load.replies
}

// fill brings the closed loop to its number outstanding; from then on each answer lets the next inbound in.
func (s *Server) fill() {
	for {
		s.mu.Lock()
		more := s.refillLocked(maxRefill)
		c := s.active
		s.mu.Unlock()
		if c != nil {
			c.flush()
		}
		if !more {
			return
		}
	}
}

// pace injects at the configured rate.
func (s *Server) pace(ctx context.Context) {
	start := time.Now()
	for i := 0; i < s.cfg.Messages && ctx.Err() == nil; i++ {
		sleepUntil(start.Add(time.Duration(float64(i) / s.cfg.Rate * float64(time.Second))))
		s.mu.Lock()
		c := s.active
		if c == nil {
			s.mu.Unlock()
			i-- // nobody to send to: the platform would lose it, and there would be nothing to measure
			sleepUntil(time.Now().Add(time.Millisecond))
			continue
		}
		s.load.now = time.Now()
		s.injectLocked(c)
		s.mu.Unlock()
		c.flush()
	}
}

// watch returns when the load is over, and gives up on what the client does not answer.
func (s *Server) watch(ctx context.Context) (stalled bool, err error) {
	const step = 2 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("serve the load: %w", context.Cause(ctx))
		case <-s.closed:
			return false, errors.New("the load server is closed")
		case <-ticker.C:
		}
		now := time.Now()
		s.mu.Lock()
		l := s.load
		l.giveUp(now.Add(-s.cfg.Patience).Sub(l.start))
		over := l.next == s.cfg.Messages && l.outstanding == 0 && (!s.cfg.Backlog || l.replies == l.next)
		quiet := now.Sub(l.lastSend) >= s.cfg.Linger
		stalled = !over && now.Sub(l.lastReply) >= 2*s.cfg.Patience
		before := l.next
		s.refillLocked(maxRefill)
		c, refilled := s.active, l.next > before
		s.mu.Unlock()
		if stalled || (over && quiet) {
			return stalled, nil
		}
		if refilled {
			c.kickFlusher()
		}
	}
}

// giveUp stops waiting for what was injected before the deadline.
func (l *load) giveUp(deadline time.Duration) {
	for ; l.oldest < l.next; l.oldest++ {
		if l.flags[l.oldest]&(l.awaited|writtenOff) == 0 {
			if l.injectedAt[l.oldest] > deadline {
				return
			}
			l.writeOff(l.oldest)
		}
	}
}

// refillLocked injects what the closed loop has room for, at most limit inbounds, and reports whether there is more.
func (s *Server) refillLocked(limit int) (more bool) {
	c := s.active
	if c == nil || s.load == nil || s.cfg.Rate > 0 {
		return false
	}
	for s.load.next < s.cfg.Messages && s.load.outstanding < s.cfg.Outstanding {
		if limit == 0 {
			return true
		}
		limit--
		s.injectLocked(c)
	}
	return false
}

func (s *Server) injectLocked(c *conn) {
	l := s.load
	i := l.next
	l.next++
	l.outstanding++
	l.injectedAt[i] = l.now.Sub(l.start)
	l.carrier[i] = int32(c.number)
	c.out = s.appendInbound(c.out, i, 0)
}

// resumeLocked gives a new connection what the platform still has for it, and forgets what it has not.
func (s *Server) resumeLocked(c *conn) {
	l := s.load
	for n := range s.sends {
		send := &s.sends[n]
		again := s.cfg.Redeliver && send.carrier != int32(c.number) && !(send.ackedSent && send.ackedDelivered)
		if send.owed || again {
			s.statesLocked(n)
		}
	}
	dropped := func(i int) bool { return l.flags[i]&acked == 0 && l.carrier[i] != int32(c.number) }
	for i := range l.flags[:l.next] {
		switch {
		case !dropped(i):
		case !s.cfg.Redeliver:
			l.writeOff(i)
		case l.delivery[i] < maxDelivery:
			l.delivery[i]++
			l.carrier[i] = int32(c.number)
			c.out = s.appendInbound(c.out, i, int(l.delivery[i]))
		}
	}
}

// writeOff gives up on an inbound, if it is awaited.
func (l *load) writeOff(i int) {
	if l.flags[i]&(l.awaited|writtenOff) == 0 {
		l.flags[i] |= writtenOff
		l.outstanding--
	}
}

// reach sets a flag of an inbound, which lets the next one in if it is the awaited one.
func (l *load) reach(i int, flag uint8) {
	if flag == l.awaited && l.flags[i]&(flag|writtenOff) == 0 {
		l.outstanding--
	}
	l.flags[i] |= flag
}

// acked accounts for the acknowledgement of an inbound.
func (l *load) acked(c *conn, id id, r *Result) {
	if id.delivery != int(l.delivery[id.number]) || c.number != int(l.carrier[id.number]) {
		r.StaleAcks++
		return
	}
	if l.flags[id.number]&acked != 0 {
		r.DuplicateAcks++
	}
	l.reach(id.number, acked)
}

// answered accounts for a send. The number is -1 when it answers no inbound; first is true for the first answer to one.
func (l *load) answered(from, to, context, body []byte, r *Result) (number int, first bool) {
	l.lastSend = l.now
	number = numberIn(body)
	if number < 0 || number >= l.next {
		r.Strangers++
		return -1, false
	}
	sender := number % l.senders
	var buf [len(senderPrefix) + 4]byte
	if i := sender % len(Contexts); !bytes.Equal(to, appendSender(buf[:0], sender)) || string(from) != ourNumbers[i] ||
		(len(context) > 0 && string(context) != Contexts[i]) {
		r.Misdirected++
	}
	if l.flags[number]&replied != 0 {
		r.Repeats++
		if l.flags[number]&answerLost == 0 {
			r.NeedlessRepeats++
		}
		l.flags[number] &^= answerLost // for the next repeat this one's answer counts
		return number, false
	}
	l.reach(number, replied)
	l.replies++
	l.lastReply = l.now
	l.latencies = append(l.latencies, l.now.Sub(l.start)-l.injectedAt[number])
	if number < l.lastOf[sender] {
		r.Inversions++
	} else {
		l.lastOf[sender] = number + 1
	}
	return number, true
}

// numberIn returns the number of the inbound that a body contains, or -1.
func numberIn(body []byte) int {
	at := bytes.Index(body, []byte(bodyPrefix))
	if at < 0 || len(body) < at+len(bodyPrefix)+bodyDigits {
		return -1
	}
	n := 0
	for _, c := range body[at+len(bodyPrefix):][:bodyDigits] {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// account completes the result.
func (l *load) account(r Result) Result {
	r.Messages, r.Answered = l.next, l.replies
	r.Elapsed = l.lastReply.Sub(l.start)
	for _, flags := range l.flags[:l.next] {
		switch flags & (acked | replied) {
		case acked:
			r.UnansweredAcked++
		case replied:
			r.Unacked++
		case 0:
			r.UnansweredUnacked++
		}
	}
	sorted := slices.Clone(l.latencies)
	slices.Sort(sorted)
	r.P50, r.P99 = percentile(sorted, 0.50), percentile(sorted, 0.99)
	return r
}

// percentile returns the nearest-rank percentile of sorted values, 0 without any.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}
