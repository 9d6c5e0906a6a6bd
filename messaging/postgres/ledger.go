package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

// defaultEntries is how many entries of the ledger a query without a limit finds.
const defaultEntries = 1000

const entryColumns = standColumns + `, changed, at, verb, origin, event_id, ours, context, sent_at, received_at, tier, word, rule, actor, note, crossing, prev, hash`

// consentLedger reads the ledger. Each method is one statement, and so of one moment.
type consentLedger struct{ querier }

var (
	_ messaging.ConsentLedger = consentLedger{}
	_ messaging.ConsentLedger = (*Store)(nil)
)

func (l consentLedger) stands(ctx context.Context, where string, args ...any) (found []messaging.ConsentState, err error) {
	rows, err := l.Query(ctx, `SELECT `+standColumns+` FROM consents `+where, args...)
	if err != nil {
		return nil, err
	}
	err = scanStands(rows, func(st messaging.ConsentState) { found = append(found, st) })
	return found, err
}

// Consents implements messaging.ConsentLedger.
func (l consentLedger) Consents(ctx context.Context, after int64, limit int) ([]messaging.ConsentState, error) {
	return l.stands(ctx, `WHERE seq > $1 ORDER BY seq LIMIT $2`, after, max(limit, 0))
}

// ConsentOf implements messaging.ConsentLedger.
func (l consentLedger) ConsentOf(ctx context.Context, numbers ...messaging.Number) ([]messaging.ConsentState, error) {
	return l.stands(ctx, `WHERE number = ANY($1)`, numbers)
}

// Entries implements messaging.ConsentLedger.
func (l consentLedger) Entries(ctx context.Context, q messaging.LedgerQuery) ([]messaging.ConsentEntry, error) {
	if q.Limit <= 0 {
		q.Limit = defaultEntries
	}
	if q.Number == "" {
		return l.entries(ctx, `WHERE seq > $1 ORDER BY seq LIMIT $2`, q.After, q.Limit)
	}
	return l.entries(ctx, `WHERE number = $3 AND seq > $1 ORDER BY seq LIMIT $2`, q.After, q.Limit, string(q.Number))
}

func (l consentLedger) entries(ctx context.Context, where string, args ...any) (found []messaging.ConsentEntry, err error) {
	rows, err := l.Query(ctx, `SELECT `+entryColumns+` FROM ledger `+where, args...)
	if err != nil {
		return nil, err
	}
	var st messaging.ConsentState
	var changed bool
	var at int64
	var since, sent, received *int64
	var verb string
	var origin, event, ours, in, tier, word, rule, actor, note *string
	var crossing []uuid.UUID
	var prev, hash []byte
	_, err = pgx.ForEachRow(rows, []any{
		&st.Number, &st.Scope, &st.OptedOut, &st.Review, &since, &st.Seq, &changed, &at, &verb, &origin, &event, &ours, &in,
		&sent, &received, &tier, &word, &rule, &actor, &note, &crossing, &prev, &hash,
	}, func() error {
		st.Since = timeOf(since)
		e := messaging.ConsentEntry{Seq: st.Seq, At: timeOf(&at), ConsentChange: messaging.ConsentChange{
			Number: st.Number, Scope: st.Scope, Verb: messaging.ConsentVerb(verb), Origin: messaging.ConsentOrigin(orZero(origin)),
			EventID: orZero(event), Ours: messaging.Number(orZero(ours)), Context: orZero(in), SentAt: timeOf(sent), ReceivedAt: timeOf(received),
			Tier: orZero(tier), Word: orZero(word), Rule: orZero(rule), Actor: orZero(actor), Note: orZero(note),
			Crossing: append([]uuid.UUID(nil), crossing...), Changed: changed, State: st,
		}}
		copy(e.Prev[:], prev)
		copy(e.Hash[:], hash)
		found = append(found, e)
		return nil
	})
	return found, err
}

// Consents implements messaging.ConsentLedger.
func (s *Store) Consents(ctx context.Context, after int64, limit int) (found []messaging.ConsentState, err error) {
	err = s.reading(ctx, readingLedger, func() error { found, err = consentLedger{s.pool}.Consents(ctx, after, limit); return err })
	return found, err
}

// ConsentOf implements messaging.ConsentLedger.
func (s *Store) ConsentOf(ctx context.Context, numbers ...messaging.Number) (found []messaging.ConsentState, err error) {
	err = s.reading(ctx, readingLedger, func() error { found, err = consentLedger{s.pool}.ConsentOf(ctx, numbers...); return err })
	return found, err
}

// Entries implements messaging.ConsentLedger.
func (s *Store) Entries(ctx context.Context, q messaging.LedgerQuery) (found []messaging.ConsentEntry, err error) {
	err = s.reading(ctx, readingLedger, func() error { found, err = consentLedger{s.pool}.Entries(ctx, q); return err })
	return found, err
}

const readingLedger = "read the ledger of consent"
