package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

var (
	start   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	someone = uuid.Must(uuid.NewV7())
)

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func batch(now time.Time) *messaging.Batch {
	return &messaging.Batch{ID: newID(), Owner: someone, Now: now}
}

func message(now time.Time, body string) *messaging.Event {
	ev := messagingtest.NewMessage("support", "+12025550101", "+12025550100", body)
	ev.ReceivedAt = now
	return ev
}

func claimed(now time.Time, body string) *messaging.Outgoing {
	id := newID()
	return &messaging.Outgoing{
		Send:    messaging.Send{ID: id, Key: "key " + id.String(), From: "+12025550100", To: "+12025550101", Body: body, CreatedAt: now},
		Status:  messaging.StatusSending,
		Attempt: &messaging.Attempt{ID: newID(), SendID: id, Number: 1, ClaimedAt: now},
	}
}

func commit(t testing.TB, s *Store, b *messaging.Batch) {
	t.Helper()
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func events(t testing.TB, s *Store) []*messaging.Unfinished {
	t.Helper()
	w, err := s.Load(t.Context(), messaging.Query{Owner: someone, Now: start, Limit: 100_000, Events: true})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return w.Events
}

// TestFullDisk fills a database up to a limit of pages, which SQLite treats as a full disk.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	pages, err := s.w.one("PRAGMA page_count")
	if err != nil {
		t.Fatal(err)
	}
	limit := func(pages int64) {
		t.Helper()
		if err := s.writable(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.w.one(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 50)
	full := func(err error) bool {
		t.Helper()
		if err == nil {
			return false
		}
		if !errors.Is(err, messaging.ErrFull) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "free some space") {
			t.Fatalf("Commit: %v, want ErrFull that names the file and the mend", err)
		}
		return true
	}
	// An event, its send and a retry of another event: all of it or nothing.
	var taken int64
	var refused *messaging.Batch
	for refused == nil {
		b := batch(start)
		out := claimed(start, strings.Repeat("y", 3000))
		b.Appends = []*messaging.Append{
			{Event: message(start, strings.Repeat("x", 3000)), Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{out}}},
			{Event: message(start, strings.Repeat("x", 3000))},
		}
		if full(s.Commit(t.Context(), b)) {
			refused = b
		} else if taken++; taken > 200 {
			t.Fatal("50 pages hold 200 batches of two pages and more")
		}
	}
	half := func() {
		t.Helper()
		for table, each := range map[string]int64{"events": 2, "sends": 1} {
			if n := count(t, s, `SELECT count(*) FROM `+table); n != taken*each {
				t.Errorf("%d rows of %s, want %d", n, table, taken*each)
			}
		}
	}
	limit(pages + 50)
	half()
	for range 3 { // there is still no room
		if !full(s.Commit(t.Context(), refused)) {
			t.Fatal("Commit to the full disk succeeds")
		}
		limit(pages + 50)
		half()
	}
	if n := int64(len(events(t, s))); n != taken {
		t.Errorf("%d events can be read from the full journal, want %d", n, taken)
	}
	limit(pages + 100)
	for range 2 { // the second time as a batch whose answer was lost
		refused.Appends[0].Fresh = false
		commit(t, s, refused)
		if a := refused.Appends[0]; !a.Fresh || a.Event.Seq == 0 || !a.Outcome.Sends[0].Inserted {
			t.Errorf("the batch that was refused first: Fresh %v, Seq %d, Inserted %v", a.Fresh, a.Event.Seq, a.Outcome.Sends[0].Inserted)
		}
	}
	taken++
	half()
	if err := s.Verify(t.Context(), io.Discard); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// TestReadOnlyIsUnavailable commits on a connection that may not write, and where there is
// no file any more. Neither blames the batch.
func TestReadOnlyIsUnavailable(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	b := batch(start)
	b.Appends = []*messaging.Append{{Event: message(start, "x")}}
	unavailable := func() {
		t.Helper()
		err := s.Commit(t.Context(), b)
		if !errors.Is(err, messaging.ErrUnavailable) || errors.Is(err, messaging.ErrFull) || !strings.Contains(err.Error(), path) {
			t.Errorf("Commit: %v, want ErrUnavailable that names the file", err)
		}
		if s.w != nil {
			t.Error("the connection is kept, though nobody knows what it holds")
		}
	}
	if _, err := s.w.one("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	unavailable()
	if runtime.GOOS != "windows" {
		dir := filepath.Dir(path)
		if err := os.Rename(dir, dir+"-away"); err != nil {
			t.Fatal(err)
		}
		unavailable()
		if err := os.Rename(dir+"-away", dir); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, s, b)
	if !b.Appends[0].Fresh || len(events(t, s)) != 1 {
		t.Error("the batch was not applied when it came again")
	}
}

func TestBusyIsUnavailable(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	commit(t, s, batch(start))
	if _, err := s.w.one("PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	b := batch(start)
	b.Appends = []*messaging.Append{{Event: message(start, "x")}}
	if err := s.Commit(t.Context(), b); !errors.Is(err, messaging.ErrUnavailable) {
		t.Fatalf("Commit beside another writer: %v, want ErrUnavailable", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	commit(t, s, b)
	if !b.Appends[0].Fresh || len(events(t, s)) != 1 {
		t.Error("the batch was not applied when it came again")
	}
}

// TestLostAnswer is a commit that the disk has and that fails all the same, as one may
// whose last step goes wrong.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	b := batch(start)
	out := claimed(start, "answer")
	b.Appends = []*messaging.Append{{Event: message(start, "x"), Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{out}}}}
	commit(t, s, b)
	seq := b.Appends[0].Event.Seq
	s.mu.Lock()
	s.abandon(s.next, &os.PathError{Op: "sync", Path: s.path, Err: os.ErrInvalid})
	if s.w != nil || len(s.last) > 0 {
		t.Error("the connection is kept, though nobody knows what it holds")
	}
	s.mu.Unlock()
	b.Appends[0].Fresh, out.Inserted, b.Appends[0].Event.Seq = false, false, 0
	commit(t, s, b)
	if !b.Appends[0].Fresh || !out.Inserted || b.Appends[0].Event.Seq != seq {
		t.Errorf("the batch that came again: Fresh %v, Inserted %v, Seq %d; want true, true, %d",
			b.Appends[0].Fresh, out.Inserted, b.Appends[0].Event.Seq, seq)
	}
}

func TestDamageIsUnavailable(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	for range 50 {
		b := batch(start)
		b.Appends = []*messaging.Append{{Event: message(start, strings.Repeat("x", 3000))}}
		commit(t, s, b)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Everything but the first page, which holds the header, is overwritten.
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(content); i++ {
		content[i] = 0xA5
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), path, Config{Logger: Silent})
	if err == nil {
		defer s.Close()
		_, err = s.Load(t.Context(), messaging.Query{Events: true})
		if !errors.Is(err, messaging.ErrUnavailable) {
			t.Errorf("Load: %v, want ErrUnavailable", err)
		}
	}
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "put a backup in its place") {
		t.Errorf("error %v; want it to name %s and the mend", err, path)
	}
	if got, err := os.ReadFile(path); err != nil || len(got) != len(content) || string(got[4096:]) != string(content[4096:]) {
		t.Errorf("the damaged file was changed (%v)", err)
	}
}

func TestClosedStore(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), batch(start)); !errors.Is(err, messaging.ErrUnavailable) {
		t.Errorf("Commit: %v, want ErrUnavailable", err)
	}
	if _, err := s.Load(t.Context(), messaging.Query{Events: true}); !errors.Is(err, messaging.ErrUnavailable) {
		t.Errorf("Load: %v, want ErrUnavailable", err)
	}
	if _, err := s.Prune(t.Context(), start); !errors.Is(err, messaging.ErrUnavailable) {
		t.Errorf("Prune: %v, want ErrUnavailable", err)
	}
}
