package postgres_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/postgres"
)

// furnish commits one of everything: an answered event with its reply, a send in doubt with
// an older attempt, one that waits, an unfinished event, and four changes of consent.
func furnish(t *testing.T, a *instance) {
	t.Helper()
	now := time.Now()
	ev, reply, doubt, waits := message(), claimed(now), claimed(now), claimed(now)
	reply.InReplyTo, reply.Key = ev.ID, ev.ID+"#0"
	ev.Tags, ev.Media = []string{"a"}, []string{"https://example.org/a.png"}
	a.append(ev, nil)
	a.commit(func(b *messaging.Batch) {
		b.Settles = append(b.Settles, &messaging.Settle{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{reply}}})
		b.Reports = append(b.Reports, &messaging.Report{SendID: reply.ID, AttemptID: reply.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM1", Status: messaging.StatusAccepted})
		waits.Attempt, waits.Status = nil, messaging.StatusQueued
		b.Enqueues = append(b.Enqueues, &messaging.Enqueue{Outgoing: doubt}, &messaging.Enqueue{Outgoing: waits})
	})
	a.again(doubt)
	a.commit(func(b *messaging.Batch) {
		b.Reports = append(b.Reports, &messaging.Report{SendID: doubt.ID, AttemptID: doubt.Attempt.ID, Outcome: messaging.OutcomeInDoubt, Status: messaging.StatusInDoubt})
	})
	a.append(message(), nil)
	a.commit(func(b *messaging.Batch) {
		b.Consents = append(b.Consents, stop("+12025550102"), stop("+12025550102"), stop("+12025550103"))
		b.Consents[2].Scope, b.Consents[2].Verb = messaging.ContextScope("sales"), messaging.ConsentReview
	})
	a.commit(func(b *messaging.Batch) {
		b.Consents = append(b.Consents, stop("+12025550102"))
		b.Consents[0].Verb = messaging.ConsentStart
	})
}

func TestVerifyOfASoundJournal(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	furnish(t, a)
	for name, verify := range map[string]func(w io.Writer) error{
		"of the store": func(w io.Writer) error { return a.Verify(t.Context(), w) },
		"by its URL":   func(w io.Writer) error { return postgres.Verify(t.Context(), at.url, w) },
	} {
		var said strings.Builder
		if err := verify(&said); err != nil {
			t.Errorf("Verify %s: %v", name, err)
		}
		want := "schema version 6\nindexes: 33 looked for\nevents: 2 read\nsends: 3 read\nattempts: 3 read\ncontradictions: 14 kinds looked for\n" +
			"ledger of consent: 4 lines, one after the other\nnumbers and scopes with consent on record: 2\n" +
			"events unfinished: 1\nevents done: 1\nsends queued: 1\nsends in_doubt: 1\nsends accepted: 1\n"
		if diff := cmp.Diff(want, said.String()); diff != "" {
			t.Errorf("Verify %s says (-want +got):\n%s", name, diff)
		}
	}
}

// grown is harm to a table that can only be added to.
func grown(harm string) string {
	return `ALTER TABLE ledger DISABLE TRIGGER USER; ` + harm + `; ALTER TABLE ledger ENABLE TRIGGER USER`
}

// Each kind of damage is found and told with the row that has it, and nothing else is.
func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, c := join(t, at, "a"), hand(t, at)
	furnish(t, a)
	const (
		reply = `(SELECT id FROM sends WHERE status = 4)`
		doubt = `(SELECT id FROM sends WHERE status = 3)`
		waits = `(SELECT id FROM sends WHERE status = 1)`
		open  = `(SELECT id FROM events WHERE fate = 0)`
	)
	for _, x := range []struct{ harm, row, want string }{
		{`UPDATE events SET fate = 9 WHERE id = ` + open, open, "1 events with a code that has no meaning"},
		{`UPDATE events SET kind = 3 WHERE id = ` + open, open, "1 events with a code that has no meaning"},
		{`UPDATE sends SET status = 77 WHERE id = ` + waits, waits, "1 sends with a code that has no meaning"},
		{`UPDATE attempts SET outcome = 0 WHERE message_id = 'SM1'`, `(SELECT id FROM attempts WHERE message_id = 'SM1')`, "1 attempts with a code that has no meaning"},
		{`UPDATE attempts SET state = 7 WHERE message_id = 'SM1'`, `(SELECT id FROM attempts WHERE message_id = 'SM1')`, "1 attempts with a code that has no meaning"},
		{`UPDATE events SET tags = '["a' WHERE id = ` + open, open, "1 events with a list that cannot be decoded"},
		{`UPDATE sends SET media = '{}' WHERE id = ` + waits, waits, "1 sends with a list that cannot be decoded"},
		{`DELETE FROM sends WHERE id = ` + doubt, `(SELECT id FROM attempts WHERE send_id = ` + doubt + ` ORDER BY id LIMIT 1)`, "2 attempts without their send"},
		{`UPDATE sends SET attempt_id = id WHERE id = ` + reply, reply, "1 sends whose newest attempt is not there"},
		{`UPDATE attempts SET superseded = NULL WHERE superseded`, `(SELECT id FROM attempts WHERE superseded)`, "1 attempts that are neither"},
		{`UPDATE attempts SET superseded = true WHERE message_id = 'SM1'`, `(SELECT id FROM attempts WHERE message_id = 'SM1')`, "1 attempts that are neither"},
		{`UPDATE sends SET status = 2 WHERE id = ` + waits, waits, "1 sends under way without an attempt"},
		{`UPDATE sends SET status = 2 WHERE id = ` + reply, reply, "1 sends under way whose attempt has ended"},
		{`UPDATE sends SET status = 1 WHERE id = ` + doubt + `; UPDATE attempts SET outcome = 1 WHERE outcome = 5`, doubt, "1 queued sends with an attempt under way"},
		{`UPDATE sends SET status = 6 WHERE id = ` + doubt, doubt, "1 accepted sends without an accepted attempt"},
		{`UPDATE events SET sends = NULL WHERE fate = 1`, reply, "1 replies that their event does not name"},
		{`UPDATE sends SET in_reply_to = NULL WHERE id = ` + reply, reply, "1 replies that do not say to what"},
		{`UPDATE events SET sends = ARRAY[gen_random_uuid()] WHERE id = ` + open, open, "1 events that decided sends and are not done"},
		{`UPDATE events SET conversation = 99 WHERE id = ` + open, open, "1 unfinished events without a conversation"},
		{`UPDATE sends SET conversation = 99 WHERE id = ` + waits, waits, "1 unfinished sends without a conversation"},
		{`DELETE FROM instances`, `(SELECT id FROM conversations)`, "1 unfinished conversations that no instance has or would take over"},
		{`UPDATE events SET seq = 99 WHERE fate = 1`, ``, "the sequence events_order is behind its rows"},
		{`UPDATE sends SET seq = 99 WHERE id = ` + waits, ``, "the sequence sends_order is behind its rows"},
		{grown(`DELETE FROM ledger WHERE seq = 1`), ``, "it begins with line 2"},
		{grown(`DELETE FROM ledger WHERE seq = 4`), ``, "it ends with line 3, and a number stands by line 4"},
		{grown(`UPDATE ledger SET number = '+12025550104' WHERE seq = 3`), ``, "line 3 does not say what was written"},
		{grown(`UPDATE ledger SET prev = hash WHERE seq = 2`), ``, "line 2 does not say what was written"},
		{grown(`UPDATE ledger SET opted_out = true WHERE seq = 4; UPDATE consents SET opted_out = true WHERE seq = 4`), ``, "1 lines of the ledger of consent that do not follow from the one before about the same number, such as line 4"},
		{grown(`UPDATE ledger SET since = NULL WHERE seq = 1`), ``, "lines of the ledger of consent that do not follow from the one before about the same number, such as line 1"},
		{grown(`UPDATE ledger SET changed = true WHERE seq = 2`), ``, "1 lines of the ledger of consent that do not follow"},
		{`UPDATE consents SET opted_out = true WHERE seq = 4`, ``, "1 numbers that do not stand where the ledger of consent says, such as that of line 4"},
		{`UPDATE consents SET seq = 2 WHERE seq = 4`, ``, "1 numbers that do not stand where the ledger of consent says, such as that of line 4"},
		{`UPDATE consents SET since = 1 WHERE seq = 3`, ``, "1 numbers that do not stand where the ledger of consent says, such as that of line 3"},
		{`DELETE FROM consents WHERE seq = 3`, ``, "1 numbers that do not stand where the ledger of consent says, such as that of line 3"},
		{`INSERT INTO consents VALUES ('+12025550105', '', true, false, NULL, 1)`, ``, "1 numbers that stand by a line which the ledger of consent does not have, such as that of line 1"},
		{`ALTER TABLE ledger DISABLE TRIGGER ledger_only_grows`, ``, "the trigger ledger_only_grows is not there or not enabled"},
		{`DROP INDEX events_id`, ``, "the index events_id is not there"},
		{`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sends_key'::regclass`, ``, "the index sends_key is not valid"},
	} {
		t.Run(x.want, func(t *testing.T) {
			example := ""
			if x.row != "" {
				if err := c.QueryRow(t.Context(), `SELECT `+x.row+`::text`).Scan(&example); err != nil {
					t.Fatal(err)
				}
			}
			tx, err := c.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			if _, err := tx.Exec(t.Context(), x.harm); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			err = postgres.Examine(t.Context(), tx, &said)
			if err == nil {
				t.Fatalf("no error after %s", x.harm)
			}
			for _, part := range []string{"is damaged", x.want, example, "restore"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not say %q", err, part)
				}
			}
			lines := strings.Split(said.String(), "\n")
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "damage: ") && strings.Contains(l, x.want) }) {
				t.Errorf("the damage is not told:\n%s", said.String())
			}
			if !strings.Contains(said.String(), "events done: 1") {
				t.Errorf("what follows the damage is not looked at:\n%s", said.String())
			}
		})
	}
}

