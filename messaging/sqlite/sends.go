package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// planned is a send that will be inserted, and how its key is stored. The key that the
// engine gives to a reply follows from the event, which decides only once: it needs no
// place of its own in an index.
type planned struct {
	out     *messaging.Outgoing
	hash    int64 // of the key
	ordinal int64 // in place of the key
	reply   bool  // the key is in_reply_to#ordinal
}

// plan finds out which sends of an outcome are inserted: none but those of one that ended
// well, and not those whose key is taken.
func (s *Store) plan(ev *messaging.Event, o *messaging.Outcome) ([]planned, error) {
	notInserted(o.Sends)
	if o.Fate != messaging.FateDone {
		return nil, nil
	}
	var plans []planned
	for _, out := range o.Sends {
		p, err := s.planOne(ev, out)
		if err != nil {
			return nil, err
		}
		if p.out == nil || out.Key != "" && repeats(plans, out.Key) {
			continue
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func repeats(plans []planned, key string) bool {
	for _, p := range plans {
		if p.out.Key == key {
			return true
		}
	}
	return false
}

var errShape = errors.New("a new send is claimed with an attempt, queued, or final, and has an id")

// planOne plans one send; its out is nil if the key is taken. ev is the event that decided
// it, or nil.
func (s *Store) planOne(ev *messaging.Event, out *messaging.Outgoing) (planned, error) {
	claimed, queued := out.Status == messaging.StatusSending, out.Status == messaging.StatusQueued
	if out.ID == uuid.Nil || (out.Attempt != nil) != claimed || !claimed && !queued && !out.Status.Terminal() {
		return planned{}, errShape
	}
	p := planned{out: out}
	if out.Key == "" {
		return p, nil
	}
	p.hash = hashOf(kindKey, out.Key)
	if ev != nil && out.InReplyTo == ev.ID {
		if of, n, ok := replyKey(out.Key); ok && of == ev.ID {
			p.reply, p.ordinal = true, n
		}
	}
	_, taken, err := s.key(out.Key, p.hash, !p.reply)
	if taken || err != nil {
		return planned{}, err
	}
	return p, nil
}

// replyKey takes the engine's key of a reply apart: the event's id and the ordinal.
func replyKey(key string) (event string, ordinal int64, ok bool) {
	i := strings.LastIndexByte(key, '#')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(key[i+1:], 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != key[i+1:] {
		return "", 0, false
	}
	return key[:i], int64(n), true
}

// key finds the send that has a key, among the replies too if it may be one's.
func (s *Store) key(key string, hash int64, replies bool) (seq int64, found bool, err error) {
	var row [1]driver.Value
	if !s.ids.new(hash) {
		found, err = s.find(hash, kindKey, func(seq int64) (bool, error) { return s.w.findKey.row(row[:], seq, key) })
		if found || err != nil {
			return toInt(row[0]), found, err
		}
	}
	if !replies {
		return 0, false, nil
	}
	of, n, ok := replyKey(key)
	if !ok {
		return 0, false, nil
	}
	ev, known, err := s.event(of, hashOf(kindEvent, of))
	if !known || err != nil {
		return 0, false, err
	}
	found, err = s.w.findReply.row(row[:], ev.from, ev.afterEnd, n)
	return toInt(row[0]), found, err
}

func (s *Store) insertPlanned(plans []planned) error {
	for i := range plans {
		if err := s.insert(&plans[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) insert(p *planned) error {
	o := p.out
	seq := s.next.send
	s.next.send++
	var key, ordinal driver.Value
	switch {
	case p.reply:
		ordinal = p.ordinal
	case o.Key != "":
		key = o.Key
		s.ids.add(p.hash, kindKey, seq)
	}
	media, err := list(o.Media)
	if err != nil {
		return err
	}
	tags, err := list(o.Tags)
	if err != nil {
		return err
	}
	custom, err := object(o.Custom)
	if err != nil {
		return err
	}
	status, err := encode(statuses, o.Status)
	if err != nil {
		return err
	}
	body := text(o.Body)
	if o.Secret && o.Status.Terminal() {
		body = "" // it will never leave
	}
	var attemptID, attemptNumber, claimedAt, outcome driver.Value
	if a := o.Attempt; a != nil {
		attemptID, attemptNumber, claimedAt, outcome = id(a.ID), int64(a.Number), millis(a.ClaimedAt), codeOpen
	}
	err = s.w.insertSend.exec(seq, id(o.ID), key, ordinal, text(o.Context), text(o.From), text(o.To), body, media, tags,
		number(o.Priority), text(o.Category), dueAt(o.NotBefore), millis(o.ExpiresAt), text(o.InReplyTo), millis(o.CreatedAt),
		status, text(o.Reason), attemptID, attemptNumber, claimedAt, outcome, text(o.Callback), custom, truth(o.Secret))
	if err != nil {
		return fmt.Errorf("insert send %v: %w", o.ID, err)
	}
	o.Inserted = true
	if o.Attempt != nil {
		s.opened(&attempt{id: o.Attempt.ID, send: o.ID, seq: seq, inReplyTo: o.InReplyTo, callback: o.Callback != "", status: o.Status, newest: true, outcome: messaging.OutcomeOpen})
	}
	return nil
}

func (s *Store) enqueue(q *messaging.Enqueue) error {
	out := q.Outgoing
	q.Existing, q.Conflict, out.Inserted = nil, false, false
	notApplied(q.Values)
	p, err := s.planOne(nil, out)
	if err != nil {
		return err
	}
	if p.out == nil {
		q.Existing, err = s.existing(out.Key)
		return err
	}
	ok, err := s.allHold(q.Values)
	if q.Conflict = !ok; !ok || err != nil {
		return err
	}
	if err := s.changeValues(q.Values); err != nil {
		return err
	}
	return s.insert(&p)
}

// existing reads the send that has a key.
func (s *Store) existing(key string) (*messaging.Send, error) {
	seq, found, err := s.key(key, hashOf(kindKey, key), true)
	if !found || err != nil {
		return nil, err
	}
	var row [sendWidth]driver.Value
	if found, err = s.w.sendAt.row(row[:], seq); !found || err != nil {
		return nil, err
	}
	return toSend(row[:])
}

func (s *Store) claim(c *messaging.Claim) error {
	c.Granted = false
	var row [5]driver.Value
	found, err := s.w.findSend.row(row[:], id(c.SendID))
	if !found || err != nil || decode(statuses, row[1]) != messaging.StatusQueued {
		return err
	}
	c.Granted = true
	seq := toInt(row[0])
	if c.Attempt != nil {
		if row[2] != nil {
			delete(s.open, toID(row[2]))
			if err := s.w.retire.exec(seq); err != nil {
				return err
			}
		}
		a := c.Attempt
		if err := s.w.claim.exec(seq, codeSending, id(a.ID), int64(a.Number), millis(a.ClaimedAt), codeOpen); err != nil {
			return err
		}
		s.opened(&attempt{
			id: a.ID, send: c.SendID, seq: seq, inReplyTo: toText[string](row[3]), callback: toInt(row[4]) != 0,
			status: messaging.StatusSending, newest: true, outcome: messaging.OutcomeOpen,
		})
		return nil
	}
	if row[2] != nil {
		delete(s.open, toID(row[2]))
	}
	if c.Status == messaging.StatusQueued {
		return s.w.delay.exec(seq, dueAt(c.NotBefore), text(c.Reason))
	}
	status, err := encode(statuses, c.Status)
	if err != nil {
		return err
	}
	return s.w.end.exec(seq, status, text(c.Reason))
}
