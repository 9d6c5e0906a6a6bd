package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/postgres"
)

func stop(n messaging.Number) *messaging.ConsentChange {
	return &messaging.ConsentChange{Number: n, Verb: messaging.ConsentStop, Origin: messaging.OriginOperator, Actor: "somebody", Note: "by letter"}
}

// notice is a send that is inserted with its first attempt, in a conversation of its own
// with a person.
func notice(from, to messaging.Number) *messaging.Outgoing {
	out := claimed(time.Now().UTC().Truncate(time.Millisecond))
	out.From, out.To, out.Category, out.Priority = from, to, messaging.CategoryNotification, messaging.PriorityBulk
	return out
}

func (i *instance) change(cs ...*messaging.ConsentChange) {
	i.Helper()
	i.commit(func(b *messaging.Batch) { b.Consents = append(b.Consents, cs...) })
}

func (i *instance) enqueue(outs ...*messaging.Outgoing) {
	i.Helper()
	i.commit(func(b *messaging.Batch) {
		for _, out := range outs {
			b.Enqueues = append(b.Enqueues, &messaging.Enqueue{Outgoing: out})
		}
	})
}

func (i *instance) entries(q messaging.LedgerQuery) []messaging.ConsentEntry {
	i.Helper()
	found, err := i.Entries(i.Context(), q)
	if err != nil {
		i.Fatalf("Entries: %v", err)
	}
	return found
}

func TestTheLedgerIsOnlyAddedTo(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, c := join(t, at, "a"), hand(t, at)
	a.change(stop(theirs))
	for _, harm := range []string{
		`UPDATE ledger SET note = 'by mistake'`, `DELETE FROM ledger WHERE seq = 1`, `DELETE FROM ledger WHERE seq = 99`, `TRUNCATE ledger`,
		`INSERT INTO ledger SELECT * FROM ledger ON CONFLICT (seq) DO UPDATE SET note = ''`,
	} {
		if _, err := c.Exec(t.Context(), harm); err == nil || !strings.Contains(err.Error(), "only ever added to") {
			t.Errorf("%s: %v, want an error that says it is only ever added to", harm, err)
		}
	}
	if got := a.entries(messaging.LedgerQuery{}); len(got) != 1 || got[0].Note != "by letter" {
		t.Errorf("the ledger is %+v", got)
	}
}

