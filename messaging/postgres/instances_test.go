package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/postgres"
)

const (
	ours   messaging.Number = "+12025550100"
	theirs messaging.Number = "+12025550101"
)

// instance is an instance of its own on a schema. Its connections carry its name.
type instance struct {
	*testing.T
	*postgres.Store
	owner uuid.UUID
	name  string
}

func join(t *testing.T, at place, name string) *instance {
	t.Helper()
	i := &instance{T: t, Store: open(t, at.url+"&application_name="+name+at.name), owner: uuid.Must(uuid.NewV7()), name: name + at.name}
	i.renew()
	return i
}

func (i *instance) renew() messaging.Lease {
	i.Helper()
	l, err := i.Renew(i.Context(), i.owner)
	if err != nil {
		i.Fatalf("Renew: %v", err)
	}
	return l
}

func (i *instance) takeOver() int {
	i.Helper()
	i.renew()
	n, err := i.TakeOver(i.Context(), i.owner)
	if err != nil {
		i.Fatalf("TakeOver: %v", err)
	}
	return n
}

func (i *instance) batch() *messaging.Batch {
	return &messaging.Batch{ID: uuid.Must(uuid.NewV7()), Owner: i.owner, Now: time.Now().UTC().Truncate(time.Millisecond)}
}

func (i *instance) commit(fill func(b *messaging.Batch)) *messaging.Batch {
	i.Helper()
	b := i.batch()
	fill(b)
	if err := i.Commit(i.Context(), b); err != nil {
		i.Fatalf("Commit: %v", err)
	}
	return b
}

func (i *instance) events() []*messaging.Unfinished {
	i.Helper()
	w, err := i.Load(i.Context(), messaging.Query{Owner: i.owner, Now: time.Now(), Limit: 1000, Events: true})
	if err != nil {
		i.Fatalf("Load: %v", err)
	}
	return w.Events
}

func (i *instance) append(ev *messaging.Event, o *messaging.Outcome) *messaging.Append {
	i.Helper()
	a := &messaging.Append{Event: ev, Outcome: o}
	i.commit(func(b *messaging.Batch) { b.Appends = append(b.Appends, a) })
	return a
}

func (i *instance) settle(ev *messaging.Event, f messaging.Fate) *messaging.Settle {
	i.Helper()
	s := &messaging.Settle{Event: ev, Outcome: &messaging.Outcome{Fate: f, Attempt: 1, Err: "no use"}}
	i.commit(func(b *messaging.Batch) { b.Settles = append(b.Settles, s) })
	return s
}

func message() *messaging.Event {
	ev := messagingtest.NewMessage("support", theirs, ours, "hello")
	ev.ReceivedAt = time.Now().UTC().Truncate(time.Millisecond)
	return ev
}

// hand is a session of the test's own, to hold locks with.
func hand(t *testing.T, at place) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), at.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func must(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// eventually waits until f says true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not in time", what)
		}
	}
}

// waiting counts the sessions of an instance that wait for a lock.
func (i *instance) waiting(conn *pgx.Conn) (n int) {
	i.Helper()
	if err := conn.QueryRow(i.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'`, i.name).Scan(&n); err != nil {
		i.Fatal(err)
	}
	return n
}

// later runs f beside the test and reports when it has ended.
func later(t *testing.T, f func()) (ended func() bool) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	t.Cleanup(func() { <-done })
	return func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// stall makes every commit that appends the event wait until release.
func stall(t *testing.T, at place, id string) (release func()) {
	t.Helper()
	c := hand(t, at)
	must(t, c, `BEGIN`)
	must(t, c, `INSERT INTO events (seq, id, kind, received_at, fate, journaled_at) VALUES (nextval('events_order'), $1, 1, 0, 1, 0)`, id)
	return func() { t.Helper(); must(t, c, `ROLLBACK`) }
}

