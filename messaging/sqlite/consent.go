package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// tail is the last line of the ledger, while a batch adds to it.
type tail struct {
	read bool
	seq  int64
	hash [sha256.Size]byte
}

// change writes a line of the ledger and fills the results of c.
func (s *Store) change(c *messaging.ConsentChange) error {
	if err := s.readTail(); err != nil {
		return err
	}
	now, seq := toTime(s.stamp), s.tail.seq+1
	was, err := s.advance(c, seq)
	if err != nil {
		return err
	}
	c.State = was.After(c.Verb, now)
	c.State.Seq = seq
	c.Changed = c.State.OptedOut != was.OptedOut || c.State.Review != was.Review
	e := messaging.ConsentEntry{Seq: seq, At: now, ConsentChange: *c, Prev: s.tail.hash}
	e.Hash = e.Sum()
	if err := s.insertEntry(&e, was.Seq); err != nil {
		return fmt.Errorf("write line %d of the ledger of consent: %w", seq, err)
	}
	s.tail.seq, s.tail.hash = seq, e.Hash
	return nil
}

// advance makes a line the last one about a number in a scope, and tells where the number
// stood. Most numbers of a list are new, so they are not looked for first.
func (s *Store) advance(c *messaging.ConsentChange, seq int64) (was messaging.ConsentState, err error) {
	was = messaging.ConsentState{Number: c.Number, Scope: c.Scope}
	added, err := s.w.insertConsent.changes(seq, string(c.Number), string(c.Scope))
	if added > 0 || err != nil {
		return was, err
	}
	var row [standWidth]driver.Value
	found, err := s.w.findConsent.row(row[:], string(c.Number), string(c.Scope))
	if err == nil && !found {
		err = errLine
	}
	if err != nil {
		return was, err
	}
	was = toStand(was, row[:])
	return was, s.w.moveConsent.exec(was.Seq, seq)
}

// errLine says that a number stands by a line that is not there.
var errLine = errors.New("a line of the ledger of consent is missing; verify the journal")

// readTail reads the end of the ledger, once in a batch.
func (s *Store) readTail() error {
	if s.tail.read {
		return nil
	}
	var row [2]driver.Value
	if _, err := s.w.ledgerEnd.row(row[:]); err != nil {
		return err
	}
	s.tail = tail{read: true, seq: toInt(row[0]), hash: toHash(row[1])}
	return nil
}

func (s *Store) insertEntry(e *messaging.ConsentEntry, before int64) error {
	c, st := &e.ConsentChange, &e.State
	return s.w.insertEntry.exec(e.Seq, e.At.UnixMilli(), string(c.Number), string(c.Scope), string(c.Verb), text(c.Origin),
		text(c.EventID), text(c.Ours), text(c.Context), millis(c.SentAt), millis(c.ReceivedAt), text(c.Tier), text(c.Word), text(c.Rule),
		text(c.Actor), text(c.Note), idList(c.Crossing), truth(c.Changed), truth(st.OptedOut), truth(st.Review), millis(st.Since),
		number(before), e.Prev[:], e.Hash[:])
}

// changeAll applies changes and reports whether the sends that come with them go out: there
// are none, or one of them changed something or says that it does not matter.
func (s *Store) changeAll(cs []*messaging.ConsentChange) (sends bool, err error) {
	sends = len(cs) == 0
	for _, c := range cs {
		if err := s.change(c); err != nil {
			return false, err
		}
		sends = sends || c.Changed || c.Again
	}
	return sends, nil
}

// changeBy applies the changes of consent and of values that an outcome decided, if it ended
// well.
func (s *Store) changeBy(o *messaging.Outcome) error {
	if o.Fate != messaging.FateDone {
		unchanged(o.Consents)
		notApplied(o.Values)
		return nil
	}
	if _, err := s.changeAll(o.Consents); err != nil {
		return err
	}
	return s.changeValues(o.Values)
}

// unchanged says of changes that they were not applied.
func unchanged(cs []*messaging.ConsentChange) {
	for _, c := range cs {
		c.Changed, c.State = false, messaging.ConsentState{}
	}
}

// changed fills in again the results of a change that has come to a line of the ledger, or
// to none.
func (s *Store) changed(c *messaging.ConsentChange, seq int64) error {
	unchanged([]*messaging.ConsentChange{c})
	if seq == 0 {
		return nil
	}
	var row [standWidth + 1]driver.Value
	found, err := s.w.consentAt.row(row[:], seq)
	if err != nil {
		return err
	}
	if !found {
		return errReused
	}
	c.State = toStand(messaging.ConsentState{Number: c.Number, Scope: c.Scope}, row[:])
	c.Changed = row[standWidth] != nil
	return nil
}

// standColumns are what toStand reads of the ledger.
const (
	standColumns = `l.seq, l.opted_out, l.review, l.since`
	standWidth   = 4
)

