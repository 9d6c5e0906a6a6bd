package sqlite

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// The states that are kept for a report to come (R45).
const (
	maxEarly    = 10_000
	maxEarlyAge = 10 * time.Minute
)

// early holds the states that overtook their report. They are marked in the journal too,
// where a new process finds them.
type early struct {
	byMessage map[string][]earlyState
	order     []earlyMark // the oldest first; those that were merged are skipped
	head      int
	count     int
}

type earlyState struct {
	seq   int64
	state messaging.State
	at    time.Time
}

type earlyMark struct {
	seq     int64
	message string
}

func (e *early) add(message string, st earlyState) {
	e.byMessage[message] = append(e.byMessage[message], st)
	e.order = append(e.order, earlyMark{st.seq, message})
	e.count++
}

// oldest is the state that waits longest; false if there is none.
func (e *early) oldest() (earlyMark, earlyState, bool) {
	for ; e.head < len(e.order); e.head++ {
		m := e.order[e.head]
		if states := e.byMessage[m.message]; len(states) > 0 && states[0].seq == m.seq {
			return m, states[0], true
		}
	}
	e.order, e.head = e.order[:0], 0
	return earlyMark{}, earlyState{}, false
}

// dropOldest forgets what oldest gave.
func (e *early) dropOldest(m earlyMark) {
	if states := e.byMessage[m.message][1:]; len(states) > 0 {
		e.byMessage[m.message] = states
	} else {
		delete(e.byMessage, m.message)
	}
	e.count--
	if e.head++; e.head > maxEarly {
		e.order = append(e.order[:0], e.order[e.head:]...)
		e.head = 0
	}
}

// take removes and returns the states of a message.
func (e *early) take(message string) []earlyState {
	states := e.byMessage[message]
	delete(e.byMessage, message)
	e.count -= len(states)
	return states
}

// keepEarly makes room for one more early state: the oldest go, by age and by count.
func (s *Store) keepEarly(now time.Time) error {
	for {
		m, st, ok := s.early.oldest()
		if !ok || s.early.count < maxEarly && now.Sub(st.at) <= maxEarlyAge {
			return nil
		}
		if err := s.w.unearly.exec(st.seq, nil); err != nil {
			return err
		}
		s.early.dropOldest(m)
	}
}

// takeEarly gives the states that came for a message before anybody knew that it is the
// attempt's.
func (s *Store) takeEarly(message string, attempt uuid.UUID, now time.Time) ([]messaging.State, error) {
	if s.early.count == 0 {
		return nil, nil
	}
	var states []messaging.State
	for _, st := range s.early.take(message) {
		if err := s.w.unearly.exec(st.seq, id(attempt)); err != nil {
			return nil, err
		}
		if now.Sub(st.at) <= maxEarlyAge {
			states = append(states, st.state)
		}
	}
	return states, nil
}

// recallEarly reads the early states back from the journal. Their age counts from their
// arrival there.
func (s *Store) recallEarly() error {
	s.early = early{byMessage: map[string][]earlyState{}}
	rows, err := s.read.QueryContext(context.Background(), `SELECT seq, message_id, state, received_at FROM events WHERE early = 1 ORDER BY seq`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var st earlyState
		var message string
		var at int64
		if err := rows.Scan(&st.seq, &message, &st.state, &at); err != nil {
			return err
		}
		st.at = toTime(at)
		s.early.add(message, st)
	}
	return rows.Err()
}
