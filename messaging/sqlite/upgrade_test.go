package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"github.com/signpost-sms/signpost/messaging"
)

// build makes a database as a former version left it: by its migrations, with the rows that
// it wrote.
func build(t *testing.T, path string, version int64) {
	t.Helper()
	rows, err := os.ReadFile(fmt.Sprintf("testdata/version%d.sql", version))
	if err != nil {
		t.Fatalf("%v; write the story with the program of that version, see story_test.go", err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?"+pragmas)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA application_id = %d; %s", applicationID, rows)); err != nil {
		t.Fatal(err)
	}
}

// TestUpgrade opens what each former version left and finds everything working.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for version := int64(1); version < newest(); version++ {
		t.Run(fmt.Sprint("version", version), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(TempDir(t), "journal.db")
			build(t, path, version)
			s := openAt(t, path)
			if got, err := s.w.one(`SELECT max(version_id) FROM goose_db_version`); got != newest() || err != nil {
				t.Fatalf("the schema is of version %d (%v), want %d", got, err, newest())
			}
			checkStory(t, s)
			checkLedger(t, s, version >= 3)
		})
	}
}

// TestStory is the same of the present version, so that checkStory is right.
func TestStory(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	s.background.Wait()
	tellStory(t, s)
	checkStory(t, s)
	checkLedger(t, s, true)
}

// checkStory checks that everything of the story is there and lives on.
func checkStory(t *testing.T, s *Store) {
	t.Helper()
	checkWork(t, s)
	checkLastBatch(t, s)
	checkLife(t, s)
}

