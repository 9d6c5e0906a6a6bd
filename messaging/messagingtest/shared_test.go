package messagingtest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// sharedData is a journal in memory that several instances share: the model, with a lock.
type sharedData struct {
	mu        sync.Mutex
	model     model
	owners    map[messaging.Conversation]uuid.UUID
	holders   map[*modelEvent]uuid.UUID
	instances map[uuid.UUID]time.Time // when the lease of each that lives runs out
	gone      map[uuid.UUID]bool      // was declared dead
	watches   map[uuid.UUID]map[*func()]bool
	batches   map[uuid.UUID]*messaging.Batch // with their results
	batch     *messaging.Batch               // under way
	told      map[uuid.UUID]bool             // by the batch
	wrong     string
	counters  map[messaging.Counter]messaging.Counter // by owner, scope, key and start
	counted   int64                                   // the last Seq of one
	lease     time.Duration
	margin    time.Duration // after it, before an instance may be declared dead
}

const (
	shortLease  = 500 * time.Millisecond
	shortMargin = 250 * time.Millisecond
)

// sharedStore is one instance's access to it. It is wrong in one way, which the suite must
// notice, if the data say so.
type sharedStore struct{ *sharedData }

func newSharedStore(wrong string) *sharedStore {
	d := &sharedData{
		owners: map[messaging.Conversation]uuid.UUID{}, holders: map[*modelEvent]uuid.UUID{},
		instances: map[uuid.UUID]time.Time{}, gone: map[uuid.UUID]bool{},
		watches: map[uuid.UUID]map[*func()]bool{}, batches: map[uuid.UUID]*messaging.Batch{}, wrong: wrong,
		counters: map[messaging.Counter]messaging.Counter{},
		lease:    shortLease, margin: shortMargin,
	}
	d.model.share = d
	d.model.values.careless = wrong == "versions are not compared"
	return &sharedStore{d}
}

func (s *sharedStore) Traits() messaging.Traits {
	return messaging.Traits{Name: "shared", Durable: true, Shared: true}
}

func (s *sharedStore) Close() error { return nil }

func (s *sharedStore) Prune(context.Context, time.Time) (int64, error) { return 0, nil }

func (d *sharedData) is(wrong string) bool { return d.wrong == wrong }

// isWrong implements share.
func (d *sharedData) isWrong(way string) bool { return d.is(way) }

// Values implements messaging.ValueReader.
func (d *sharedData) Values(_ context.Context, q messaging.ValueQuery) ([]messaging.Value, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.model.values.read(q), nil
}

// alive reports whether an instance was neither declared dead nor has left.
func (d *sharedData) alive(owner uuid.UUID) bool { _, ok := d.instances[owner]; return ok }

// busy reports whether something of a conversation is unfinished, but for one event.
func (d *sharedData) busy(c messaging.Conversation, but *modelEvent) bool {
	for _, e := range d.model.events {
		if e != but && !e.finished && e.ev.Conversation() == c {
			return true
		}
	}
	for _, s := range d.model.sends {
		if s.Conversation() != c {
			continue
		}
		switch s.status {
		case messaging.StatusQueued:
			return !d.is("a queued send keeps nothing")
		case messaging.StatusSending:
			return !d.is("a claimed send keeps nothing")
		case messaging.StatusInDoubt:
			return !d.is("a doubt keeps nothing")
		}
	}
	return false
}

// overrule implements share.
func (d *sharedData) overrule(s *messaging.Send) messaging.Verdict {
	states := d.model.stands()
	if d.is("a review overrules nothing") {
		states = slices.DeleteFunc(states, func(st messaging.ConsentState) bool { return st.Review })
	}
	if d.is("a scope overrules everything") {
		for i := range states {
			states[i].Scope = messaging.ScopeAll
		}
	}
	own := d.is("the own change is not seen") && len(d.batch.Consents) > 0
	if d.is("nothing is overruled") || own || d.is("a claim is not overruled") && len(d.batch.Claims) > 0 ||
		d.is("an insertion is not overruled") && len(d.batch.Claims) == 0 {
		return messaging.Verdict{}
	}
	if d.is("even the confirmation is overruled") {
		other := *s
		other.Category = messaging.CategoryReply
		s = &other
	}
	return messaging.ConsentVerdict(d.batch.Now, s, states...)
}

