package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

// Life implements messaging.Archive. A state event that no send is known for is shown in
// the place of an inbound.
func (s *Store) Life(ctx context.Context, id string) (*messaging.Life, error) {
	var l *messaging.Life
	err := s.moment(ctx, "look up a message", func(tx pgx.Tx) (err error) {
		l, err = s.life(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, messaging.ErrUnknown
	}
	return l, nil
}

func (s *Store) life(ctx context.Context, tx pgx.Tx, id string) (*messaging.Life, error) {
	if id == "" {
		return nil, nil
	}
	events, err := recordsOf(ctx, tx, `WHERE e.id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 { // the platform's id of an inbound is its event's, unless it had none
		if events, err = recordsOf(ctx, tx, `WHERE e.message_id = $1 AND e.message_id <> e.id AND e.kind = 1`, id); err != nil {
			return nil, err
		}
	}
	if len(events) > 0 && events[0].Event.Send == nil {
		return s.lifeOfEvent(ctx, tx, events[0])
	}
	var found []*send
	if len(events) > 0 {
		found, err = sendsOf(ctx, tx, `WHERE s.id = $1`, events[0].Event.Send.ID)
	} else {
		found, err = sendsNamed(ctx, tx, id)
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return s.lifeOfSend(ctx, tx, found[0])
}

// sendsNamed finds a send by its own id, an attempt's id or tag, the platform's id of its
// message, or its key.
func sendsNamed(ctx context.Context, tx pgx.Tx, id string) ([]*send, error) {
	u, err := uuid.Parse(id)
	if tag, ok := messaging.AttemptTag([]string{id}); ok {
		u, err = tag, nil
	}
	if err == nil {
		found, err := sendsOf(ctx, tx, `WHERE s.id = $1 OR s.id = (SELECT send_id FROM attempts WHERE id = $1)`, u)
		if len(found) > 0 || err != nil {
			return found, err
		}
	}
	found, err := sendsOf(ctx, tx, `WHERE s.id IN (SELECT send_id FROM attempts WHERE message_id = $1) OR s.key = $1`, id)
	if len(found) > 0 || err != nil {
		return found, err
	}
	event, n, ok := replyKey(id)
	if !ok {
		return nil, nil
	}
	return sendsOf(ctx, tx, `JOIN events e ON s.id = ANY(e.sends) WHERE e.id = $1 AND s.ordinal = $2`, event, n)
}

func (s *Store) lifeOfEvent(ctx context.Context, tx pgx.Tx, r *messaging.EventRecord) (*messaging.Life, error) {
	l := &messaging.Life{Inbound: bare(r)}
	if len(r.Sends) == 0 {
		return l, nil
	}
	sends, err := sendsOf(ctx, tx, `WHERE s.id = ANY($1) ORDER BY s.seq`, r.Sends)
	if err != nil {
		return nil, err
	}
	for _, snd := range sends {
		if err := s.addRecord(ctx, tx, l, snd); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (s *Store) lifeOfSend(ctx context.Context, tx pgx.Tx, snd *send) (*messaging.Life, error) {
	l := &messaging.Life{}
	if snd.InReplyTo != "" {
		events, err := recordsOf(ctx, tx, `WHERE e.id = $1`, snd.InReplyTo)
		if err != nil {
			return nil, err
		}
		if len(events) > 0 {
			l.Inbound = bare(events[0])
		}
	}
	return l, s.addRecord(ctx, tx, l, snd)
}

// addRecord adds a send with its attempts and their states.
func (s *Store) addRecord(ctx context.Context, tx pgx.Tx, l *messaging.Life, snd *send) error {
	r := s.record(snd)
	l.Sends = append(l.Sends, r)
	r.Attempts = nil
	for _, a := range snd.attempts {
		ar := a.record()
		states, err := recordsOf(ctx, tx, `WHERE e.attempt_id = $1 ORDER BY e.seq`, a.ID)
		if err != nil {
			return err
		}
		for _, st := range states {
			ar.States = append(ar.States, bare(st))
		}
		r.Attempts = append(r.Attempts, ar)
	}
	return nil
}

// bare is a record as it is shown: without the frame.
func bare(r *messaging.EventRecord) *messaging.EventRecord {
	r.Event.Frame = nil
	return r
}

func (a *attempt) record() *messaging.AttemptRecord {
	return &messaging.AttemptRecord{
		Attempt: a.Attempt, Outcome: a.outcome, Since: a.doubtedAt, Code: a.code, Reason: a.reason, MessageID: a.messageID,
	}
}

// record is a send as it stands, with its newest attempt.
func (s *Store) record(snd *send) *messaging.SendRecord {
	r := &messaging.SendRecord{Send: snd.Send.Shown(), Status: snd.status, Reason: snd.reason, Forgotten: snd.forgotten}
	since := snd.CreatedAt
	if a := snd.newest(); a != nil {
		r.Attempts = []*messaging.AttemptRecord{a.record()}
		since = a.ClaimedAt
	}
	if (r.Status == messaging.StatusAccepted || r.Status == messaging.StatusSent) && since.UnixMilli() <= s.deadline() {
		r.Status = messaging.StatusUnknown
	}
	return r
}

// deadline is up to when a send must have been claimed for its last word not to be waited
// for any more.
func (s *Store) deadline() int64 {
	now := s.now.Load()
	if now == 0 {
		now = time.Now().UnixMilli()
	}
	return now - messaging.LastWord.Milliseconds()
}

const (
	searchLimit = 50
	searchMost  = 1000
)

// statusNow is the status of a send as record says it, in the words of SQL.
const statusNow = `(CASE WHEN s.status IN (4, 5) AND coalesce((SELECT a.claimed_at FROM attempts a WHERE a.id = s.attempt_id), s.created_at, 0) <= %s THEN 12 ELSE s.status END)`

// Search implements messaging.Archive. There is no index on numbers or texts: the rows are
// read from the newest on until the page is full.
func (s *Store) Search(ctx context.Context, q messaging.Search) (*messaging.Found, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = searchLimit
	}
	limit = min(limit, searchMost)
	where, args, err := s.conditions(q)
	if err != nil {
		return nil, err
	}
	order := " DESC"
	if q.After != "" {
		order = ""
	}
	f := &messaging.Found{}
	err = s.moment(ctx, "search the journal", func(tx pgx.Tx) error {
		args := append(args, limit+1)
		tail := where + ` ORDER BY seq` + order + ` LIMIT $` + strconv.Itoa(len(args))
		if !q.Sends {
			found, err := recordsOf(ctx, tx, strings.ReplaceAll(tail, "ORDER BY seq", "ORDER BY e.seq"), args...)
			if err != nil {
				return err
			}
			if f.More = len(found) > limit; f.More {
				found = found[:limit]
			}
			for _, r := range found {
				f.Inbounds = append(f.Inbounds, bare(r))
				f.Cursor = strconv.FormatInt(r.Event.Seq, 10)
			}
			return nil
		}
		found, err := sendsOf(ctx, tx, strings.ReplaceAll(tail, "ORDER BY seq", "ORDER BY s.seq"), args...)
		if err != nil {
			return err
		}
		if f.More = len(found) > limit; f.More {
			found = found[:limit]
		}
		for _, snd := range found {
			f.Sends = append(f.Sends, s.record(snd))
			f.Cursor = strconv.FormatInt(snd.seq, 10)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// conditions are a search in the words of SQL.
func (s *Store) conditions(q messaging.Search) (where string, args []any, err error) {
	t, at := "e", "e.received_at"
	if q.Sends {
		t, at = "s", "s.created_at"
	}
	var parts []string
	add := func(part string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			part = strings.Replace(part, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		parts = append(parts, part)
	}
	if !q.Sends {
		add("e.kind = 1")
	}
	for _, c := range []struct{ cursor, op string }{{q.Before, "<"}, {q.After, ">"}} {
		if c.cursor == "" {
			continue
		}
		seq, err := strconv.ParseInt(c.cursor, 10, 64)
		if err != nil {
			return "", nil, fmt.Errorf("%q is no cursor of a former answer", c.cursor)
		}
		add(t+".seq "+c.op+" ?", seq)
	}
	if q.Number != "" {
		add("("+t+".from_number = ? OR "+t+".to_number = ?)", string(q.Number), string(q.Number))
	}
	if q.Context != "" {
		add(t+".context = ?", q.Context)
	}
	if !q.Since.IsZero() {
		add(at+" >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		add(at+" < ?", q.Until.UnixMilli())
	}
	if q.Text != "" {
		// Only ASCII letters match in either case, as in every store.
		add(`strpos(translate(coalesce(`+t+`.body, ''), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'),
			translate(?, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')) > 0`, q.Text)
		if q.Sends {
			add(t + ".secret IS NOT TRUE")
		}
	}
	if len(q.Fates) > 0 && !q.Sends {
		codes := make([]int16, len(q.Fates))
		for i, f := range q.Fates {
			codes[i] = encode(fates, f)
		}
		add("e.fate = ANY(?)", codes)
	}
	if len(q.Statuses) > 0 && q.Sends {
		codes := make([]int16, len(q.Statuses))
		for i, st := range q.Statuses {
			codes[i] = encode(statuses, st)
		}
		add(fmt.Sprintf(statusNow, "?")+" = ANY(?)", s.deadline(), codes)
	}
	if len(parts) == 0 {
		return "", args, nil
	}
	return "WHERE " + strings.Join(parts, " AND "), args, nil
}

// Forget implements messaging.Archive.
func (s *Store) Forget(ctx context.Context, theirs messaging.Number) (changed, unfinished int64, err error) {
	if s.closing.Err() != nil {
		return 0, 0, errClosed
	}
	for _, t := range []struct{ name, person, live, strip string }{
		{"events", "(kind = 1 AND from_number = $1 OR kind = 2 AND to_number = $1)", "fate = 0", stripEvent},
		{"sends", "to_number = $1", "status IN (1, 2, 3)", "body = '', media = NULL"},
	} {
		from := int64(0)
		for {
			n, left, to, err := s.forgetPage(ctx, t.name, t.person, t.live, t.strip, theirs, from)
			if err != nil {
				return changed, unfinished, fmt.Errorf("forget a number: %w", classify(err))
			}
			changed, unfinished = changed+n, unfinished+left
			if to == from {
				break
			}
			from = to
		}
	}
	if theirs != "" {
		n, err := s.forgetValues(ctx, theirs)
		return changed + n, unfinished, err
	}
	return changed, unfinished, nil
}

// forgetPage goes over a bounded number of rows in a transaction of its own.
func (s *Store) forgetPage(ctx context.Context, name, person, live, strip string, theirs messaging.Number, from int64) (changed, left, to int64, err error) {
	const page = 20_000
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(seq), $1) FROM (SELECT seq FROM `+name+` WHERE seq > $1 ORDER BY seq LIMIT $2) p`, from, page).Scan(&to); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE `+name+` SET `+strip+` WHERE `+person+` AND seq > $2 AND seq <= $3 AND NOT (`+live+`) AND body IS DISTINCT FROM ''`,
			string(theirs), from, to)
		if err != nil {
			return err
		}
		changed = tag.RowsAffected()
		return tx.QueryRow(ctx, `SELECT count(*) FROM `+name+` WHERE `+person+` AND seq > $2 AND seq <= $3 AND `+live, string(theirs), from, to).Scan(&left)
	})
	return changed, left, to, err
}
