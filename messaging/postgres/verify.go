package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/signpost-sms/signpost/messaging"
)

// Verify implements messaging.Verifier. It reads one moment of the journal on a connection
// of its own, beside the commits; the server cannot clear away old rows meanwhile.
func (s *Store) Verify(ctx context.Context, w io.Writer) error {
	if s.closing.Err() != nil {
		return errClosed
	}
	return verify(ctx, s.pool.Config().ConnConfig, w)
}

// Verify examines the journal in the database that the URL names, which daemons may be
// using, and tells w in lines what it looked at. Nothing is changed, the schema neither. An
// error names what is damaged and what to do, and holds no password.
func Verify(ctx context.Context, name string, w io.Writer) error {
	pc, err := parse(name)
	if err != nil {
		return err
	}
	return verify(ctx, pc.ConnConfig, w)
}

func verify(ctx context.Context, conf *pgx.ConnConfig, w io.Writer) error {
	where := place(conf)
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return fmt.Errorf("postgres: verify %s: %w; check that the server runs and that the database exists", where, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return examine(ctx, tx, where, w)
	})
}

// examine examines what a transaction sees.
func examine(ctx context.Context, tx pgx.Tx, where string, w io.Writer) error {
	v := &verifier{tx: tx, w: w}
	err := v.all(ctx)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("postgres: verify %s: %w", where, ctx.Err())
	case isDamage(err):
		v.found = append(v.found, err.Error())
	case err != nil:
		return fmt.Errorf("postgres: verify %s: %w", where, err)
	}
	if len(v.found) == 0 {
		return nil
	}
	return fmt.Errorf("postgres: the journal in %s is damaged: %s; stop the daemons and restore the database as it was before, or have somebody mend the rows who knows it",
		where, strings.Join(v.found, "; "))
}

// isDamage reports whether the server met a page or an index that it cannot read.
func isDamage(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && strings.HasPrefix(e.Code, "XX")
}

// verifier examines a database.
type verifier struct {
	tx    pgx.Tx
	w     io.Writer
	found []string
}