// cross implements share.
func (d *sharedData) cross(c *messaging.ConsentChange) {
	if c.Verb != messaging.ConsentStop && !d.is("everything crosses") || d.is("nothing crosses") {
		return
	}
	for _, a := range d.model.attempts {
		open := a.outcome == messaging.OutcomeOpen || d.is("what was answered crosses too")
		other := a.owner != d.batch.Owner || d.is("what is the caller's crosses too")
		if open && other && (a.send.To == c.Number || d.is("the attempts at others cross")) && !slices.Contains(c.Crossing, a.ID) {
			c.Crossing = append(slices.Clone(c.Crossing), a.ID)
		}
	}
}

// visible are the lines that can be read.
func (d *sharedData) visible() []messaging.ConsentEntry {
	all := slices.Clone(d.model.ledger)
	if n := len(all); d.is("a line shows after the next one") && n > 1 && n%2 == 0 {
		all = slices.Delete(all, n-2, n-1)
	}
	return all
}

func (s *sharedStore) Consents(ctx context.Context, after int64, limit int) ([]messaging.ConsentState, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := model{ledger: s.visible()}
	found := slices.DeleteFunc(shown.stands(), func(st messaging.ConsentState) bool { return st.Seq <= after })
	return some(found, true, limit), nil
}

func (s *sharedStore) ConsentOf(ctx context.Context, numbers ...messaging.Number) ([]messaging.ConsentState, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(s.model.stands(), func(st messaging.ConsentState) bool { return !slices.Contains(numbers, st.Number) }), nil
}

func (s *sharedStore) Entries(ctx context.Context, q messaging.LedgerQuery) ([]messaging.ConsentEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return some(slices.DeleteFunc(s.visible(), func(e messaging.ConsentEntry) bool {
		return e.Seq <= q.After || q.Number != "" && e.Number != q.Number
	}), true, cmp.Or(q.Limit, 1000)), nil
}

// mine implements share.
func (d *sharedData) mine(c messaging.Conversation) bool { return d.take(c, nil) }

func (d *sharedData) take(c messaging.Conversation, with *modelEvent) bool {
	owner, writer := d.owners[c], d.batch.Owner
	if owner == writer {
		return true
	}
	take := !d.busy(c, with)
	if d.is("an idle conversation stays with its owner") {
		take = owner == uuid.Nil
	}
	if !d.alive(owner) && !d.is("an append takes nothing from the gone") {
		take = true
	}
	if take || d.is("everybody owns everything") {
		d.owners[c] = writer
		return true
	}
	d.told[owner] = true
	return false
}

// place implements share.
func (d *sharedData) place(e *modelEvent, unheld bool) bool {
	c := e.ev.Conversation()
	mine := d.take(c, e)
	for _, o := range d.model.events {
		if o != e && !o.finished && o.ev.Conversation() == c && d.holders[o] != d.owners[c] && !d.is("an append overtakes what waits") {
			unheld = true
		}
	}
	if e.finished && d.is("an early outcome always stands") {
		return false
	}
	if mine && !unheld {
		d.holders[e] = d.batch.Owner
	} else {
		delete(d.holders, e)
	}
	return !mine || unheld
}

func (s *sharedStore) Commit(ctx context.Context, b *messaging.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[b.Owner] && !s.is("the dead write") {
		return messaging.ErrFenced
	}
	if !s.alive(b.Owner) && !s.is("a commit does not join") {
		s.instances[b.Owner] = time.Now().Add(s.lease)
	}
	if b.ID != uuid.Nil {
		if before := s.batches[b.ID]; before != nil {
			restore(b, before)
			return nil
		}
	}
	s.batch, s.told = b, map[uuid.UUID]bool{}
	if s.is("the same event is fresh for all") {
		for _, a := range b.Appends {
			a.Event.ID += b.Owner.String()
		}
	}
	s.model.marks(b)
	s.model.apply(b)
	s.batches[b.ID] = snapshot(b)
	if !s.is("nobody is told") {
		for owner := range s.told {
			s.tell(owner)
		}
	}
	return nil
}

