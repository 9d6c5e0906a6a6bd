package postgres_test

import (
	"errors"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
)

// What is wrong with the database must not be blamed on a message, which would be given up.
func TestTroubleOfTheDatabaseIsNotBlamedOnTheBatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, harm, mend string }{
		{"table gone", `ALTER TABLE events RENAME TO events_away`, `ALTER TABLE events_away RENAME TO events`},
		{"column gone", `ALTER TABLE sends RENAME COLUMN status TO away`, `ALTER TABLE sends RENAME COLUMN away TO status`},
		{"read only", `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE read_only_sql_transaction; END $$; ` +
			`CREATE TRIGGER refuse BEFORE INSERT ON events EXECUTE FUNCTION refuse()`, `DROP TRIGGER refuse ON events; DROP FUNCTION refuse`},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := schema(t)
			a := join(t, at, "a")
			a.append(message(), nil)
			c1 := hand(t, at)
			must(t, c1, c.harm)
			b := a.batch()
			ap := &messaging.Append{Event: message()}
			b.Appends = append(b.Appends, ap)
			b.Reports = append(b.Reports, &messaging.Report{SendID: a.owner, AttemptID: a.owner, Outcome: messaging.OutcomeAccepted, MessageID: "SM1", Status: messaging.StatusAccepted})
			err := a.Commit(t.Context(), b)
			if !errors.Is(err, messaging.ErrUnavailable) {
				t.Errorf("Commit: %v, want ErrUnavailable", err)
			}
			must(t, c1, c.mend)
			if err := a.Commit(t.Context(), b); err != nil || !ap.Fresh {
				t.Errorf("Commit of the same batch after the mend: %v, Fresh %v", err, ap.Fresh)
			}
		})
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	a.append(message(), nil)
	c := hand(t, at)
	must(t, c, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT ON events EXECUTE FUNCTION full_disk()`)
	b := a.batch()
	ap := &messaging.Append{Event: message()}
	b.Appends = append(b.Appends, ap)
	if err := a.Commit(t.Context(), b); !errors.Is(err, messaging.ErrFull) {
		t.Errorf("Commit to a full disk: %v, want ErrFull", err)
	}
	must(t, c, `DROP TRIGGER full_disk ON events; DROP FUNCTION full_disk`)
	if err := a.Commit(t.Context(), b); err != nil || !ap.Fresh {
		t.Errorf("Commit when there is room again: %v, Fresh %v", err, ap.Fresh)
	}
}

func TestContentThatCannotBeStoredIsBlamed(t *testing.T) {
	t.Parallel()
	a := join(t, schema(t), "a")
	ev := message()
	ev.Body = "nul \x00"
	b := a.batch()
	b.Appends = append(b.Appends, &messaging.Append{Event: ev})
	err := a.Commit(t.Context(), b)
	if err == nil || errors.Is(err, messaging.ErrUnavailable) || errors.Is(err, messaging.ErrFull) {
		t.Errorf("Commit of a text that the server refuses: %v, want an error that blames it", err)
	}
	a.append(message(), nil) // the next is not harmed
}