// checkLedger checks that the ledger is what the story says, or empty if it was told before
// there was one, and that it goes on.
func checkLedger(t *testing.T, s *Store, told bool) {
	t.Helper()
	lines := int64(0)
	if told {
		lines = storyLines
	}
	if n, err := messaging.VerifyLedger(t.Context(), s, nil); n != lines || err != nil {
		t.Errorf("the ledger: %d lines, %v; want %d", n, err, lines)
	}
	if told {
		found, err := s.Entries(t.Context(), messaging.LedgerQuery{Limit: 1})
		want := *storyStop()
		want.Changed, want.State = true, messaging.ConsentState{Number: want.Number, OptedOut: true, Since: start, Seq: 1}
		if err != nil || !reflect.DeepEqual(found[0].ConsentChange, want) {
			t.Errorf("line 1 of the ledger (%v) is %+v, want %+v", err, found, want)
		}
	}
	c := storyChange(messaging.ConsentStop, messaging.ScopeAll)
	b := batch(start.Add(time.Hour))
	b.Consents = []*messaging.ConsentChange{c}
	commit(t, s, b)
	if want := (messaging.ConsentState{Number: c.Number, OptedOut: true, Since: b.Now, Seq: lines + 1}); !c.Changed || c.State != want {
		t.Errorf("a change: Changed is %v, State %+v; want true, %+v", c.Changed, c.State, want)
	}
	if err := s.Verify(t.Context(), io.Discard); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func checkWork(t *testing.T, s *Store) {
	t.Helper()
	w, err := s.Load(t.Context(), messaging.Query{Now: start, Limit: 100, Events: true, Sends: true, Doubts: true})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	var got []string
	for _, u := range w.Events {
		got = append(got, fmt.Sprint(u.Event.ID, " ", u.Event.Attempt, " ", after(u.RetryAt)))
	}
	if want := []string{"waiting 2 1h0m0s", "last 0 now"}; !slices.Equal(got, want) {
		t.Errorf("unfinished events are %q, want %q", got, want)
	}
	if ev := w.Events[0].Event; ev.Body != "text of waiting" || string(ev.Frame) != "frame of waiting" || len(ev.Media) != 1 {
		t.Errorf("the waiting event is %+v", ev)
	}
	var sends, doubts []uuid.UUID
	for _, o := range w.Sends {
		sends = append(sends, o.ID)
	}
	for _, d := range w.Doubts {
		doubts = append(doubts, d.Send.ID)
	}
	if want := []uuid.UUID{named("urgent"), named("bulk")}; !slices.Equal(sends, want) {
		t.Errorf("queued sends are %v, want the urgent one and then the bulk, %v", sends, want)
	}
	if want := []uuid.UUID{named("doubted"), named("open")}; !slices.Equal(doubts, want) {
		t.Errorf("doubts are %v, want %v", doubts, want)
	}
	if want := start.Add(time.Hour); !w.NextDue.Equal(want) {
		t.Errorf("NextDue is %v, want %v", w.NextDue, want)
	}
}

// after says when in the story a time is.
func after(at time.Time) string {
	if at.IsZero() {
		return "now"
	}
	return at.Sub(start).String()
}

func checkLastBatch(t *testing.T, s *Store) {
	t.Helper()
	b := storyLast()
	commit(t, s, b)
	if !b.Appends[0].Fresh || b.Appends[1].Merge == nil || b.Appends[1].Merge.Status != messaging.StatusDelivered {
		t.Errorf("the last batch that comes again: Fresh %v, Merge %+v; want what it was told first", b.Appends[0].Fresh, b.Appends[1].Merge)
	}
	if q := b.Enqueues[0]; q.Outgoing.Inserted || q.Existing == nil || q.Existing.ID != named("bulk") {
		t.Errorf("the key of the last batch: Inserted %v, Existing %+v", q.Outgoing.Inserted, q.Existing)
	}
}

func checkLife(t *testing.T, s *Store) {
	t.Helper()
	dead := &messaging.Revive{EventID: "dead"}
	b := batch(start.Add(2 * time.Minute))
	b.Appends = []*messaging.Append{
		{Event: storyEvent("done")},
		{Event: storyEvent("waiting")},
		{Event: storyEvent("new")},
		{Event: storyState("SM repeated", messaging.StateSent)},
	}
	b.Enqueues = []*messaging.Enqueue{{Outgoing: storySend("urgent", messaging.PriorityReply)}, {Outgoing: storySend("another", messaging.PriorityReply)}}
	b.Claims = []*messaging.Claim{{SendID: named("bulk"), Attempt: storyAttempt("bulk", 1), Status: messaging.StatusSending}}
	late := storyReport("open", 1, messaging.OutcomeAccepted, messaging.StatusAccepted)
	late.MessageID = "SM unheard of" // whose state is waiting for it
	again := storyReport("repeated", 1, messaging.OutcomeInDoubt, messaging.StatusInDoubt)
	b.Reports = []*messaging.Report{late, again}
	b.Revives = []*messaging.Revive{dead}
	commit(t, s, b)
	for i, want := range []bool{false, false, true} {
		if a := b.Appends[i]; a.Fresh != want {
			t.Errorf("event %q is fresh: %v, want %v", a.Event.ID, a.Fresh, want)
		}
	}
	if m := b.Appends[3].Merge; m == nil || m.Ref.ID != named("repeated") || m.Status != messaging.StatusSent {
		t.Errorf("a state by its message id: %+v", m)
	}
	if b.Enqueues[0].Outgoing.Inserted || !b.Enqueues[1].Outgoing.Inserted {
		t.Errorf("keys known and new are inserted: %v, %v", b.Enqueues[0].Outgoing.Inserted, b.Enqueues[1].Outgoing.Inserted)
	}
	if !b.Claims[0].Granted {
		t.Error("the queued send cannot be claimed")
	}
	if late.Merge.Status != messaging.StatusSent {
		t.Errorf("the report that a state overtook: %+v", late.Merge)
	}
	if again.Merge.Ref.ID != named("repeated") || again.Merge.Outcome != messaging.OutcomeRejected {
		t.Errorf("a late report of the first attempt: %+v", again.Merge)
	}
	if !dead.Done || dead.Event == nil || dead.Event.Body != "text of dead" || dead.Event.Attempt != 0 {
		t.Errorf("the dead letter that lives again: %v, %+v", dead.Done, dead.Event)
	}
}

func TestDamagedJournalIsNotUpgraded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(TempDir(t), "journal.db")
	build(t, path, 1)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	// An index that does not say what its table does.
	if _, err := db.Exec(`PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'attempts_send')
		WHERE name = 'sends_open'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, path, "put a backup in its place")
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(after, before) {
		t.Errorf("the file was changed (%v)", err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a write-ahead log is left: %v", err)
	}
}

func TestMigrationsAreNumberedWithoutAGap(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d migrations (%v)", len(files), err)
	}
	for i, name := range files {
		if !strings.HasPrefix(name, fmt.Sprintf("migrations/%05d_", i+1)) {
			t.Errorf("migration %d is %s", i+1, name)
		}
	}
}