func (v *verifier) all(ctx context.Context) error {
	for _, examine := range []func(context.Context) error{v.schema, v.indexes, v.rows, v.contradictions, v.ledger, v.stands, v.sequences, v.counts} {
		if err := examine(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) say(format string, args ...any) error {
	_, err := fmt.Fprintf(v.w, format+"\n", args...)
	return err
}

// damage notes what is wrong; the rest is examined all the same.
func (v *verifier) damage(format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	v.found = append(v.found, what)
	return v.say("damage: %s", what)
}

// newestVersion is the version of the schema that this program writes.
func newestVersion() (newest int64, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	for _, file := range files {
		n, err := goose.NumericComponent(file)
		if err != nil {
			return 0, err
		}
		newest = max(newest, n)
	}
	return newest, err
}

// schema refuses what the other examinations do not understand.
func (v *verifier) schema(ctx context.Context) error {
	want, err := newestVersion()
	if err != nil {
		return err
	}
	var ours bool
	if err := v.tx.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL AND to_regclass('conversations') IS NOT NULL`).Scan(&ours); err != nil {
		return err
	}
	if !ours {
		return errors.New("there is no journal; name the database of the daemons, and their schema if they have one, with ?search_path=")
	}
	var has int64
	if err := v.tx.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&has); err != nil {
		return err
	}
	switch {
	case has > want:
		return fmt.Errorf("its schema is version %d and this program knows %d; examine it with a newer program", has, want)
	case has < want:
		return fmt.Errorf("its schema is version %d and this program examines %d; start a daemon of this program, which brings it up to date", has, want)
	}
	return v.say("schema version %d", has)
}

// indexes are those that the statements are written for, primary keys included. Without a
// unique one, what arrives twice would be taken in twice.
var indexes = []string{
	"attempts_message", "attempts_old", "attempts_pkey", "batches_pkey", "consents_pkey", "consents_seq",
	"conversations_ours_theirs_key", "conversations_pkey", "conversations_theirs", "counters_pkey", "counters_seq", "counters_until", "departed_pkey", "events_attempt", "events_dead", "events_early", "events_id", "events_message", "events_pkey", "events_unfinished",
	"instances_pkey", "ledger_number", "ledger_pkey", "marks_pkey", "sends_key", "sends_live", "sends_pkey", "sends_queued", "sends_seq", "small_values_expires", "small_values_number", "small_values_pkey", "stragglers_pkey",
}

func (v *verifier) indexes(ctx context.Context) error {
	rows, err := v.tx.Query(ctx, `SELECT c.relname, i.indisvalid AND i.indisready FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relname = ANY($1)`, indexes)
	if err != nil {
		return err
	}
	valid := map[string]bool{}
	var name string
	var is bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &is}, func() error {
		valid[name] = is
		return nil
	}); err != nil {
		return err
	}
	for _, name := range indexes {
		is, there := valid[name]
		switch {
		case !there:
			err = v.damage("the index %s is not there", name)
		case !is:
			err = v.damage("the index %s is not valid; REINDEX INDEX %s mends it", name, name)
		}
		if err != nil {
			return err
		}
	}
	return v.say("indexes: %d looked for", len(indexes))
}

// rows reads every row whole, so that the server has to find each page of it, and decodes
// what is not a number or a text.
func (v *verifier) rows(ctx context.Context) error {
	for _, t := range []struct{ name, known, lists string }{
		{"events", fmt.Sprintf("fate BETWEEN 0 AND %d AND kind IN (%d, %d)", len(fates)-1, messaging.KindMessage, messaging.KindState), "media, tags"},
		{"sends", fmt.Sprintf("status BETWEEN 1 AND %d", len(statuses)-1), "media, tags"},
		{"attempts", fmt.Sprintf("outcome BETWEEN 1 AND %d AND coalesce(state, 0) BETWEEN 0 AND %d", len(outcomes)-1, len(states)-1), "NULL, NULL"},
	} {
		if err := v.table(ctx, t.name, `SELECT id::text, `+t.known+`, `+t.lists+`, t.* FROM `+t.name+` t`); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) table(ctx context.Context, name, query string) error {
	rows, err := v.tx.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	var id string
	var known bool
	var media, tags *string
	into := make([]any, len(rows.FieldDescriptions())) // what is nil is passed over
	copy(into, []any{&id, &known, &media, &tags})
	var total int
	var strange, garbled finding
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		total++
		if !known {
			strange.add(id)
		}
		_, badMedia := listOf(media)
		_, badTags := listOf(tags)
		if badMedia != nil || badTags != nil {
			garbled.add(id)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := v.tell(&strange, "%s with a code that has no meaning", name); err != nil {
		return err
	}
	if err := v.tell(&garbled, "%s with a list that cannot be decoded", name); err != nil {
		return err
	}
	return v.say("%s: %d read", name, total)
}

// finding counts rows with the same damage.
type finding struct {
	n       int64
	example string
}

func (f *finding) add(id string) {
	if f.n++; f.n == 1 {
		f.example = id
	}
}

func (v *verifier) tell(f *finding, format string, args ...any) error {
	if f.n == 0 {
		return nil
	}
	return v.damage("%d %s, such as %s", f.n, fmt.Sprintf(format, args...), f.example)
}

// contradictions are what no commit leaves. Each query gives the ids of the rows.
var contradictions = []struct{ what, query string }{
	{
		"attempts without their send",
		`SELECT id FROM attempts a WHERE NOT EXISTS (SELECT 1 FROM sends s WHERE s.id = a.send_id)`,
	},
	{
		"sends whose newest attempt is not there",
		`SELECT id FROM sends s WHERE attempt_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.id = s.attempt_id AND a.send_id = s.id)`,
	},
	{
		"attempts that are neither their send's newest nor an older one, or both",
		`SELECT a.id FROM attempts a JOIN sends s ON s.id = a.send_id WHERE (a.superseded IS TRUE) = (s.attempt_id IS NOT DISTINCT FROM a.id)`,
	},
	{
		"sends under way without an attempt",
		`SELECT id FROM sends WHERE status IN (2, 3) AND attempt_id IS NULL`,
	},
	{
		"sends under way whose attempt has ended",
		`SELECT s.id FROM sends s JOIN attempts a ON a.id = s.attempt_id WHERE s.status IN (2, 3) AND a.outcome NOT IN (1, 5)`,
	},
	{
		"queued sends with an attempt under way",
		`SELECT s.id FROM sends s JOIN attempts a ON a.id = s.attempt_id WHERE s.status = 1 AND a.outcome = 1`,
	},
	{
		"accepted sends without an accepted attempt",
		`SELECT id FROM sends s WHERE status IN (4, 5, 6, 7) AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.id = s.attempt_id AND a.outcome = 2)
			AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.send_id = s.id AND a.superseded AND a.outcome = 2)`,
	},
	{
		"replies that their event does not name",
		`SELECT s.id FROM sends s JOIN events e ON e.id = s.in_reply_to WHERE s.ordinal IS NOT NULL AND s.id <> ALL(coalesce(e.sends, '{}'))`,
	},
	{
		"replies that do not say to what",
		`SELECT id FROM sends WHERE ordinal IS NOT NULL AND in_reply_to IS NULL`,
	},
	{
		"events that decided sends and are not done",
		`SELECT id FROM events WHERE fate <> 1 AND sends IS NOT NULL`,
	},
	{
		"unfinished events without a conversation",
		`SELECT id FROM events e WHERE fate = 0 AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = e.conversation)`,
	},
	{
		"unfinished sends without a conversation",
		`SELECT id FROM sends s WHERE status IN (1, 2, 3) AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = s.conversation)`,
	},
	{
		"unfinished conversations that no instance has or would take over",
		`SELECT id FROM conversations c WHERE id IN (` + unfinished + `) AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.owner = c.owner)
			AND NOT EXISTS (SELECT 1 FROM departed d WHERE d.owner = c.owner)`,
	},
	{
		"numbers that stand by a line which the ledger of consent does not have",
		`SELECT 'that of line ' || seq AS id FROM consents c WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.number = c.number AND l.scope = c.scope)`,
	},
}

func (v *verifier) contradictions(ctx context.Context) error {
	for _, c := range contradictions {
		var f finding
		if err := v.tx.QueryRow(ctx, `SELECT count(*), coalesce(min(id::text), '') FROM (`+c.query+`) AS found`).Scan(&f.n, &f.example); err != nil {
			return fmt.Errorf("look for %s: %w", c.what, err)
		}
		if err := v.tell(&f, "%s", c.what); err != nil {
			return err
		}
	}
	return v.say("contradictions: %d kinds looked for", len(contradictions))
}

// ledger checks the chain, and that nothing but adding to it is possible.
func (v *verifier) ledger(ctx context.Context) error {
	var guarded bool
	if err := v.tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = 'ledger'::regclass AND tgname = 'ledger_only_grows' AND tgenabled IN ('O', 'A'))`).Scan(&guarded); err != nil {
		return err
	}
	if !guarded {
		if err := v.damage("the trigger ledger_only_grows is not there or not enabled, so that lines of the ledger of consent could be altered"); err != nil {
			return err
		}
	}
	lines, err := messaging.VerifyLedger(ctx, consentLedger{v.tx}, nil)
	if errors.Is(err, messaging.ErrLedger) {
		err = v.damage("%v", err)
	}
	if err != nil {
		return err
	}
	return v.say("ledger of consent: %d lines, one after the other", lines)
}

