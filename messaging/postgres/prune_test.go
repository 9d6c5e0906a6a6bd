package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/postgres"
)

// count counts what a query finds.
func count(t *testing.T, conn *pgx.Conn, what string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), `SELECT count(*) `+what, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return n
}

// claimed is a send that was made at a time, with its first attempt.
func claimed(at time.Time) *messaging.Outgoing {
	id := uuid.Must(uuid.NewV7())
	return &messaging.Outgoing{
		Send: messaging.Send{
			ID: id, Context: "support", From: ours, To: theirs, Body: "hello", Priority: messaging.PriorityReply, Category: messaging.CategoryReply, CreatedAt: at,
		},
		Attempt: &messaging.Attempt{ID: uuid.Must(uuid.NewV7()), SendID: id, Number: 1, ClaimedAt: at}, Status: messaging.StatusSending,
	}
}

// again makes another attempt at a send whose former one never left.
func (i *instance) again(out *messaging.Outgoing) {
	i.Helper()
	i.commit(func(b *messaging.Batch) {
		b.Reports = append(b.Reports, &messaging.Report{SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: messaging.OutcomeNotSent, Status: messaging.StatusQueued})
	})
	next := *out.Attempt
	next.ID, next.Number = uuid.Must(uuid.NewV7()), next.Number+1
	out.Attempt = &next
	i.commit(func(b *messaging.Batch) {
		b.Claims = append(b.Claims, &messaging.Claim{SendID: out.ID, Attempt: out.Attempt})
	})
}

// However many attempts stay that are older, those of a send that is forgotten go with it.
func TestAttemptsGoWithTheirSend(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, c := join(t, at, "a"), hand(t, at)
	old := time.Now().Add(-30 * 24 * time.Hour)
	waits, done := claimed(old), claimed(old)
	a.commit(func(b *messaging.Batch) {
		b.Enqueues = append(b.Enqueues, &messaging.Enqueue{Outgoing: waits}, &messaging.Enqueue{Outgoing: done})
	})
	a.again(waits)
	a.again(done)
	a.again(done)
	must(t, c, `INSERT INTO attempts (id, send_id, number, outcome, superseded)
		SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, $1, -i, 4, true FROM generate_series(1, 5000) i`, waits.ID)
	a.commit(func(b *messaging.Batch) {
		b.Reports = append(b.Reports, &messaging.Report{SendID: done.ID, AttemptID: done.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM1", Status: messaging.StatusAccepted})
	})
	if n, err := a.Prune(t.Context(), time.Now()); err != nil || n == 0 {
		t.Fatalf("Prune: %d, %v", n, err)
	}
	if n := count(t, c, `FROM sends WHERE id = $1`, done.ID); n != 0 {
		t.Fatal("the finished send is still there")
	}
	if n := count(t, c, `FROM attempts WHERE send_id = $1`, done.ID); n != 0 {
		t.Errorf("%d attempts of the send that is gone are left", n)
	}
	if n := count(t, c, `FROM attempts WHERE send_id = $1`, waits.ID); n != 5002 {
		t.Errorf("the send that waits has %d attempts left of 5,002", n)
	}
}

// A former version forgot attempts after their sends, and not all.
func TestUpgradeForgetsAttemptsWithoutASend(t *testing.T) {
	t.Parallel()
	at := schema(t)
	c := hand(t, at)
	must(t, c, "DROP SCHEMA "+at.name+" CASCADE; CREATE SCHEMA "+at.name)
	if err := postgres.Build(t.Context(), at.url, 1); err != nil {
		t.Fatal(err)
	}
	const with, without = "10000000-0000-7000-8000-000000000001", "10000000-0000-7000-8000-000000000002"
	must(t, c, `INSERT INTO sends (id, seq, conversation, priority, not_before, status, attempt_id) VALUES ($1, nextval('sends_order'), 1, 2, 0, 4, $1)`, with)
	for _, id := range []string{with, without} {
		must(t, c, `INSERT INTO attempts (id, send_id, number, outcome, message_id) VALUES ($1::uuid, $1, 1, 2, $1::text)`, id)
	}
	a := join(t, at, "a")
	for id, want := range map[string]int{with: 1, without: 0} {
		if n := count(t, c, `FROM attempts WHERE id = $1`, id); n != want {
			t.Errorf("%d attempts %s after the upgrade, want %d", n, id, want)
		}
	}
	state := messagingtest.NewState("support", with, ours, theirs, messaging.StateDelivered)
	state.ReceivedAt = time.Now()
	if ap := a.append(state, &messaging.Outcome{Fate: messaging.FateDone}); ap.Merge == nil || ap.Merge.Status != messaging.StatusDelivered {
		t.Errorf("a state after the upgrade: Merge is %+v, want delivered", ap.Merge)
	}
}

// However many conversations an owner had, those with something unfinished are found
// without reading the others.
func TestTakeOverReadsOnlyWhatIsUnfinished(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, c := join(t, at, "a"), hand(t, at)
	must(t, c, `INSERT INTO conversations (ours, theirs, owner) SELECT $1, '+1202555' || i, $2 FROM generate_series(10000, 29999) i`, string(ours), a.owner)
	must(t, c, `INSERT INTO events (seq, id, conversation, kind, received_at, fate, journaled_at)
		SELECT nextval('events_order'), 'old' || id, id, 1, 0, CASE WHEN theirs LIKE '%777' THEN 0 ELSE 1 END, 0 FROM conversations`)
	must(t, c, `INSERT INTO sends (id, seq, conversation, priority, not_before, status)
		SELECT gen_random_uuid(), nextval('sends_order'), id, 2, 0, CASE WHEN theirs LIKE '%888' THEN 1 ELSE 6 END FROM conversations`)
	must(t, c, `ANALYZE conversations; ANALYZE events; ANALYZE sends`)
	for statement, args := range map[string][]any{postgres.TakeOverStatement: {a.owner, 5000}, postgres.ForgetDepartedStatement: nil} {
		rows, err := c.Query(t.Context(), `EXPLAIN `+statement, args...)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"conversations", "events", "sends"} {
			if all := strings.Join(plan, "\n"); strings.Contains(all, "Seq Scan on "+table) {
				t.Errorf("all of %s is read:\n%s", table, all)
			}
		}
	}
	if err := a.Leave(t.Context(), a.owner); err != nil {
		t.Fatal(err)
	}
	if n := join(t, at, "b").takeOver(); n != 40 {
		t.Errorf("%d conversations were taken over, want the 40 with something unfinished", n)
	}
	if n := count(t, c, `FROM departed`); n != 0 {
		t.Errorf("%d owners are still held to have left something", n)
	}
}