// A page that the server cannot read ends the examination, as damage.
func TestVerifyMeetsAPageThatCannotBeRead(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, c := join(t, at, "a"), hand(t, at)
	furnish(t, a)
	must(t, c, `CREATE FUNCTION torn() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE data_corrupted; END $$;
		ALTER TABLE attempts RENAME TO attempts_whole; CREATE VIEW attempts AS SELECT * FROM attempts_whole WHERE torn()`)
	defer must(t, c, `DROP VIEW attempts; ALTER TABLE attempts_whole RENAME TO attempts; DROP FUNCTION torn`)
	if err := postgres.Verify(t.Context(), at.url, io.Discard); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("Verify: %v, want damage", err)
	}
}

func TestVerifyRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	at := schema(t)
	join(t, at, "a")
	c := hand(t, at)
	for harm, want := range map[string]string{
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`: "newer program",
		`DELETE FROM goose_db_version WHERE version_id > 1`:                       "start a daemon",
		`DROP TABLE goose_db_version`:                                             "there is no journal",
	} {
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), harm); err != nil {
			t.Fatal(err)
		}
		err = postgres.Examine(t.Context(), tx, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "is damaged") {
			t.Errorf("after %s: %v, want an error that says %q, and no damage", harm, err, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Verify knows every index that the migrations make.
func TestVerifyKnowsEveryIndex(t *testing.T) {
	t.Parallel()
	at := schema(t)
	join(t, at, "a")
	rows, err := hand(t, at).Query(t.Context(), `SELECT indexname::text FROM pg_indexes WHERE schemaname = $1 AND tablename <> 'goose_db_version' ORDER BY indexname COLLATE "C"`, at.name)
	if err != nil {
		t.Fatal(err)
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(postgres.Indexes, have); diff != "" {
		t.Errorf("indexes that Verify looks for and those of a new schema (-looked for +there):\n%s", diff)
	}
}

// cutter ends a context at the first line that it is told.
type cutter struct{ cut context.CancelFunc }

func (c cutter) Write(p []byte) (int, error) {
	c.cut()
	return len(p), nil
}

func TestVerifyEndsWhenItIsCancelled(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	furnish(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := a.Verify(ctx, cutter{cancel})
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "damaged") {
		t.Errorf("Verify that is cancelled: %v, want context.Canceled", err)
	}
	if err := a.Verify(t.Context(), io.Discard); err != nil {
		t.Errorf("Verify afterwards: %v", err)
	}
}

func TestVerifyWithoutAServerOrAJournal(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"postgres://user:s3cr3t@127.0.0.1:1/db": "check that the server runs",
		"postgres://user:s3cr3t@[::1":           "write postgres://",
	} {
		err := postgres.Verify(t.Context(), name, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("Verify: %v, want an error that says %q, without the password", err, want)
		}
	}
}