// tell calls who watches for an owner.
func (d *sharedData) tell(owner uuid.UUID) {
	for f := range d.watches[owner] {
		(*f)()
	}
}

// snapshot copies a batch with its results.
func snapshot(b *messaging.Batch) *messaging.Batch {
	c := &messaging.Batch{Consents: snapshotConsents(b.Consents), Values: snapshotValues(b.Values)}
	for _, a := range b.Appends {
		n := *a
		ev := *a.Event
		n.Event, n.Outcome, n.Merge = &ev, snapshotOutcome(a.Outcome), snapshotMerge(a.Merge)
		n.Consents = snapshotConsents(a.Consents)
		c.Appends = append(c.Appends, &n)
	}
	for _, x := range b.Settles {
		n := *x
		n.Outcome = snapshotOutcome(x.Outcome)
		c.Settles = append(c.Settles, &n)
	}
	for _, q := range b.Enqueues {
		c.Enqueues = append(c.Enqueues, &messaging.Enqueue{
			Outgoing: copied(q.Outgoing), Values: snapshotValues(q.Values), Existing: copied(q.Existing), Conflict: q.Conflict,
		})
	}
	for _, x := range b.Claims {
		c.Claims = append(c.Claims, copied(x))
	}
	for _, r := range b.Reports {
		n := *r
		n.Merge = snapshotMerge(r.Merge)
		c.Reports = append(c.Reports, &n)
	}
	for _, v := range b.Revives {
		n := *v
		n.Event = copied(v.Event)
		c.Revives = append(c.Revives, &n)
	}
	return c
}

func snapshotMerge(m *messaging.Merge) *messaging.Merge {
	if m = copied(m); m != nil && m.Again != nil {
		m.Again = copied(m.Again)
		m.Again.Attempt = copied(m.Again.Attempt)
	}
	return m
}

func snapshotOutcome(o *messaging.Outcome) *messaging.Outcome {
	if o = copied(o); o != nil {
		var sends []*messaging.Outgoing
		for _, out := range o.Sends {
			sends = append(sends, copied(out))
		}
		o.Sends, o.Consents, o.Values = sends, snapshotConsents(o.Consents), snapshotValues(o.Values)
	}
	return o
}

func snapshotConsents(cs []*messaging.ConsentChange) (all []*messaging.ConsentChange) {
	for _, c := range cs {
		all = append(all, copied(c))
	}
	return all
}

// restore fills in the results that a batch had.
func restore(b, had *messaging.Batch) {
	had = snapshot(had)
	restoreValues(b, valueResults(had))
	var changes []*messaging.ConsentChange
	had.EachConsent(func(c *messaging.ConsentChange) { changes = append(changes, c) })
	b.EachConsent(func(c *messaging.ConsentChange) {
		c.Changed, c.State, c.Crossing = changes[0].Changed, changes[0].State, changes[0].Crossing
		changes = changes[1:]
	})
	send := func(out, had *messaging.Outgoing) {
		out.Inserted, out.Unheld = had.Inserted, had.Unheld
		if out.Overruled = had.Overruled; out.Overruled {
			out.Attempt, out.Status, out.Reason, out.NotBefore = nil, had.Status, had.Reason, had.NotBefore
		}
	}
	outcome := func(o, had *messaging.Outcome) {
		if o != nil {
			for i, out := range o.Sends {
				send(out, had.Sends[i])
			}
		}
	}
	for i, a := range b.Appends {
		h := had.Appends[i]
		a.Fresh, a.Unheld, a.Merge = h.Fresh, h.Unheld, h.Merge
		if a.Fresh {
			a.Event.Seq = h.Event.Seq
		}
		outcome(a.Outcome, h.Outcome)
	}
	for i, x := range b.Settles {
		x.Lost = had.Settles[i].Lost
		outcome(x.Outcome, had.Settles[i].Outcome)
	}
	for i, q := range b.Enqueues {
		h := had.Enqueues[i]
		send(q.Outgoing, h.Outgoing)
		q.Existing = h.Existing
	}
	for i, c := range b.Claims {
		h := had.Claims[i]
		if c.Granted, c.Overruled = h.Granted, h.Overruled; c.Overruled {
			c.Attempt, c.Status, c.Reason, c.NotBefore = nil, h.Status, h.Reason, h.NotBefore
		}
	}
	for i, r := range b.Reports {
		r.Merge = had.Reports[i].Merge
	}
	for i, v := range b.Revives {
		h := had.Revives[i]
		v.Done, v.Event, v.Unheld = h.Done, h.Event, h.Unheld
	}
}