// stands goes through the lines about each number and scope, and looks whether each says
// what follows from the one before it, and whether the number stands where the last one
// says.
func (v *verifier) stands(ctx context.Context) error {
	rows, err := v.tx.Query(ctx, `SELECT `+standColumns+`, changed, at, verb, lag(seq) OVER same IS NULL,
			lead(seq) OVER same IS NULL AND NOT EXISTS (SELECT 1 FROM consents c WHERE c.number = l.number AND c.scope = l.scope
				AND c.opted_out = l.opted_out AND c.review = l.review AND c.since IS NOT DISTINCT FROM l.since AND c.seq = l.seq)
		FROM ledger l WINDOW same AS (PARTITION BY number, scope ORDER BY seq) ORDER BY number, scope, seq`)
	if err != nil {
		return err
	}
	var wrong, elsewhere finding
	var numbers int64
	var st, next messaging.ConsentState
	var changed, first, astray bool
	var since *int64
	var at int64
	var verb messaging.ConsentVerb
	if _, err := pgx.ForEachRow(rows, []any{
		&st.Number, &st.Scope, &st.OptedOut, &st.Review, &since, &st.Seq, &changed, &at, &verb, &first, &astray,
	}, func() error {
		st.Since = timeOf(since)
		if first {
			numbers++
			next = messaging.ConsentState{Number: st.Number, Scope: st.Scope}
		}
		was := next
		next = was.After(verb, timeOf(&at))
		next.Seq = st.Seq
		if next != st || changed != (next.OptedOut != was.OptedOut || next.Review != was.Review) {
			wrong.add(fmt.Sprint("line ", st.Seq))
			next = st
		}
		if astray {
			elsewhere.add(fmt.Sprint("that of line ", st.Seq))
		}
		return nil
	}); err != nil {
		return err
	}
	if err := v.tell(&wrong, "lines of the ledger of consent that do not follow from the one before about the same number"); err != nil {
		return err
	}
	if err := v.tell(&elsewhere, "numbers that do not stand where the ledger of consent says"); err != nil {
		return err
	}
	return v.say("numbers and scopes with consent on record: %d", numbers)
}

// sequences looks whether the next row gets a place behind the last one, which a database
// that was copied without its sequences does not do.
func (v *verifier) sequences(ctx context.Context) error {
	for _, table := range []string{"events", "sends", "counters"} {
		var behind bool
		if err := v.tx.QueryRow(ctx, `SELECT coalesce((SELECT max(seq) FROM `+table+`) > (SELECT last_value FROM `+table+`_order), false)`).Scan(&behind); err != nil {
			return err
		}
		if !behind {
			continue
		}
		if err := v.damage("the sequence %s_order is behind its rows; SELECT setval('%s_order', max(seq)) FROM %s mends it", table, table, table); err != nil {
			return err
		}
	}
	return nil
}

// counts tells how much there is.
func (v *verifier) counts(ctx context.Context) error {
	for _, c := range []struct {
		query string
		name  func(code int16) string
	}{
		{`SELECT fate, count(*) FROM events GROUP BY fate ORDER BY fate`, func(code int16) string {
			if code == 0 {
				return "events unfinished"
			}
			return "events " + decode(fates, code).String()
		}},
		{`SELECT status, count(*) FROM sends GROUP BY status ORDER BY status`, func(code int16) string { return "sends " + string(decode(statuses, code)) }},
	} {
		rows, err := v.tx.Query(ctx, c.query)
		if err != nil {
			return err
		}
		var code int16
		var n int64
		if _, err := pgx.ForEachRow(rows, []any{&code, &n}, func() error { return v.say("%s: %d", c.name(code), n) }); err != nil {
			return err
		}
	}
	return nil
}