func TestAppendToConversationThatIsBeingPruned(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	first, second := message(), message()
	a.append(first, nil)
	a.settle(first, messaging.FateDone)
	c, look := hand(t, at), hand(t, at)
	must(t, c, `BEGIN`)
	must(t, c, `SELECT 1 FROM conversations FOR UPDATE`) // as Prune begins
	b := a.batch()
	b.Appends = append(b.Appends, &messaging.Append{Event: second})
	var err error
	var broken any
	ended := later(t, func() {
		defer func() { broken = recover() }()
		err = a.Commit(t.Context(), b)
	})
	eventually(t, "the append waits", func() bool { return a.waiting(look) > 0 })
	must(t, c, `DELETE FROM conversations`)
	must(t, c, `COMMIT`)
	eventually(t, "the append ends", ended)
	if broken != nil {
		t.Fatalf("Commit panics: %v", broken)
	}
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if !b.Appends[0].Fresh || b.Appends[0].Unheld {
		t.Errorf("Fresh %v, Unheld %v; want a fresh, held event", b.Appends[0].Fresh, b.Appends[0].Unheld)
	}
}

func TestLeftForOneThatLeavesMeanwhile(t *testing.T) {
	t.Parallel()
	at := schema(t)
	x, b, c := join(t, at, "x"), join(t, at, "b"), join(t, at, "c")
	look := hand(t, at)
	old, left := message(), message()
	x.append(old, nil)
	release := stall(t, at, left.ID)
	ap := &messaging.Append{Event: left}
	committed := later(t, func() { b.commit(func(ba *messaging.Batch) { ba.Appends = append(ba.Appends, ap) }) })
	eventually(t, "the append waits", func() bool { return b.waiting(look) > 0 })
	x.settle(old, messaging.FateDone)
	gone := later(t, func() {
		if err := x.Leave(context.Background(), x.owner); err != nil {
			t.Errorf("Leave: %v", err)
		}
	})
	eventually(t, "the owner leaves", func() bool { return gone() || x.waiting(look) > 0 })
	total := c.takeOver()
	release()
	eventually(t, "the append ends", committed)
	eventually(t, "the owner is gone", gone)
	if !ap.Fresh || !ap.Unheld {
		t.Fatalf("Fresh %v, Unheld %v; want an event that is left for its owner", ap.Fresh, ap.Unheld)
	}
	for range 3 {
		total += c.takeOver()
	}
	if total != 1 || len(c.events()) != 1 {
		t.Errorf("%d conversations were taken over, with %d events; want what was left for one that left", total, len(c.events()))
	}
}

func TestOneThatJoinsAgainKeepsWhatItOwns(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, b := join(t, at, "a"), join(t, at, "b")
	if err := a.Leave(t.Context(), a.owner); err != nil {
		t.Fatal(err)
	}
	a.renew()
	if ap := a.append(message(), nil); ap.Unheld {
		t.Fatal("Unheld in a new conversation")
	}
	if n := b.takeOver(); n != 0 {
		t.Errorf("%d conversations of a live instance that had left once were taken over", n)
	}
}

func TestOneThatJoinsAgainReadsWhatItHeld(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	a.append(message(), nil)
	if n := len(a.events()); n != 0 {
		t.Fatalf("%d events to read, want none while it holds the only one", n)
	}
	if err := a.Leave(t.Context(), a.owner); err != nil {
		t.Fatal(err)
	}
	a.renew()
	if n := len(a.events()); n != 1 {
		t.Errorf("%d events to read, want the one that it held before it left", n)
	}
}

func TestNobodyIsAnOrphanBeforeTheHeirIsSteady(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	a.append(message(), nil)
	c := hand(t, at)
	must(t, c, `UPDATE instances SET lease_until = clock_timestamp() - interval '1 hour'`)
	b := join(t, at, "b")
	if b.renew().Orphans {
		t.Error("Orphans for an instance that just came, of which TakeOver would give nothing")
	}
	if n := b.takeOver(); n != 0 {
		t.Errorf("%d conversations were taken over by an instance that just came", n)
	}
	eventually(t, "Orphans", func() bool { return b.renew().Orphans })
	if n := b.takeOver(); n != 1 {
		t.Errorf("%d conversations were taken over, want 1", n)
	}
}

