package messagingtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// Features says what a store can do beyond the contract that all of them share.
type Features struct {
	// Reopen closes a store and opens the same data again. A durable store needs it, and
	// only a durable store has it.
	Reopen func(t *testing.T, s messaging.Store) messaging.Store
	// Another opens a second store on the data of the first, as another instance does. A
	// shared store needs it, and only a shared store has it.
	Another func(t *testing.T, s messaging.Store) messaging.Store
	// Lease is after what time without a renewal an instance of such a store may be taken
	// for dead: its lease and what is waited beyond it. Tests wait for it, so open stores
	// with a short one; a live instance renews ten times as often. Only with Another.
	Lease time.Duration
}

// TestStore checks that a store keeps the contract of messaging.Store. open makes an empty
// store and arranges for its end; it is called once for each of many parallel tests.
func TestStore(t *testing.T, open func(t *testing.T) messaging.Store, f Features) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"Append", appendTests},
		{"Settle", settleTests},
		{"Send", sendTests},
		{"Report", reportTests},
		{"State", stateTests},
		{"Load", loadTests},
		{"Batch", batchTests},
		{"Revive", reviveTests},
		{"Redelivery", redeliveryTests},
		{"Life", lifeTests},
		{"Search", searchTests},
		{"Forget", forgetTests},
		{"Redact", redactTests},
		{"Prune", pruneTests},
	}
	t.Run("Traits", func(t *testing.T) {
		tr := open(t).Traits()
		if tr.Name == "" {
			t.Error("Traits: Name is empty")
		}
		if tr.Durable != (f.Reopen != nil) {
			t.Errorf("Traits: Durable is %v, Features.Reopen is set: %v", tr.Durable, f.Reopen != nil)
		}
		if tr.Shared != (f.Another != nil) {
			t.Errorf("Traits: Shared is %v, Features.Another is set: %v", tr.Shared, f.Another != nil)
		}
		if f.Another != nil && f.Lease <= 0 {
			t.Error("Features: Another is set, Lease is not")
		}
	})
	t.Run("Interfaces", func(t *testing.T) {
		s := open(t)
		if _, ok := s.(messaging.Archive); !ok {
			t.Errorf("%T is no messaging.Archive", s)
		}
		if !hasLedger(s) {
			t.Errorf("%T is no messaging.ConsentLedger; the tests of consent are left out", s)
		}
		if _, ok := s.(messaging.ValueReader); !ok {
			t.Errorf("%T is no messaging.ValueReader; the tests of values are left out", s)
		}
		if _, ok := s.(messaging.Sharer); ok != s.Traits().Shared {
			t.Errorf("%T is a messaging.Sharer: %v; Traits: Shared is %v", s, ok, s.Traits().Shared)
		}
	})
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newWorld(t, open(t)))
				})
			}
		})
	}
	t.Run("Consent", func(t *testing.T) {
		for _, c := range consentTests {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				needLedger(t, s)
				c.run(newWorld(t, s))
			})
		}
	})
	for name, tests := range map[string][]test{"Values": valueTests, "Carry": carryTests} {
		t.Run(name, func(t *testing.T) {
			for _, c := range tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					needValues(t, s)
					c.run(newWorld(t, s))
				})
			}
		})
	}
	t.Run("Model", func(t *testing.T) {
		t.Parallel()
		testModel(t, open)
	})
	if f.Reopen != nil {
		t.Run("Durable", func(t *testing.T) { testDurable(t, open, f.Reopen) })
	}
	if f.Another != nil {
		t.Run("Shared", func(t *testing.T) { testShared(t, open, f) })
	}
}

type test struct {
	name string
	run  func(w *world)
}

// The numbers of the suite. Nobody has them.
const (
	ours   messaging.Number = "+12025550100"
	theirs messaging.Number = "+12025550101"
)

// world is a store with a clock and an owner.
type world struct {
	*testing.T
	store messaging.Store
	owner uuid.UUID
	now   time.Time
	lease time.Duration // of a shared store; see Features
}