func (s *sharedStore) Load(ctx context.Context, q messaging.Query) (*messaging.Work, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.is("everybody loads everything")
	w := s.model.loadOf(q.Now, func(e *modelEvent) bool {
		held := s.holders[e] == q.Owner && !s.is("what is held is loaded too")
		return all || s.owners[e.ev.Conversation()] == q.Owner && !held && e.ev.Seq > q.AfterSeq
	}, func(d *modelSend) bool { return all || s.owners[d.Conversation()] == q.Owner })
	if s.is("the newest is loaded first") {
		slices.SortFunc(w.Events, func(a, b *messaging.Unfinished) int { return cmp.Compare(b.Event.Seq, a.Event.Seq) })
	}
	w.Doubts = slices.DeleteFunc(w.Doubts, func(d *messaging.Doubt) bool { return d.Seq <= q.AfterDoubt })
	return &messaging.Work{
		Events: some(w.Events, q.Events, q.Limit), Sends: some(w.Sends, q.Sends, q.Limit),
		Doubts: some(w.Doubts, q.Doubts, q.Limit), NextDue: w.NextDue,
	}, nil
}

func some[T any](all []T, wanted bool, limit int) []T {
	if !wanted {
		return nil
	}
	return all[:min(len(all), limit)]
}

func (s *sharedStore) Renew(_ context.Context, owner uuid.UUID) (messaging.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[owner] && !s.is("the dead rise") {
		return messaging.Lease{}, messaging.ErrFenced
	}
	now := time.Now()
	s.instances[owner] = now.Add(s.lease)
	l := messaging.Lease{Until: now.Add(s.lease)}
	for c, o := range s.owners {
		until, lives := s.instances[o]
		lapsed := lives && !s.is("nobody is told of the dead") && now.After(until.Add(s.margin))
		if (!lives || lapsed) && s.busy(c, nil) {
			l.Orphans = true
		}
	}
	if l.Instances = len(s.instances); s.is("the gone are counted") {
		l.Instances += len(s.gone)
	}
	if s.is("the caller is not counted") {
		l.Instances--
	}
	if s.is("a lease lasts for ever") {
		l.Until = now.Add(time.Hour)
	}
	return l, nil
}

func (s *sharedStore) TakeOver(_ context.Context, owner uuid.UUID) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[owner] {
		return 0, messaging.ErrFenced
	}
	for o, until := range s.instances {
		if o != owner && (time.Now().After(until.Add(s.margin)) || s.is("the living are declared dead")) {
			delete(s.instances, o)
			s.gone[o] = true
		}
	}
	for c, o := range s.owners {
		if s.alive(o) || !s.busy(c, nil) && !s.is("idle conversations are counted") {
			continue
		}
		if n == 3 {
			return n, nil // a bounded number
		}
		n++
		s.owners[c] = owner
		if s.is("what the dead held stays held") {
			for e, h := range s.holders {
				if h == o {
					s.holders[e] = owner
				}
			}
		}
	}
	return n, nil
}