func TestRenewIsNotHeldUpByReaders(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	c, look := hand(t, at), hand(t, at)
	must(t, c, `BEGIN`)
	must(t, c, `LOCK TABLE events IN ACCESS EXCLUSIVE MODE`)
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		later(t, func() { _, _ = a.Search(ctx, messaging.Search{}) })
	}
	eventually(t, "the readers wait", func() bool { return a.waiting(look) == 2 })
	within, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	if _, err := a.Renew(within, a.owner); err != nil {
		t.Errorf("Renew while people search: %v", err)
	}
	cancel()
	must(t, c, `ROLLBACK`)
}

func TestDropAndReplayAtOnce(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, b := join(t, at, "a"), join(t, at, "b")
	look := hand(t, at)
	dead, other := message(), message()
	other.From = "+12025550109"
	a.append(dead, &messaging.Outcome{Fate: messaging.FateDead, Err: "no use"})
	release := stall(t, at, other.ID)
	drop, replay := &messaging.Revive{EventID: dead.ID, Drop: true}, &messaging.Revive{EventID: dead.ID}
	dropped := later(t, func() {
		b.commit(func(ba *messaging.Batch) {
			ba.Appends = append(ba.Appends, &messaging.Append{Event: other})
			ba.Revives = append(ba.Revives, drop)
		})
	})
	eventually(t, "the drop waits", func() bool { return b.waiting(look) > 0 })
	replayed := later(t, func() {
		a.commit(func(ba *messaging.Batch) { ba.Revives = append(ba.Revives, replay) })
	})
	eventually(t, "the replay ends or waits", func() bool { return replayed() || a.waiting(look) > 0 })
	release()
	eventually(t, "both end", func() bool { return dropped() && replayed() })
	if drop.Done == replay.Done {
		t.Errorf("the drop was done: %v, the replay was done: %v; want one of them", drop.Done, replay.Done)
	}
}

func TestSettleAfterAnotherTookOver(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a, b := join(t, at, "a"), join(t, at, "b")
	ev := message()
	a.append(ev, nil)
	if err := a.Leave(t.Context(), a.owner); err != nil {
		t.Fatal(err)
	}
	if n := b.takeOver(); n != 1 {
		t.Fatalf("%d conversations were taken over, want 1", n)
	}
	if s := a.settle(ev, messaging.FateDone); !s.Lost {
		t.Error("an event that another instance took over was settled; want Lost")
	}
	if s := b.settle(ev, messaging.FateDone); s.Lost {
		t.Error("Lost for the instance that took the event over")
	}
}

// The states of what other programs send on the same number never find a send.
func TestStatesOfStrangersAreNotKeptForEver(t *testing.T) {
	t.Parallel()
	at := schema(t)
	a := join(t, at, "a")
	c := hand(t, at)
	state := func(message string, at time.Time) {
		ev := messagingtest.NewState("support", message, ours, theirs, messaging.StateSent)
		ev.ReceivedAt = at
		b := a.batch()
		b.Now = at
		b.Appends = append(b.Appends, &messaging.Append{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone}})
		if err := a.Commit(t.Context(), b); err != nil {
			t.Fatalf("Commit: %v", err)
		}
	}
	early := func() (n int) {
		t.Helper()
		if err := c.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE early`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	start := time.Now()
	state("SM-stranger 1", start)
	state("SM-stranger 2", start.Add(9*time.Minute))
	if n := early(); n != 2 {
		t.Fatalf("%d states wait for a report, want 2", n)
	}
	state("SM-stranger 3", start.Add(11*time.Minute))
	if n := early(); n != 2 {
		t.Errorf("%d states wait for a report, want the two that came within the last 10 minutes", n)
	}
}