func newWorld(t *testing.T, s messaging.Store) *world {
	return &world{T: t, store: s, owner: newID(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// pass lets time go by.
func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// batch makes a batch of operations.
func (w *world) batch(ops ...any) *messaging.Batch {
	w.Helper()
	b := &messaging.Batch{ID: newID(), Owner: w.owner, Now: w.now}
	for _, op := range ops {
		switch op := op.(type) {
		case *messaging.Append:
			b.Appends = append(b.Appends, op)
		case *messaging.Settle:
			b.Settles = append(b.Settles, op)
		case *messaging.Enqueue:
			b.Enqueues = append(b.Enqueues, op)
		case *messaging.Claim:
			b.Claims = append(b.Claims, op)
		case *messaging.Report:
			b.Reports = append(b.Reports, op)
		case *messaging.Revive:
			b.Revives = append(b.Revives, op)
		case *messaging.ConsentChange:
			b.Consents = append(b.Consents, op)
		case *messaging.ValueChange:
			b.Values = append(b.Values, op)
		default:
			w.Fatalf("batch: %T is not an operation", op)
		}
	}
	return b
}

// commit commits operations as one batch, which must succeed.
func (w *world) commit(ops ...any) *messaging.Batch {
	w.Helper()
	b := w.batch(ops...)
	if err := w.store.Commit(w.Context(), b); err != nil {
		w.Fatalf("Commit: %v", err)
	}
	return b
}

// refuse commits a batch that must fail for its content.
func (w *world) refuse(b *messaging.Batch) {
	w.Helper()
	err := w.store.Commit(w.Context(), b)
	switch {
	case err == nil:
		w.Fatal("Commit of a batch that cannot be applied: no error")
	case errors.Is(err, messaging.ErrUnavailable), errors.Is(err, messaging.ErrFull):
		w.Fatalf("Commit: %v; want an error that blames the batch", err)
	}
}

const everything = 100_000

// load reads all the work there is.
func (w *world) load() *messaging.Work {
	w.Helper()
	return w.query(messaging.Query{Limit: everything, Events: true, Sends: true, Doubts: true})
}

// load asks a store for work. An owner of a shared store is not told again of what it holds,
// so there an heir takes over everything, asks, and gives it back.
func load(ctx context.Context, s messaging.Store, q messaging.Query) (*messaging.Work, error) {
	shared, ok := s.(messaging.Sharer)
	if !ok || !s.Traits().Shared {
		return s.Load(ctx, q)
	}
	owner, heir := q.Owner, newID()
	if err := handOver(ctx, shared, owner, heir); err != nil {
		return nil, err
	}
	q.Owner = heir
	work, err := s.Load(ctx, q)
	return work, errors.Join(err, handOver(ctx, shared, heir, owner))
}

// handOver ends one instance and gives everything it owns to another.
func handOver(ctx context.Context, s messaging.Sharer, from, to uuid.UUID) error {
	if err := s.Leave(ctx, from); err != nil {
		return err
	}
	if _, err := s.Renew(ctx, to); err != nil {
		return err
	}
	for {
		if n, err := s.TakeOver(ctx, to); err != nil || n == 0 {
			return err
		}
	}
}

func (w *world) query(q messaging.Query) *messaging.Work {
	w.Helper()
	q.Owner, q.Now = w.owner, w.now
	find := load
	if w.lease > 0 { // a test of instances: what is held is a part of it
		find = func(ctx context.Context, s messaging.Store, q messaging.Query) (*messaging.Work, error) {
			return s.Load(ctx, q)
		}
	}
	work, err := find(w.Context(), w.store, q)
	if err != nil {
		w.Fatalf("Load: %v", err)
	}
	return work
}

// message makes an inbound of the suite's conversation, arrived now.
func (w *world) message(body string) *messaging.Event {
	ev := NewMessage("support", theirs, ours, body)
	ev.ReceivedAt, ev.SentAt = w.now, w.now.Add(-time.Second)
	return ev
}

// state makes a state of a message of ours, arrived now.
func (w *world) state(messageID string, s messaging.State, tags ...string) *messaging.Event {
	ev := NewState("support", messageID, ours, theirs, s, tags...)
	ev.ReceivedAt, ev.SentAt = w.now, w.now.Add(-time.Second)
	return ev
}

// queued makes a send that waits.
func (w *world) queued(body string) *messaging.Outgoing {
	id := newID()
	return &messaging.Outgoing{
		Send: messaging.Send{
			ID: id, Key: "key " + id.String(), Context: "support", From: ours, To: theirs, Body: body,
			Priority: messaging.PriorityReply, Category: messaging.CategoryReply,
			ExpiresAt: w.now.Add(time.Hour), CreatedAt: w.now,
		},
		Status: messaging.StatusQueued,
	}
}

// claimed makes a send that is inserted with its first attempt.
func (w *world) claimed(body string) *messaging.Outgoing {
	out := w.queued(body)
	out.Attempt = w.attempt(out.ID, 1)
	out.Status = messaging.StatusSending
	return out
}

func (w *world) attempt(send uuid.UUID, number int) *messaging.Attempt {
	return &messaging.Attempt{ID: newID(), SendID: send, Number: number, ClaimedAt: w.now}
}

// sent commits a claimed send whose attempt was accepted under the message id.
func (w *world) sent(messageID string) *messaging.Outgoing {
	w.Helper()
	out := w.claimed("hello")
	w.commit(enqueue(out))
	w.commit(accepted(out, messageID))
	return out
}

func done(sends ...*messaging.Outgoing) *messaging.Outcome {
	return &messaging.Outcome{Fate: messaging.FateDone, Sends: sends}
}

func dead() *messaging.Outcome {
	return &messaging.Outcome{Fate: messaging.FateDead, Attempt: 1, Err: "no use"}
}

func retry(at time.Time, attempt int) *messaging.Outcome {
	return &messaging.Outcome{Fate: messaging.FateRetry, RetryAt: at, Attempt: attempt, Err: "later"}
}

// add appends an event that Load gives, on a shared store too.
func add(ev *messaging.Event) *messaging.Append { return &messaging.Append{Event: ev, Unheld: true} }

func addEarly(ev *messaging.Event, o *messaging.Outcome) *messaging.Append {
	return &messaging.Append{Event: ev, Outcome: o, Unheld: true}
}

// hold appends an event that its appender has in memory.
func hold(ev *messaging.Event) *messaging.Append { return &messaging.Append{Event: ev} }

func settle(ev *messaging.Event, o *messaging.Outcome) *messaging.Settle {
	return &messaging.Settle{Event: ev, Outcome: o}
}

func enqueue(out *messaging.Outgoing) *messaging.Enqueue { return &messaging.Enqueue{Outgoing: out} }

// claim opens an attempt at a queued send.
func claim(send uuid.UUID, a *messaging.Attempt) *messaging.Claim {
	return &messaging.Claim{SendID: send, Attempt: a, Status: messaging.StatusSending}
}

// report makes a report of a send's first attempt.
func report(out *messaging.Outgoing, o messaging.AttemptOutcome, s messaging.Status) *messaging.Report {
	return &messaging.Report{SendID: out.ID, AttemptID: out.Attempt.ID, Outcome: o, Status: s}
}

func accepted(out *messaging.Outgoing, messageID string) *messaging.Report {
	r := report(out, messaging.OutcomeAccepted, messaging.StatusAccepted)
	r.MessageID = messageID
	return r
}

func inDoubt(out *messaging.Outgoing) *messaging.Report {
	return report(out, messaging.OutcomeInDoubt, messaging.StatusInDoubt)
}

// again makes a duplicate of an event, as a redelivery brings it.
func again(ev *messaging.Event) *messaging.Event {
	dup := *ev
	dup.Seq, dup.Send = 0, nil
	return &dup
}

// merge is what a Merge says, without its references.
type merge struct {
	outcome  messaging.AttemptOutcome
	status   messaging.Status
	advanced bool
	conflict bool
}

// wantMerge checks a result, whose references must be those of the send's first attempt.
func (w *world) wantMerge(what string, m *messaging.Merge, out *messaging.Outgoing, want merge) {
	w.Helper()
	w.wantMergeOf(what, m, messaging.SendRef{ID: out.ID, Attempt: out.Attempt.ID, InReplyTo: out.InReplyTo}, want)
}

func (w *world) wantMergeOf(what string, m *messaging.Merge, ref messaging.SendRef, want merge) {
	w.Helper()
	if m == nil {
		w.Fatalf("%s: Merge is nil, want %+v", what, want)
	}
	if got := (merge{m.Outcome, m.Status, m.Advanced, m.Conflict}); got != want {
		w.Errorf("%s: Merge is %+v, want %+v", what, got, want)
	}
	if m.Ref != ref {
		w.Errorf("%s: Merge.Ref is %+v, want %+v", what, m.Ref, ref)
	}
}

// wantEvents checks which events are unfinished, in order.
func (w *world) wantEvents(work *messaging.Work, want ...*messaging.Event) {
	w.Helper()
	var got, ids []string
	for _, u := range work.Events {
		got = append(got, u.Event.ID)
	}
	for _, ev := range want {
		ids = append(ids, ev.ID)
	}
	if !slices.Equal(got, ids) {
		w.Errorf("unfinished events are %q, want %q", got, ids)
	}
}

// wantSends checks which sends are queued and due, in order.
func (w *world) wantSends(work *messaging.Work, want ...*messaging.Outgoing) {
	w.Helper()
	var got, ids []uuid.UUID
	for _, s := range work.Sends {
		got = append(got, s.ID)
		if s.Status != messaging.StatusQueued {
			w.Errorf("a loaded send has the status %q, want queued", s.Status)
		}
	}
	for _, s := range want {
		ids = append(ids, s.ID)
	}
	if !slices.Equal(got, ids) {
		w.Errorf("queued sends are %v, want %v", got, ids)
	}
}

// wantDoubts checks which attempts are open or in doubt, in order, and how they stand.
func (w *world) wantDoubts(work *messaging.Work, want ...messaging.Doubt) {
	w.Helper()
	var got []messaging.Doubt
	last := int64(0)
	for _, d := range work.Doubts {
		if d.Seq <= last {
			w.Errorf("Seq of a doubt is %d after %d, want it to grow", d.Seq, last)
		}
		last = d.Seq
		shown := *d
		shown.Seq = 0 // the store's own
		got = append(got, shown)
	}
	w.same("doubts", got, want)
}

// same compares two values. An empty slice is as good as none.
func (w *world) same(what string, got, want any) {
	w.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		w.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func (w *world) is(what string, got, want bool) {
	w.Helper()
	if got != want {
		w.Errorf("%s is %v, want %v", what, got, want)
	}
}