func (s *sharedStore) Leave(_ context.Context, owner uuid.UUID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is("a leave gives nothing") {
		return nil
	}
	delete(s.instances, owner)
	if !s.is("nobody is told of a leave") {
		for o := range s.watches {
			s.tell(o)
		}
	}
	return nil
}

func (s *sharedStore) Watch(ctx context.Context, owner uuid.UUID, f func()) error {
	s.mu.Lock()
	if s.watches[owner] == nil {
		s.watches[owner] = map[*func()]bool{}
	}
	s.watches[owner][&f] = true
	s.mu.Unlock()
	f()
	if s.is("a watch never ends") {
		ctx = context.Background()
	}
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watches[owner], &f)
	return ctx.Err()
}

func (s *sharedStore) Count(_ context.Context, owner uuid.UUID, counters []messaging.Counter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range counters {
		s.counted++
		if c.Owner, c.Seq = owner, s.counted; s.is("the newest counter shows late") {
			c.Seq ^= 1
		}
		place := messaging.Counter{Owner: owner, Scope: c.Scope, Key: c.Key, Start: c.Start}
		if s.is("days are mixed up") {
			place.Start = time.Time{}
		}
		if old := s.counters[place]; s.is("counters are added up") {
			c.N += old.N
		}
		s.counters[place] = c
	}
	return nil
}

func (s *sharedStore) Counted(_ context.Context, except uuid.UUID, after int64, limit int) ([]messaging.Counter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []messaging.Counter
	for _, c := range s.counters {
		gone := s.is("the gone do not count") && !s.alive(c.Owner)
		if own := c.Owner == except && !s.is("the own counters are read too"); c.Seq > after && !own && !gone {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b messaging.Counter) int { return cmp.Compare(a.Seq, b.Seq) })
	return some(found, true, limit), nil
}

// Each engine is told how many there are before it may send, and when that changes.
func TestEngineTellsOfInstances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore("")
		begin := func() (told *[]int, end func()) {
			told = new([]int)
			var running sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			engine := messaging.NewEngine(store, nil, nil, messaging.Config{
				Logger: slog.New(slog.DiscardHandler), Instances: func(n int) { *told = append(*told, n) },
			})
			// Only stop ends, or it would be a matter of luck whether the engine says goodbye.
			running.Go(func() { _ = engine.Run(ctx, context.Background()) })
			return told, func() { cancel(); running.Wait() }
		}
		want := func(who string, told *[]int, ns ...int) {
			t.Helper()
			time.Sleep(store.lease / 4)
			synctest.Wait()
			if !slices.Equal(*told, ns) {
				t.Errorf("%s was told of %v instances, want %v", who, *told, ns)
			}
		}
		a, endA := begin()
		want("the first alone", a, 1)
		b, endB := begin()
		want("the first of two", a, 1, 2)
		want("the second", b, 2)
		endB()
		want("the one that stays", a, 1, 2, 1)
		endA()
	})
}

// wrongVariable names the environment variable that makes TestShared run on a wrong store.
const wrongVariable = "MESSAGINGTEST_WRONG"

func sharedFeatures() Features {
	return Features{
		Another: func(_ *testing.T, s messaging.Store) messaging.Store {
			return &sharedStore{s.(*sharedStore).sharedData}
		},
		Lease: shortLease + shortMargin,
	}
}

// TestShared runs the tests of instances on a right store.
func TestShared(t *testing.T) {
	testShared(t, func(*testing.T) messaging.Store { return newSharedStore(os.Getenv(wrongVariable)) }, sharedFeatures())
}

