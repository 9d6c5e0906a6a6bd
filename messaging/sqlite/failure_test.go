package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
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
		if _, err := s.w.one(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 50)
	body := strings.Repeat("x", 4000)
	taken := 0
	var refused *messaging.Batch
	for refused == nil {
		b := batch(start)
		b.Appends = []*messaging.Append{{Event: message(start, body)}, {Event: message(start, body)}}
		switch err := s.Commit(t.Context(), b); {
		case err == nil:
			taken += 2
		case errors.Is(err, messaging.ErrFull):
			refused = b
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
		default:
			t.Fatalf("Commit: %v, want ErrFull", err)
		}
		if taken > 200 {
			t.Fatal("50 pages hold 200 bodies of a page")
		}
	}
	if got := len(events(t, s)); got != taken {
		t.Errorf("%d events are in the full journal, want %d", got, taken)
	}
	commit(t, s, refused) // on a connection of its own, which has no limit
	if got := len(events(t, s)); got != taken+2 {
		t.Errorf("%d events are in the journal once there is room, want %d", got, taken+2)
	}
	if !refused.Appends[0].Fresh || refused.Appends[0].Event.Seq == 0 {
		t.Error("the event of the batch that was refused first is not fresh")
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
	s, err = Open(t.Context(), path, Config{})
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