// toStand completes where a number stands in a scope.
func toStand(st messaging.ConsentState, row []driver.Value) messaging.ConsentState {
	st.Seq, st.OptedOut, st.Review, st.Since = toInt(row[0]), row[1] != nil, row[2] != nil, toTime(row[3])
	return st
}

const (
	entryColumns = standColumns + `, l.changed, l.at, l.number, l.scope, l.verb, l.origin, l.event_id, l.ours, l.context, l.sent_at, l.received_at,
		l.tier, l.word, l.rule, l.actor, l.note, l.crossing, l.prev, l.hash`
	entryWidth = standWidth + 19
)

func toEntry(row []driver.Value) messaging.ConsentEntry {
	r := row[standWidth:]
	e := messaging.ConsentEntry{
		Seq: toInt(row[0]), At: toTime(r[1]), Prev: toHash(r[17]), Hash: toHash(r[18]),
		ConsentChange: messaging.ConsentChange{
			Number: toText[messaging.Number](r[2]), Scope: toText[messaging.Scope](r[3]),
			Verb: toText[messaging.ConsentVerb](r[4]), Origin: toText[messaging.ConsentOrigin](r[5]),
			EventID: toText[string](r[6]), Ours: toText[messaging.Number](r[7]), Context: toText[string](r[8]),
			SentAt: toTime(r[9]), ReceivedAt: toTime(r[10]), Tier: toText[string](r[11]), Word: toText[string](r[12]), Rule: toText[string](r[13]),
			Actor: toText[string](r[14]), Note: toText[string](r[15]), Crossing: toIDs(r[16]), Changed: r[0] != nil,
		},
	}
	e.State = toStand(messaging.ConsentState{Number: e.Number, Scope: e.Scope}, row)
	return e
}

// consentLedger reads the ledger in one moment of the journal.
type consentLedger struct{ tx *sql.Tx }

var (
	_ messaging.ConsentLedger = consentLedger{}
	_ messaging.ConsentLedger = (*Store)(nil)
)

// stands lists where numbers stand. One whose line is not there, which is damage, is listed
// all the same.
func (l consentLedger) stands(ctx context.Context, query string, args ...any) (found []messaging.ConsentState, err error) {
	err = each(ctx, l.tx, standWidth+2, func(row []driver.Value) error {
		st := messaging.ConsentState{Number: toText[messaging.Number](row[standWidth]), Scope: toText[messaging.Scope](row[standWidth+1])}
		found = append(found, toStand(st, row))
		return nil
	}, `SELECT c.seq, l.opted_out, l.review, l.since, c.number, c.scope FROM consents c LEFT JOIN ledger l ON l.seq = c.seq `+query, args...)
	return found, err
}

// Consents implements messaging.ConsentLedger.
func (l consentLedger) Consents(ctx context.Context, after int64, limit int) ([]messaging.ConsentState, error) {
	return l.stands(ctx, `WHERE c.seq > ? ORDER BY c.seq LIMIT ?`, after, max(limit, 0))
}

