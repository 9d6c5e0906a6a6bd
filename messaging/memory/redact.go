package memory

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// Redact implements messaging.Redacter.
func (s *Store) Redact(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("remove the text of a message: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.findEvent(id); e != nil && e.ev.ID == id && e.ev.Kind == messaging.KindMessage {
		if e.fate == messaging.FateRetry {
			return messaging.ErrTooLate
		}
		s.redactEvent(e)
		return nil
	}
	named, err := uuid.Parse(id)
	if err != nil {
		return messaging.ErrUnknown
	}
	d := s.findSend(named)
	switch {
	case d == nil:
		return messaging.ErrUnknown
	case s.sends[d.ID] == d:
		return messaging.ErrTooLate
	case !d.forgotten:
		s.forgetText(d)
	}
	s.everyEvent(func(e *event) bool { // its states, whose frames may hold the text
		if e.ev.Send != nil && e.ref.ID == d.ID && e.fate != messaging.FateRetry {
			s.redactEvent(e)
		}
		return true
	})
	return nil
}

func (s *Store) redactEvent(e *event) {
	if !e.forgotten && (e.ev.Body != "" || len(e.ev.Media)+len(e.ev.Frame) > 0) {
		s.forgetEvent(e)
	}
}

// forgetText removes the text of a send that is finished.
func (s *Store) forgetText(d *send) {
	d.Body, d.Media, d.forgotten = "", nil, true
	size := sendSize(&d.Send)
	s.left.shrink(d.size - size)
	d.size = size
}
