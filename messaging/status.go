package messaging

import (
	"log/slog"
	"time"
)

// statusEvery is how old a published Status may grow; a scrape or a readiness check is not
// more frequent than that.
const statusEvery = time.Second

// EngineStatus is a snapshot of the engine, at most about a second old.
type EngineStatus struct {
	At time.Time // when it was taken; a live engine renews it every second

	JournalWritable bool
	JournalError    string // why not
	Draining        bool
	Spilling        bool // events wait in the store because memory is full, or a former process left them

	UnjournaledBytes int64 // frames that wait for the store
	HeldBytes        int64 // journaled events that wait in memory
	HandlersRunning  int64
	HandlersHung     int64 // given up and not returned

	SendsQueued     int
	SendsUnanswered int
	InDoubt         int

	Paused int // conversations that a person has taken over

	OptedOut int // numbers, each counted in every scope in which it opted out
	InReview int // numbers about whose consent a person has to decide

	// The accounting identity since the start of the process, for what arrived and what was
	// taken out of the store: Received = Answered +
	// NothingWanted + Suppressed + Expired + Failed + Dead + Waiting, where Waiting are the
	// inbounds with a handler or a reply still to come, doubts included. Unaccounted is the
	// difference, and it is 0.
	Received, Duplicates                                                int64
	Answered, NothingWanted, Suppressed, Expired, Failed, Dead, Waiting int64
	Unaccounted                                                         int64
}

// Status tells how the engine is doing. It may be called at any time and never blocks.
func (e *Engine) Status() EngineStatus {
	s := *e.publish.Load()
	s.UnjournaledBytes = e.unjournaled.Load()
	s.HandlersRunning, s.HandlersHung = e.running.Load(), e.abandoned.Load()
	return s
}

// refresh publishes the state of the engine's goroutine.
func (e *Engine) refresh() {
	e.published = e.now
	c := &e.tallies
	s := &EngineStatus{
		At:              e.now,
		JournalWritable: e.journal.healthy,
		Draining:        e.draining,
		Spilling:        e.spill.on,
		HeldBytes:       e.held,
		SendsQueued:     e.out.live - e.out.unanswered - e.out.doubting,
		SendsUnanswered: e.out.unanswered,
		InDoubt:         e.out.doubting + e.out.forgotten,
		Paused:          e.marks.paused,
		OptedOut:        e.standing.out,
		InReview:        e.standing.reviews,
		Received:        c.received, Duplicates: c.duplicates,
		Answered: c.answered, NothingWanted: c.nothing, Suppressed: c.suppressed, Expired: c.expired,
		Failed: c.failed, Dead: c.dead, Waiting: c.open + c.waiting,
	}
	s.Unaccounted = s.Received - s.Answered - s.NothingWanted - s.Suppressed - s.Expired - s.Failed - s.Dead - s.Waiting
	if e.journal.why != nil {
		s.JournalError = e.journal.why.Error()
	}
	e.publish.Store(s)
	e.debug = e.cfg.Logger.Enabled(background, slog.LevelDebug)
	e.cfg.Metrics.waiting(e.oldestWaiting(), e.now)
	e.cfg.Metrics.reviews.Set(float64(e.standing.reviews))
	e.marks.sweep(e.now)
	e.cfg.Metrics.paused.Set(float64(e.marks.paused))
}

// oldestWaiting finds, by priority, since when the oldest send waits to leave.
func (e *Engine) oldestWaiting() (since [PriorityBulk + 1]time.Time) {
	for _, t := range e.conv {
		for _, f := range t.sends {
			if s := &since[f.out.Priority]; s.IsZero() || f.out.CreatedAt.Before(*s) {
				*s = f.out.CreatedAt
			}
		}
	}
	return since
}