// TestSharedNoticesWhatIsWrong runs tests on stores that break one promise each.
func TestSharedNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs this program once for each promise")
	}
	for wrong, test := range map[string]string{
		"nothing is overruled":                      "Consent/StopOverrulesWhatOthersSend",
		"a claim is not overruled":                  "Consent/StopOverrulesWhatOthersSend",
		"an insertion is not overruled":             "Consent/StopOverrulesWhatOthersSend",
		"a review overrules nothing":                "Consent/ReviewPutsOffWhatOthersSend",
		"a scope overrules everything":              "Consent/ScopesOverruleTheirOwn",
		"the own change is not seen":                "Consent/OverruledInTheSameBatch",
		"even the confirmation is overruled":        "Consent/ConfirmationLeaves",
		"nothing crosses":                           "Consent/StopCrossesTheAttemptsOfOthers",
		"everything crosses":                        "Consent/StopCrossesTheAttemptsOfOthers",
		"what was answered crosses too":             "Consent/StopCrossesTheAttemptsOfOthers",
		"what is the caller's crosses too":          "Consent/StopCrossesTheAttemptsOfOthers",
		"the attempts at others cross":              "Consent/StopCrossesTheAttemptsOfOthers",
		"a line shows after the next one":           "Consent/ReaderMissesNothing",
		"the same event is fresh for all":           "Race/SameEvent",
		"everybody owns everything":                 "Owner/FirstAppenderOwns",
		"a queued send keeps nothing":               "Owner/UnfinishedKeepsTheConversation",
		"a claimed send keeps nothing":              "Owner/UnfinishedKeepsTheConversation",
		"a doubt keeps nothing":                     "Owner/UnfinishedKeepsTheConversation",
		"an idle conversation stays with its owner": "Owner/FinishedKeepsNothing",
		"an append overtakes what waits":            "Owner/NothingOvertakesWhatWaits",
		"an early outcome always stands":            "Owner/EarlyOutcomeNeedsTheConversation",
		"versions are not compared":                 "Values/CompareAndSet",
		"a question makes nothing doubtful":         "Consent/UnlessAsked",
		"marks are not looked at":                   "Owner/EarlyOutcomeNeedsNoMarks",
		"everybody loads everything":                "Owner/ForeignSendsAreLeftToTheOwner",
		"what is held is loaded too":                "Owner/FirstAppenderOwns",
		"the newest is loaded first":                "Owner/NothingOvertakesWhatHasNoRoom",
		"nobody is told":                            "Watch/OfAnEvent",
		"nobody is told of a leave":                 "Watch/OfALeave",
		"a watch never ends":                        "Watch/EndsWithItsContext",
		"a leave gives nothing":                     "Leave/OthersTakeOverAtOnce",
		"idle conversations are counted":            "Leave/OthersTakeOverAtOnce",
		"what the dead held stays held":             "Leave/OthersTakeOverAtOnce",
		"an append takes nothing from the gone":     "Leave/AppendTakesFromTheGone",
		"a commit does not join":                    "Leave/CommitJoins",
		"days are mixed up":                         "Counters/OthersReadWhatChanges",
		"counters are added up":                     "Counters/OthersReadWhatChanges",
		"the own counters are read too":             "Counters/OthersReadWhatChanges",
		"the gone do not count":                     "Counters/TheGoneStillCount",
		"the newest counter shows late":             "Counters/ReaderMissesNothing",
		"the caller is not counted":                 "Leave/InstancesAreCounted",
		"the gone are counted":                      "Death/TheDeadAreNotCounted",
		"the living are declared dead":              "Death/TheLivingIsLeftAlone",
		"the dead write":                            "Death/TheDeadIsFenced",
		"the dead rise":                             "Death/TheDeadIsFenced",
		"nobody is told of the dead":                "Death/TheDeadIsFenced",
		"a lease lasts for ever":                    "Death/LeaseLastsFromTheAsking",
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			wantNoticed(t, "TestShared/"+test, wrong)
		})
	}
}

// wantNoticed runs a test in a process of its own, on a store that is wrong in one way.
func wantNoticed(t *testing.T, test, wrong string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(test, "/", "$/^")+"$")
	run.Env = append(os.Environ(), wrongVariable+"="+wrong)
	out, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: "+test) {
		t.Errorf("%s does not fail on a store where %s: %v\n%s", test, wrong, err, out)
	}
}