// A journal of the version before the ledger keeps what it has, and its people stand
// nowhere.
func TestUpgradeToTheLedger(t *testing.T) {
	t.Parallel()
	at := schema(t)
	c := hand(t, at)
	must(t, c, "DROP SCHEMA "+at.name+" CASCADE; CREATE SCHEMA "+at.name)
	if err := postgres.Build(t.Context(), at.url, 2); err != nil {
		t.Fatal(err)
	}
	owner, send, attempt := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	must(t, c, `INSERT INTO conversations (ours, theirs, owner) VALUES ($1, $2, $3)`, string(ours), string(theirs), owner)
	must(t, c, `INSERT INTO instances VALUES ($1, clock_timestamp() + interval '1 hour')`, owner)
	must(t, c, `INSERT INTO attempts (id, send_id, number, outcome) VALUES ($1, $2, 1, 1)`, attempt, send)
	must(t, c, `INSERT INTO sends (id, seq, conversation, from_number, to_number, priority, not_before, status, attempt_id)
		SELECT $1, nextval('sends_order'), id, ours, theirs, 2, 0, 2, $2 FROM conversations`, send, attempt)
	// What a batch of that version was told, which may come again.
	old := &messaging.Batch{ID: uuid.Must(uuid.NewV7()), Owner: owner, Now: time.Now(), Claims: []*messaging.Claim{{SendID: send, Attempt: &messaging.Attempt{ID: attempt, SendID: send, Number: 1}}}}
	must(t, c, `INSERT INTO batches VALUES ($1, $2, 1, '{"n":1,"c":[true]}')`, owner, old.ID)

	a := join(t, at, "a")
	if err := a.Commit(t.Context(), old); err != nil || !old.Claims[0].Granted || old.Claims[0].Attempt == nil {
		t.Errorf("Commit of a batch of before: %v, %+v", err, old.Claims[0])
	}
	if states, err := a.Consents(t.Context(), 0, 10); err != nil || len(states) != 0 {
		t.Errorf("Consents: %v, %v; want none", states, err)
	}
	x := stop(theirs)
	a.change(x)
	if x.State.Seq != 1 || !slices.Equal(x.Crossing, []uuid.UUID{attempt}) {
		t.Errorf("Seq %d, Crossing %v; want 1 and the attempt of before", x.State.Seq, x.Crossing)
	}
	if err := a.Verify(t.Context(), &strings.Builder{}); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// A batch that was not written is as it was asked, since it comes again.
func TestARefusedBatchIsAsItWasAsked(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, b := join(t, at, "a"), join(t, at, "b")
	c := hand(t, at)
	open, queued := notice(ours, theirs), notice("+12025550110", theirs)
	queued.Attempt, queued.Status = nil, messaging.StatusQueued
	b.enqueue(open, queued)
	a.change(stop(theirs))
	batch := b.batch()
	out, x := notice("+12025550111", theirs), stop(theirs)
	due := time.Now().UTC().Add(-time.Minute).Truncate(time.Millisecond)
	out.NotBefore = due
	cl := &messaging.Claim{SendID: queued.ID, Attempt: &messaging.Attempt{ID: uuid.Must(uuid.NewV7()), SendID: queued.ID, Number: 1}}
	attempts := [2]*messaging.Attempt{out.Attempt, cl.Attempt}
	held := uuid.Must(uuid.NewV7())
	x.Crossing = []uuid.UUID{held}
	batch.Owner = a.owner
	batch.Enqueues, batch.Claims, batch.Consents = []*messaging.Enqueue{{Outgoing: out}}, []*messaging.Claim{cl}, []*messaging.ConsentChange{x}
	must(t, c, `CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$;
		CREATE TRIGGER no_room BEFORE INSERT ON ledger EXECUTE FUNCTION no_room()`)
	if err := a.Commit(t.Context(), batch); !errors.Is(err, messaging.ErrFull) {
		t.Fatalf("Commit to a full disk: %v, want ErrFull", err)
	}
	must(t, c, `DROP TRIGGER no_room ON ledger; DROP FUNCTION no_room`)
	if out.Attempt != attempts[0] || cl.Attempt != attempts[1] || out.Status != messaging.StatusSending || out.Reason != "" || !out.NotBefore.Equal(due) {
		t.Errorf("after an error the send has Attempt %v, Status %q, Reason %q and NotBefore %v, the claim %v", out.Attempt, out.Status, out.Reason, out.NotBefore, cl.Attempt)
	}
	if !slices.Equal(x.Crossing, []uuid.UUID{held}) {
		t.Errorf("after an error Crossing is %v, want what was asked", x.Crossing)
	}
	for _, again := range []bool{false, true} {
		if again {
			out.Attempt, cl.Attempt, out.Status, cl.Status = attempts[0], attempts[1], messaging.StatusSending, ""
			out.Overruled, cl.Overruled, x.Crossing, x.Changed, x.State = false, false, []uuid.UUID{held}, true, messaging.ConsentState{}
		}
		if err := a.Commit(t.Context(), batch); err != nil {
			t.Fatalf("Commit: %v", err)
		}
		if !out.Overruled || out.Attempt != nil || out.Status != messaging.StatusSuppressed || !cl.Granted || !cl.Overruled || cl.Attempt != nil || cl.Status != messaging.StatusSuppressed {
			t.Errorf("again: %v; the send is %+v, the claim %+v; want both overruled", again, out, cl)
		}
		if !slices.Equal(x.Crossing, []uuid.UUID{held, open.Attempt.ID}) || x.Changed || x.State.Seq != 2 {
			t.Errorf("again: %v; Crossing %v, Changed %v, State %+v", again, x.Crossing, x.Changed, x.State)
		}
	}
	if n := len(a.entries(messaging.LedgerQuery{})); n != 2 {
		t.Errorf("the ledger has %d lines, want 2", n)
	}
}

// A commit with neither claims nor changes does not wait for one that has them; one with
// either does.
func TestWhoWaitsForAChangeOfConsent(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, c, look := join(t, at, "a"), hand(t, at), hand(t, at)
	queued, accepted := notice("+12025550112", theirs), notice("+12025550113", theirs)
	queued.Attempt, queued.Status = nil, messaging.StatusQueued
	a.enqueue(queued, accepted)
	must(t, c, `BEGIN`)
	must(t, c, postgres.LockConsentsStatement)
	a.append(message(), &messaging.Outcome{Fate: messaging.FateDone})
	waits := notice("+12025550114", theirs)
	waits.Attempt, waits.Status = nil, messaging.StatusQueued
	a.enqueue(waits)
	a.commit(func(b *messaging.Batch) {
		b.Reports = append(b.Reports, &messaging.Report{SendID: accepted.ID, AttemptID: accepted.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM1", Status: messaging.StatusAccepted})
		b.Claims = append(b.Claims, &messaging.Claim{SendID: queued.ID, Status: messaging.StatusQueued, Reason: "quiet_hours"})
	})
	for what, f := range map[string]func(){
		"an insertion": func() { a.enqueue(notice("+12025550115", theirs)) },
		"a claim": func() {
			a.commit(func(b *messaging.Batch) {
				b.Claims = append(b.Claims, &messaging.Claim{SendID: waits.ID, Attempt: &messaging.Attempt{ID: uuid.Must(uuid.NewV7()), SendID: waits.ID, Number: 1}})
			})
		},
		"a change": func() { a.change(stop("+12025550199")) },
	} {
		ended := later(t, f)
		eventually(t, what+" waits", func() bool { return a.waiting(look) == 1 })
		if ended() {
			t.Errorf("%s was committed beside a change of consent", what)
		}
		must(t, c, `COMMIT`)
		eventually(t, what+" ends", ended)
		must(t, c, `BEGIN`)
		must(t, c, postgres.LockConsentsStatement)
	}
}

// race is what became of the attempts at sends to people that were opened while their stops
// were committed.
type race struct {
	*testing.T
	mu      sync.Mutex
	grants  map[uuid.UUID]time.Time // when the commit of its answer began; zero if it has none
	refused int
}

// prepare makes an attempt at a send to a person, and gives what commits it.
func (r *race) prepare(i *instance, from, to messaging.Number, waits, answered bool) func() {
	out := notice(from, to)
	attempt, b := out.Attempt, i.batch()
	cl := &messaging.Claim{SendID: out.ID, Attempt: attempt}
	if waits {
		out.Attempt, out.Status = nil, messaging.StatusQueued
		i.enqueue(out)
		b.Claims = append(b.Claims, cl)
	} else {
		b.Enqueues = append(b.Enqueues, &messaging.Enqueue{Outgoing: out})
	}
	return func() {
		r.try(i, b)
		if out.Overruled || cl.Overruled {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.refused++
			return
		}
		var began time.Time
		if answered {
			began, b = time.Now(), i.batch()
			b.Reports = append(b.Reports, &messaging.Report{SendID: out.ID, AttemptID: attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: out.ID.String(), Status: messaging.StatusAccepted})
			r.try(i, b)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.grants[attempt.ID] = began
	}
}

// try commits on any goroutine.
func (r *race) try(i *instance, b *messaging.Batch) {
	if err := i.Commit(context.Background(), b); err != nil {
		r.Errorf("Commit: %v", err)
	}
}

// Two instances open attempts while a third one's stop is committed. Each attempt that was
// granted is in the stop's line, or was answered before the stop was committed; none is
// granted afterwards; and a reader that pages meanwhile misses nothing.
func TestClaimsAgainstStops(t *testing.T) {
	t.Parallel()
	at := schema(t)
	x, instances := join(t, at, "x"), []*instance{join(t, at, "a"), join(t, at, "b")}
	const rounds, each = 10, 4
	var writing atomic.Bool
	writing.Store(true)
	read := later(t, func() {
		for after := int64(0); after < 3*rounds && !t.Failed(); {
			page, err := x.Consents(context.Background(), after, 2)
			if err != nil {
				t.Errorf("Consents: %v", err)
				return
			}
			for _, st := range page {
				if st.Seq != after+1 { // each number changes once
					t.Errorf("after line %d comes line %d", after, st.Seq)
				}
				after = st.Seq
			}
			if len(page) == 0 && !writing.Load() {
				t.Errorf("line %d is the last", after)
			}
		}
	})
	total := race{T: t}
	for n := range rounds {
		p := messaging.Number(fmt.Sprintf("+1202555%04d", 1000+n))
		r := race{T: t, grants: map[uuid.UUID]time.Time{}}
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i, in := range instances {
			for k := range each {
				commit := r.prepare(in, messaging.Number(fmt.Sprintf("+1202556%d%d%02d", i, k, n)), p, k%2 == 0, k < each/2)
				all.Go(func() { <-begin; commit() })
			}
			b := in.batch() // everybody writes the ledger
			b.Consents = append(b.Consents, stop(messaging.Number(fmt.Sprintf("+1202557%d%03d", i, n))))
			all.Go(func() { <-begin; r.try(in, b) })
		}
		var stopped time.Time
		all.Go(func() {
			<-begin
			b := x.batch()
			b.Consents = append(b.Consents, stop(p))
			r.try(x, b)
			stopped = time.Now()
		})
		close(begin)
		all.Wait()
		line := x.entries(messaging.LedgerQuery{Number: p})[0]
		for id, answered := range r.grants {
			if !slices.Contains(line.Crossing, id) && (answered.IsZero() || answered.After(stopped)) {
				t.Errorf("an attempt was granted, was not answered before the stop was committed, and is not in its line: %v", id)
			}
		}
		for i, id := range line.Crossing {
			if _, ok := r.grants[id]; !ok || slices.Contains(line.Crossing[:i], id) {
				t.Errorf("the stop's line names an attempt that was not granted, or twice: %v", id)
			}
		}
		granted := len(r.grants)
		r.prepare(instances[0], messaging.Number(fmt.Sprintf("+1202558%04d", n)), p, n%2 == 0, false)()
		if len(r.grants) != granted {
			t.Error("an attempt was granted after the stop")
		}
		total.refused += r.refused - 1
		t.Logf("%d attempts were granted, of which %d were crossed; %d were refused", granted, len(line.Crossing), r.refused-1)
	}
	writing.Store(false)
	eventually(t, "the reader has everything", read)
	if total.refused == 0 || total.refused == 2*rounds*each {
		t.Errorf("%d of %d attempts were refused: nothing was raced", total.refused, 2*rounds*each)
	}
	if err := x.Verify(t.Context(), &strings.Builder{}); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// The others are told of a change, and whoever made it is not.
func TestOthersAreToldOfAChange(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, b := join(t, at, "a"), join(t, at, "b")
	var told [2]atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var watching []func() bool
	for i, in := range []*instance{a, b} {
		watching = append(watching, later(t, func() { _ = in.Watch(ctx, in.owner, func() { told[i].Add(1) }) }))
	}
	defer func() {
		cancel()
		for _, ended := range watching {
			eventually(t, "Watch returns", ended)
		}
	}()
	eventually(t, "both listen", func() bool { return told[0].Load() == 1 && told[1].Load() == 1 })
	a.change(stop(theirs))
	eventually(t, "the other is told", func() bool { return told[1].Load() == 2 })
	ev := message()
	a.commit(func(ba *messaging.Batch) {
		ba.Appends = append(ba.Appends, &messaging.Append{Event: ev, Consents: []*messaging.ConsentChange{stop(theirs)}})
	})
	eventually(t, "the other is told of what an event says", func() bool { return told[1].Load() == 3 })
	again := *ev
	a.commit(func(ba *messaging.Batch) { // a duplicate, which changes nothing
		ba.Appends = append(ba.Appends, &messaging.Append{Event: &again, Consents: []*messaging.ConsentChange{stop(theirs)}})
	})
	b.change(stop(theirs))
	eventually(t, "the first is told of the other's", func() bool { return told[0].Load() == 2 })
	if n := told[1].Load(); n != 3 {
		t.Errorf("the second was told %d times, want 3: once it listened, and of two changes of the first", n)
	}
}

// No statement of consent reads a table from end to end, however it is asked first.
func TestPlansOfConsent(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, c := join(t, at, "a"), hand(t, at)
	a.enqueue(notice(ours, theirs))
	a.change(stop(theirs))
	for name, value := range postgres.CommittingParams {
		must(t, c, `SET `+name+` = '`+value+`'`)
	}
	for _, x := range []struct {
		sql  string
		args string
		want []string
	}{
		{postgres.ReadStandsStatement, `'{+12025550101}', '{}'`, []string{"consents_pkey", "sends_pkey"}},
		{postgres.ReadCrossingStatement, `'{+12025550101}', gen_random_uuid()`, []string{"conversations_theirs", "sends_live", "attempts_pkey"}},
	} {
		must(t, c, `DEALLOCATE ALL`)
		must(t, c, `PREPARE p AS `+x.sql)
		rows, err := c.Query(t.Context(), `EXPLAIN EXECUTE p(`+x.args+`)`)
		if err != nil {
			t.Fatalf("%s: %v", x.sql, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		for _, index := range x.want {
			if !strings.Contains(plan, index) {
				t.Errorf("the index %s is not used:\n%s", index, plan)
			}
		}
		if strings.Contains(plan, "Seq Scan") {
			t.Errorf("a table is read from end to end:\n%s", plan)
		}
	}
}

// What comes with changes of consent is found by the lines that they wrote, whatever others
// have written since.
func TestAnswerOfAChangeIsLost(t *testing.T) {
	t.Parallel()
	at := schema(t)
	p := newLine(t, at)
	a, b := join(t, place{at.name, p.url}, "a"), join(t, at, "b")
	a.append(message(), nil) // the connection is there
	open := notice("+12025550116", theirs)
	b.enqueue(open)
	batch := a.batch()
	batch.Consents = []*messaging.ConsentChange{stop(theirs), stop("+12025550117"), stop(theirs)}
	p.set(func() {
		p.filter = func(answer []byte) bool { return !strings.Contains(string(answer), "COMMIT\x00") }
	})
	if err := a.Commit(t.Context(), batch); !errors.Is(err, messaging.ErrUnavailable) {
		t.Fatalf("Commit whose answer is lost: %v, want ErrUnavailable", err)
	}
	b.commit(func(ba *messaging.Batch) {
		ba.Consents = append(ba.Consents, &messaging.ConsentChange{Number: theirs, Verb: messaging.ConsentStart, Origin: messaging.OriginOperator})
		ba.Reports = append(ba.Reports, &messaging.Report{SendID: open.ID, AttemptID: open.Attempt.ID, Outcome: messaging.OutcomeAccepted, MessageID: "SM1", Status: messaging.StatusAccepted})
	})
	if err := a.Commit(t.Context(), batch); err != nil {
		t.Fatalf("Commit of the same batch: %v", err)
	}
	want := []messaging.ConsentEntry{}
	for i, e := range a.entries(messaging.LedgerQuery{Limit: 3}) {
		want = append(want, e)
		if c := batch.Consents[i]; e.Seq != int64(i)+1 || c.Changed != e.Changed || c.State != e.State || !slices.Equal(c.Crossing, e.Crossing) {
			t.Errorf("the change %+v is told something else than its line %+v", c, e)
		}
	}
	if diff := cmp.Diff([]bool{true, true, false}, []bool{want[0].Changed, want[1].Changed, want[2].Changed}); diff != "" {
		t.Errorf("Changed (-want +got):\n%s", diff)
	}
	if !slices.Equal(want[0].Crossing, []uuid.UUID{open.Attempt.ID}) {
		t.Errorf("Crossing is %v, want the attempt that was open", want[0].Crossing)
	}
	if n := len(a.entries(messaging.LedgerQuery{})); n != 4 {
		t.Errorf("%d lines, want 4", n)
	}
}