// ConsentOf implements messaging.ConsentLedger.
func (l consentLedger) ConsentOf(ctx context.Context, numbers ...messaging.Number) (all []messaging.ConsentState, err error) {
	for _, n := range numbers {
		found, err := l.stands(ctx, `WHERE c.number = ?`, string(n))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// defaultEntries is how many entries of the ledger a query without a limit finds.
const defaultEntries = 1000

// Entries implements messaging.ConsentLedger. Those of a number are found one from the
// other, so that the ledger needs no index of numbers.
func (l consentLedger) Entries(ctx context.Context, q messaging.LedgerQuery) (found []messaging.ConsentEntry, err error) {
	if q.Limit <= 0 {
		q.Limit = defaultEntries
	}
	query, args := `SELECT `+entryColumns+` FROM ledger l WHERE l.seq > ?1 ORDER BY l.seq LIMIT ?2`, []any{q.After, q.Limit}
	if q.Number != "" {
		query = `WITH RECURSIVE line(seq) AS (
				SELECT seq FROM consents WHERE number = ?3 AND seq > ?1
				UNION ALL
				SELECT l.before FROM line CROSS JOIN ledger l ON l.seq = line.seq WHERE l.before > ?1)
			SELECT ` + entryColumns + ` FROM ledger l WHERE l.seq IN (SELECT seq FROM line) ORDER BY l.seq LIMIT ?2`
		args = append(args, string(q.Number))
	}
	err = each(ctx, l.tx, entryWidth, func(row []driver.Value) error {
		found = append(found, toEntry(row))
		return nil
	}, query, args...)
	return found, err
}

// Consents implements messaging.ConsentLedger.
func (s *Store) Consents(ctx context.Context, after int64, limit int) (found []messaging.ConsentState, err error) {
	err = s.readLedger(ctx, func(l consentLedger) error { found, err = l.Consents(ctx, after, limit); return err })
	return found, err
}

// ConsentOf implements messaging.ConsentLedger.
func (s *Store) ConsentOf(ctx context.Context, numbers ...messaging.Number) (found []messaging.ConsentState, err error) {
	err = s.readLedger(ctx, func(l consentLedger) error { found, err = l.ConsentOf(ctx, numbers...); return err })
	return found, err
}

// Entries implements messaging.ConsentLedger.
func (s *Store) Entries(ctx context.Context, q messaging.LedgerQuery) (found []messaging.ConsentEntry, err error) {
	err = s.readLedger(ctx, func(l consentLedger) error { found, err = l.Entries(ctx, q); return err })
	return found, err
}

func (s *Store) readLedger(ctx context.Context, read func(consentLedger) error) error {
	tx, done, err := s.moment(ctx)
	if err == nil {
		defer done()
		err = read(consentLedger{tx})
	}
	if err != nil {
		return s.blame(ctx, "read the ledger of consent", err)
	}
	return nil
}

func truth(v bool) driver.Value {
	if v {
		return int64(1)
	}
	return nil
}

func idList(ids []uuid.UUID) driver.Value {
	var b []byte
	for _, u := range ids {
		b = append(b, u[:]...)
	}
	return blob(b)
}

func toIDs(v driver.Value) (ids []uuid.UUID) {
	for b := toBytes(v); len(b) >= len(uuid.UUID{}); b = b[len(uuid.UUID{}):] {
		ids = append(ids, uuid.UUID(b[:len(uuid.UUID{})]))
	}
	return ids
}

func toHash(v driver.Value) (h [sha256.Size]byte) {
	copy(h[:], toBytes(v))
	return h
}

// consent checks the chain of the ledger, and that where the numbers stand follows from it.
func (v *verifier) consent() error {
	has, err := v.one(`SELECT count(*) FROM sqlite_schema WHERE name = 'ledger'`)
	if err != nil || has == 0 { // of a former version
		return err
	}
	entries, err := messaging.VerifyLedger(v.ctx, consentLedger{v.tx}, nil)
	if err != nil {
		return broken(err)
	}
	begun, err := v.stands()
	if err != nil {
		return err
	}
	if stale, err := v.one(`SELECT min(c.seq) FROM consents c JOIN ledger l ON l.before = c.seq`); err != nil {
		return err
	} else if stale != 0 {
		return unsound("a number stands by line %d of the ledger of consent, and a later line goes on from there", stale)
	}
	numbers, err := v.one(`SELECT count(*) FROM consents c JOIN ledger l ON l.seq = c.seq AND l.number = c.number AND l.scope = c.scope`)
	if err != nil {
		return err
	}
	all, err := v.one(`SELECT count(*) FROM consents`)
	if err != nil {
		return err
	}
	if numbers != all || all != begun {
		return unsound("the ledger of consent speaks of %d numbers and scopes, %d are known and %d of these by their line", begun, all, numbers)
	}
	return v.say("ledger of consent: %d lines, one after the other; %d numbers and scopes stand as it says", entries, numbers)
}

// stands follows each number and scope from line to line, and tells how many there are.
func (v *verifier) stands() (begun int64, err error) {
	forked, err := v.one(`SELECT count(before) - count(DISTINCT before) FROM ledger`)
	if err != nil {
		return 0, err
	}
	if forked != 0 {
		return 0, unsound("%d lines of the ledger of consent go on from where another does", forked)
	}
	err = v.each(2*standWidth+5, func(row []driver.Value) error {
		st, was := toStand(messaging.ConsentState{}, row), toStand(messaging.ConsentState{}, row[standWidth:])
		r := row[2*standWidth:]
		changed, at, verb, before, same := r[0] != nil, toTime(r[1]), toText[messaging.ConsentVerb](r[2]), r[3], toInt(r[4]) == 1
		if before == nil {
			begun++
		} else if !same || was.Seq >= st.Seq {
			return unsound("line %d of the ledger of consent goes on from line %d, which is not about the same", st.Seq, toInt(before))
		}
		next := was.After(verb, at)
		next.Seq = st.Seq
		if next != st || changed != (next.OptedOut != was.OptedOut || next.Review != was.Review) {
			return unsound("where the number of line %d of the ledger of consent stands does not follow from the line", st.Seq)
		}
		return nil
	}, `SELECT `+standColumns+`, p.seq, p.opted_out, p.review, p.since, l.changed, l.at, l.verb, l.before, p.number = l.number AND p.scope = l.scope
		FROM ledger l LEFT JOIN ledger p ON p.seq = l.before ORDER BY l.seq`)
	return begun, err
}
