package relay

import (
	"context"
	"errors"
	"time"
)

// clock is the session clock.
func (s *session) clock() int64 { return int64(time.Since(s.born)) }

// keepAlive proves that the peer is there. It pings when the session begins
// (which measures the round trip), when nothing has been heard for the silence
// timeout, when nothing of ours has been answered for as long, and when asked.
//
// Silence with the ping unanswered ends the session. Frames that come while
// the ping is not answered end it only if this peer has answered pings before:
// then our own direction is broken. A peer that never answers them, but sends,
// is alive.
func (s *session) keepAlive(ctx context.Context) {
	silence := int64(s.c.cfg.SilenceTimeout)
	t := time.NewTimer(0)
	defer t.Stop()
	due := true
	var asked int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.probe:
			due = true
		case <-t.C:
		}
		now := s.clock()
		if due || now-s.lastFrame.Load() >= silence || now-max(asked, s.lastAnswer.Load()) >= silence {
			due = false
			asked = now
			if !s.ping(ctx) {
				return
			}
			now = s.clock()
		}
		s.forget(now)
		t.Reset(time.Duration(min(s.lastFrame.Load(), max(asked, s.lastAnswer.Load())) + silence - now))
	}
}

// ping makes one probe, and reports whether the session goes on.
func (s *session) ping(ctx context.Context) bool {
	sent := s.clock()
	_, err := s.exchange(ctx, "signalwire.ping", struct {
		Timestamp float64 `json:"timestamp"`
	}{float64(time.Now().UnixMilli()) / 1000}, s.c.cfg.ProbeTimeout, control)
	var refused *Error
	switch {
	case err == nil, errors.As(err, &refused): // even a no is an answer
		now := s.clock()
		s.pongAt.Store(max(now, 1))
		s.rtt.Store(now - sent)
		return true
	case ctx.Err() != nil:
		return false
	case s.lastFrame.Load() <= sent:
		s.end(reasonSilent, errSilent)
		return false
	case s.pongAt.Load() > 0:
		s.end(reasonUnheard, errUnheard)
		return false
	}
	return true
}

// requestProbe makes keepAlive ping now.
func (s *session) requestProbe() {
	select {
	case s.probe <- struct{}{}:
	default: // one is asked for already
	}
}

// Probe pings the platform now instead of after a silence. Call it when
// something else suggests that the connection is dead, such as a request
// without its answer. It returns at once and does nothing without a session.
func (c *Client) Probe() {
	if s := c.current.Load(); s != nil {
		s.requestProbe()
	}
}
