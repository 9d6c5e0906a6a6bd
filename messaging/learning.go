package messaging

import (
	"errors"
	"time"
)

// consented follows the commit of changes: from now on the gate knows.
func (e *Engine) consented(cs []*ConsentChange) {
	for _, c := range cs {
		if c.State.Seq == 0 {
			continue // it was left out
		}
		e.standing.apply(c.State)
		e.cfg.Metrics.consent.WithLabelValues(string(c.Verb), orDefault(c.Tier, string(c.Origin))).Inc()
		if c.Verb == ConsentStop && !c.ReceivedAt.IsZero() {
			e.cfg.Metrics.stopLatency.Observe(max(e.now.Sub(c.ReceivedAt).Seconds(), 0))
		}
		if len(c.Crossing) > 0 {
			e.cfg.Logger.Warn("sends were on the wire when their recipient opted out; the ledger marks them", "sends", len(c.Crossing))
		}
	}
}

var errNoLedger = errors.New("messaging: the store keeps no ledger of consent; every store must implement ConsentLedger")

// consentPage is how many states one reading of the ledger brings.
const consentPage = 10_000

// learnConsent reads what the ledger says and this process does not know yet: everything at
// the start, before anything is handled or sent, and of a shared store what others added.
func (e *Engine) learnConsent() {
	s := &e.standing
	ledger, ok := e.store.(ConsentLedger)
	if !ok {
		e.fail(errNoLedger)
		return
	}
	if s.reading {
		s.again = true
		return
	}
	s.reading, s.again = true, false
	after, wait := s.cursor, journalRetryFirst
	e.journal.group.Go(func() {
		for {
			page, err := ledger.Consents(e.reading, after, consentPage)
			if err == nil {
				e.post(func() { e.learned(page) })
				return
			}
			if e.reading.Err() == nil {
				e.cfg.Logger.Warn("ledger of consent cannot be read", "err", err)
			}
			select {
			case <-e.reading.Done():
				return
			case <-time.After(wait):
				wait = min(2*wait, journalRetryMost)
			}
		}
	})
}

func (e *Engine) learned(page []ConsentState) {
	s := &e.standing
	for _, st := range page {
		s.apply(st)
		s.cursor = st.Seq
	}
	s.reading = false
	switch {
	case len(page) == consentPage || s.again:
		e.learnConsent()
	case !s.loaded:
		s.loaded = true
		if s.out > 0 {
			e.cfg.Logger.Info("ledger of consent read", "opted_out", s.out, "in_review", s.reviews)
		}
	}
}
