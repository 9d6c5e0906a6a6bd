package messagingtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// FaultyStore is a store that fails when it is told to. Its methods may be called
// concurrently, before and during use.
type FaultyStore struct {
	store messaging.Store

	mu       sync.Mutex
	fail     []fault // of the next commits, in order
	load     []error // of the next loads, in order
	poison   map[string]error
	hold     chan struct{} // closed on release; nil when nothing is held
	held     int           // commits that wait now
	changed  chan struct{} // closed and replaced when a count changes
	traits   *messaging.Traits
	commits  int
	failures int
	rows     int
	loads    int
}

// fault is what happens to one commit.
type fault struct {
	err  error
	lost bool // the commit succeeds and its answer is lost
}

var (
	_ messaging.Store   = (*FaultyStore)(nil)
	_ messaging.Archive = (*FaultyStore)(nil)
	_ messaging.Sharer  = (*FaultyStore)(nil)

	_ messaging.ConsentLedger = (*FaultyStore)(nil)
)

// Faulty wraps a store. Until it is told otherwise it does what the store does.
func Faulty(s messaging.Store) *FaultyStore {
	return &FaultyStore{store: s, poison: map[string]error{}, changed: make(chan struct{})}
}

// FailNext makes the next n commits fail with err, before the store sees them.
func (f *FaultyStore) FailNext(n int, err error) { f.plan(n, fault{err: err}) }

// LoseNext lets the next n commits succeed and returns err all the same, as a connection
// does that breaks between the COMMIT and its answer.
func (f *FaultyStore) LoseNext(n int, err error) { f.plan(n, fault{err: err, lost: true}) }

func (f *FaultyStore) plan(n int, x fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.fail = append(f.fail, x)
	}
}

// FailNextLoads makes the next n loads, or pages of consent, fail with err.
func (f *FaultyStore) FailNextLoads(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.load = append(f.load, err)
	}
}

// Heal forgets planned failures and poison. What is held stays held.
func (f *FaultyStore) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.load = nil, nil
	clear(f.poison)
}

// Poison makes every commit fail with err whose batch holds the id: of an event, a send or
// an attempt.
func (f *FaultyStore) Poison(id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.poison[id] = err
}

// Hold makes commits wait, from now until release is called or their context ends. Calling
// release again does nothing.
func (f *FaultyStore) Hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := f.hold
	if gate == nil {
		gate = make(chan struct{})
		f.hold = gate
	}
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.hold == gate {
			f.hold = nil
			close(gate)
		}
	})
}

// SetTraits makes the store say other traits than its own, such as Blocking, so that a
// memory store can stand for a slow one.
func (f *FaultyStore) SetTraits(t messaging.Traits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.traits = &t
}

// Commits is how many commits the caller was told had succeeded.
func (f *FaultyStore) Commits() int { f.mu.Lock(); defer f.mu.Unlock(); return f.commits }

// Failures is how many commits the caller was told had failed.
func (f *FaultyStore) Failures() int { f.mu.Lock(); defer f.mu.Unlock(); return f.failures }

// Rows is how many operations the successful commits held.
func (f *FaultyStore) Rows() int { f.mu.Lock(); defer f.mu.Unlock(); return f.rows }

// Loads is how many loads were asked for.
func (f *FaultyStore) Loads() int { f.mu.Lock(); defer f.mu.Unlock(); return f.loads }

// Held is how many commits wait for a release.
func (f *FaultyStore) Held() int { f.mu.Lock(); defer f.mu.Unlock(); return f.held }

// Wait returns nil once done says true. It is asked again when a commit begins to
// wait or ends, and when a load begins.
func (f *FaultyStore) Wait(ctx context.Context, done func() bool) error {
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the store: %w", ctx.Err())
		}
	}
}

// touch wakes those who wait; the caller holds the lock.
func (f *FaultyStore) touch() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// Commit implements messaging.Store.
func (f *FaultyStore) Commit(ctx context.Context, b *messaging.Batch) error {
	err := f.commit(ctx, b)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failures++
	} else {
		f.commits++
		f.rows += b.Len()
	}
	f.touch()
	return err
}

func (f *FaultyStore) commit(ctx context.Context, b *messaging.Batch) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	var x fault
	f.mu.Lock()
	if len(f.fail) > 0 {
		x, f.fail = f.fail[0], f.fail[1:]
	} else {
		x.err = f.poisoned(b)
	}
	f.mu.Unlock()
	if x.err != nil && !x.lost {
		return x.err
	}
	if err := f.store.Commit(ctx, b); err != nil {
		return err
	}
	return x.err
}

// wait holds a commit back.
func (f *FaultyStore) wait(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.hold != nil {
		gate := f.hold
		f.held++
		f.touch()
		f.mu.Unlock()
		var err error
		select {
		case <-gate:
		case <-ctx.Done():
			err = ctx.Err()
		}
		f.mu.Lock()
		f.held--
		if err != nil {
			return fmt.Errorf("%w: %w", messaging.ErrUnavailable, err)
		}
	}
	return nil
}

// poisoned finds the error of a batch that holds a poisoned id; the caller holds the lock.
func (f *FaultyStore) poisoned(b *messaging.Batch) error {
	if len(f.poison) == 0 {
		return nil
	}
	var found error
	look := func(id string) {
		if err, ok := f.poison[id]; ok && found == nil {
			found = err
		}
	}
	send := func(o *messaging.Outgoing) {
		look(o.ID.String())
		if o.Attempt != nil {
			look(o.Attempt.ID.String())
		}
	}
	outcome := func(o *messaging.Outcome) {
		if o != nil {
			for _, out := range o.Sends {
				send(out)
			}
		}
	}
	for _, a := range b.Appends {
		look(a.Event.ID)
		outcome(a.Outcome)
	}
	for _, s := range b.Settles {
		look(s.Event.ID)
		outcome(s.Outcome)
	}
	for _, q := range b.Enqueues {
		send(q.Outgoing)
	}
	for _, c := range b.Claims {
		look(c.SendID.String())
	}
	for _, r := range b.Reports {
		look(r.SendID.String())
		look(r.AttemptID.String())
	}
	for _, v := range b.Revives {
		look(v.EventID)
	}
	return found
}

// Load implements messaging.Store.
func (f *FaultyStore) Load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	if err := f.planned(true); err != nil {
		return nil, err
	}
	return f.store.Load(ctx, q)
}

// planned gives the failure that is planned for a reading.
func (f *FaultyStore) planned(load bool) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if load {
		f.loads++
	}
	if len(f.load) > 0 {
		err, f.load = f.load[0], f.load[1:]
	}
	f.touch()
	return err
}

// Prune implements messaging.Store.
func (f *FaultyStore) Prune(ctx context.Context, before time.Time) (int64, error) {
	return f.store.Prune(ctx, before)
}

// Traits implements messaging.Store.
func (f *FaultyStore) Traits() messaging.Traits {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.traits != nil {
		return *f.traits
	}
	return f.store.Traits()
}

// Close implements messaging.Store.
func (f *FaultyStore) Close() error { return f.store.Close() }
