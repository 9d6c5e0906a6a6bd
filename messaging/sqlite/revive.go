package sqlite

import (
	"database/sql/driver"

	"github.com/signpost-sms/signpost/messaging"
)

// revive makes a dead letter live again, or lets it go. One whose text was removed has
// nothing to run a chain on, and can only be let go.
func (s *Store) revive(v *messaging.Revive) error {
	v.Done, v.Event = false, nil
	f, found, err := s.event(v.EventID, hashOf(kindEvent, v.EventID))
	if !found || err != nil {
		return err
	}
	var changed int64
	if v.Drop {
		changed, err = s.w.drop.changes(f.seq, s.stamp)
	} else {
		changed, err = s.w.revive.changes(f.seq)
	}
	if v.Done = changed > 0; !v.Done || v.Drop || err != nil {
		return err
	}
	if err := s.straggle("events", f.seq); err != nil {
		return err
	}
	return s.readRevived(v, f.seq)
}

// revived completes the result of a revival in a batch that comes again.
func (s *Store) revived(v *messaging.Revive) error {
	v.Event = nil
	if v.Drop || !v.Done {
		return nil
	}
	f, found, err := s.event(v.EventID, hashOf(kindEvent, v.EventID))
	if !found || err != nil {
		return err
	}
	return s.readRevived(v, f.seq)
}

func (s *Store) readRevived(v *messaging.Revive, seq int64) error {
	var row [eventWidth]driver.Value
	found, err := s.w.eventAt.row(row[:], seq)
	if !found || err != nil {
		return err
	}
	v.Event, err = toEvent(row[:])
	return err
}
