package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
)

// largeRows is how many messages large writes.
const largeRows = 60

// large fills a journal with more pages than a backup copies in one step.
func large(t *testing.T, s *Store) {
	t.Helper()
	b := batch(start)
	for range largeRows {
		out := claimed(start, strings.Repeat("y", 50_000))
		out.Status, out.Attempt = messaging.StatusCancelled, nil
		b.Appends = append(b.Appends, &messaging.Append{Event: message(start, "x"), Outcome: &messaging.Outcome{
			Fate: messaging.FateDone, Sends: []*messaging.Outgoing{out},
		}})
	}
	commit(t, s, b)
}

// TestBackupBesideTheWriter backs up while commits go on. Every batch holds an event with
// its send, so a copy that is not of one moment has one without the other.
func TestBackupBesideTheWriter(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	large(t, s)
	path := filepath.Join(TempDir(t), "copy.db")
	stop, writing := make(chan struct{}), make(chan struct{})
	written := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				written <- nil
				return
			default:
			}
			b := batch(start)
			b.Appends = []*messaging.Append{{Event: message(start, "question"), Outcome: &messaging.Outcome{
				Fate: messaging.FateDone, Sends: []*messaging.Outgoing{claimed(start, "answer")},
			}}}
			if err := s.Commit(context.Background(), b); err != nil {
				written <- err
				return
			}
			if n == 0 {
				close(writing)
			}
		}
	}()
	<-writing
	var last, steps int64
	err := s.Backup(t.Context(), path, func(done, total int64) {
		if done < last || done > total {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last, steps = done, steps+1
	})
	close(stop)
	if err := errors.Join(err, <-written); err != nil {
		t.Fatalf("Backup beside a writer: %v", err)
	}
	if steps < 2 {
		t.Errorf("progress was told %d times, want each step", steps)
	}
	if st, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v (%v), want mode 600", st, err)
	}
	var told strings.Builder
	if err := Verify(t.Context(), path, &told); err != nil {
		t.Fatalf("Verify of the copy: %v", err)
	}
	c := openAt(t, path)
	events, sends := count(t, c, `SELECT count(*) FROM events`), count(t, c, `SELECT count(*) FROM sends`)
	if events <= largeRows || events != sends {
		t.Errorf("the copy has %d events and %d sends, want as many, and some of those written meanwhile", events, sends)
	}
	if !strings.Contains(told.String(), fmt.Sprintf("events done: %d\n", events)) {
		t.Errorf("Verify told:\n%s; want the %d events that are done", &told, events)
	}
}

func TestBackupOverwritesNothing(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	finish(t, s, start, 10)
	for _, target := range []string{path, path + "-wal", filepath.Dir(path)} {
		before, _ := os.Stat(target)
		err := s.Backup(t.Context(), target, nil)
		if err == nil || !strings.Contains(err.Error(), target) || !strings.Contains(err.Error(), "choose another name") {
			t.Errorf("Backup to what exists: %v", err)
		}
		if after, _ := os.Stat(target); !os.SameFile(before, after) || after.Size() != before.Size() {
			t.Errorf("%s was changed", target)
		}
	}
	// Somebody takes the name while the copy is made.
	taken := filepath.Join(TempDir(t), "copy.db")
	err := s.Backup(t.Context(), taken, func(done, total int64) {
		if done == total {
			_ = os.WriteFile(taken, []byte("mine"), 0o600)
		}
	})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("Backup to a name that was taken meanwhile: %v, want ErrExist", err)
	}
	if b, err := os.ReadFile(taken); err != nil || string(b) != "mine" {
		t.Errorf("the other's file holds %q (%v)", b, err)
	}
	onlyFile(t, taken)
}

func TestCopyBesideTheJournal(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	finish(t, s, start, 10)
	copied := filepath.Join(filepath.Dir(path), "copy.db")
	if err := s.Backup(t.Context(), copied, nil); err != nil {
		t.Fatalf("Backup: %v", err)
	}
	if err := Verify(t.Context(), copied, new(bytes.Buffer)); err != nil {
		t.Errorf("Verify of a copy whose journal is in use: %v", err)
	}
	refused(t, copied, "database journal.db")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, openAt(t, copied), `SELECT count(*) FROM events`); n != 10 {
		t.Errorf("the copy has %d events, want 10", n)
	}
}

func TestBackupCleansUp(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	large(t, s)
	dir := TempDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Backup(ctx, filepath.Join(dir, "copy.db"), func(done, total int64) {
		if done < total {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Backup that is cancelled: %v, want context.Canceled", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	partial := filepath.Join(dir, "other.db.partial")
	if err := os.WriteFile(partial, []byte("of another backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "other.db"), nil); err == nil || !strings.Contains(err.Error(), "remove "+partial) {
		t.Errorf("Backup beside another to the same name: %v", err)
	}
	onlyFile(t, partial)
	if err := s.Backup(t.Context(), filepath.Join(dir, "no", "such", "copy.db"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Backup into no directory: %v, want ErrNotExist", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "late.db"), nil); !errors.Is(err, messaging.ErrUnavailable) {
		t.Errorf("Backup of a closed store: %v, want ErrUnavailable", err)
	}
}

// onlyFile checks that nothing else is in a file's directory.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(path) {
		t.Errorf("beside %s there are %v (%v)", path, left, err)
	}
}

func TestVerifyTells(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	s.background.Wait()
	tellStory(t, s)
	var open, alone strings.Builder
	if err := s.Verify(t.Context(), &open); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	for _, want := range []string{
		"schema version 4", "sound", "ids: those of 7 unfinished", "ledger of consent: 3 lines, one after the other; 2 numbers and scopes stand",
		"events unfinished: 2\n", "events done: 3\n", "events dead: 1\n",
		"sends queued: 3\n", "sends sending: 1\n", "sends in_doubt: 1\n", "sends delivered: 1\n", "sends accepted: 1\n",
	} {
		if !strings.Contains(open.String(), want) {
			t.Errorf("Verify told:\n%s; want %q", &open, want)
		}
	}
	err := Verify(t.Context(), path, &alone)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s is in use by another daemon (process %d)", path, os.Getpid())) {
		t.Errorf("Verify of a file in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, filepath.Dir(path))
	if err := Verify(t.Context(), path, &alone); err != nil || alone.String() != open.String() {
		t.Errorf("Verify once it is closed: %v, told:\n%s", err, &alone)
	}
	if after := snapshot(t, filepath.Dir(path)); !slices.Equal(after, before) {
		t.Errorf("Verify left %v, there were %v", after, before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Verify(ctx, path, &alone); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: %v, want context.Canceled", err)
	}
}

// snapshot describes the files of a directory, but for the lock.
func snapshot(t *testing.T, dir string) (files []string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		content, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if n.Name() != lockName {
			files = append(files, fmt.Sprintf("%s of %d bytes, %x", n.Name(), len(content), hashOf(0, string(content))))
		}
	}
	return files
}

// TestVerifyReadsTheLog verifies what a killed process leaves: a write-ahead log with
// commits that are nowhere else.
func TestVerifyReadsTheLog(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	finish(t, s, start, 7)
	dir := TempDir(t)
	for _, end := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "journal.db"+end), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var told strings.Builder
	if err := Verify(t.Context(), filepath.Join(dir, "journal.db"), &told); err != nil || !strings.Contains(told.String(), "events done: 7\n") {
		t.Errorf("Verify: %v, told:\n%s", err, &told)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ damage, want string }{
		"an event's id":           {`DELETE FROM ids_tail`, "not found by their ids, such as "},
		"an id's place":           {`UPDATE ids SET key = key + 1 WHERE key = (SELECT max(key) FROM ids)`, "where nobody looks for it"},
		"a segment":               {`DELETE FROM segments`, "not found by their ids, such as "},
		"a lost send":             {`DELETE FROM sends WHERE seq = (SELECT send_seq FROM attempts)`, "1 attempts without their send"},
		"an attempt":              {`UPDATE sends SET attempt_id = NULL WHERE status = 3`, "without an attempt"},
		"an index's place":        {`PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'attempts_send') WHERE name = 'sends_open'`, "2nd reference to page"},
		"another program":         {`PRAGMA application_id = 7`, "not a journal"},
		"a word of the ledger":    {unlocked + `UPDATE ledger SET note = 'a lettre' WHERE seq = 2`, "line 2 does not say what was written"},
		"a line of the ledger":    {unlocked + `DELETE FROM ledger WHERE seq = 2`, "after line 1 comes line 3"},
		"its end":                 {unlocked + `DELETE FROM ledger WHERE seq = 3`, "ends with line 2"},
		"its end and the state":   {unlocked + `DELETE FROM ledger WHERE seq = 3; DELETE FROM consents WHERE seq = 3`, "speaks of 2 numbers and scopes, 1 are known"},
		"a state":                 {`DELETE FROM consents WHERE seq = 2`, "speaks of 2 numbers and scopes, 1 are known"},
		"a state of another line": {`UPDATE consents SET seq = 1 WHERE seq = 3`, "stands by line 1 of the ledger of consent, and a later line goes on"},
		"a state of another":      {`UPDATE consents SET number = '+12025550102' WHERE seq = 2`, "2 are known and 1 of these by their line"},
		"where a line stands":     {unlocked + `UPDATE ledger SET opted_out = 1 WHERE seq = 3`, "of line 3 of the ledger of consent stands does not follow"},
		"since when it stands":    {unlocked + `UPDATE ledger SET since = since + 1 WHERE seq = 1`, "of line 1 of the ledger of consent stands does not follow"},
		"what a line follows":     {unlocked + `UPDATE ledger SET before = 2 WHERE seq = 3`, "goes on from line 2, which is not about the same"},
		"that a line follows":     {unlocked + `UPDATE ledger SET before = 1 WHERE seq = 2`, "1 lines of the ledger of consent go on from where another does"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := NewPath(t)
			s := openAt(t, path)
			s.background.Wait()
			tellStory(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, path, c.damage)
			err := Verify(t.Context(), path, new(bytes.Buffer))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("Verify: %v; want %q and the path", err, c.want)
			}
			if c.want != "not a journal" && !strings.Contains(fmt.Sprint(err), "put a backup in its place") {
				t.Errorf("Verify: %v; want the mend", err)
			}
		})
	}
}

// unlocked lets the ledger be altered, as somebody does who has the file.
const unlocked = `DROP TRIGGER ledger_update; DROP TRIGGER ledger_delete; `

func spoil(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyOfNoDatabase(t *testing.T) {
	t.Parallel()
	dir := TempDir(t)
	if err := Verify(t.Context(), filepath.Join(dir, "none.db"), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "there is no file") {
		t.Errorf("Verify of nothing: %v", err)
	}
	if err := Verify(t.Context(), dir, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("Verify of a directory: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}

// TestDamageIsNeverOverwritten damages a journal in many ways. Each is refused or shown by
// Verify, and what is refused is not touched.
func TestDamageIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := openAt(t, path)
	s.background.Wait()
	tellStory(t, s)
	finish(t, s, start, 30)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	copies := map[string][]byte{
		"garbage":   bytes.Repeat([]byte("the only copy of something. "), 1000),
		"truncated": good[:len(good)/2/page*page],
		"cut off":   good[:len(good)/2+1000],
		"a stump":   good[:50],
	}
	for n := range len(good) / page {
		flipped := slices.Clone(good)
		for i := n * page; i < (n+1)*page; i++ {
			flipped[i] ^= 0xff
		}
		copies[fmt.Sprint("page ", n+1)] = flipped
	}
	refusals := 0
	for name, content := range copies {
		path := NewPath(t)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), path, Config{Logger: Silent})
		if err == nil {
			_ = s.Close()
			if err = Verify(t.Context(), path, new(bytes.Buffer)); err == nil {
				t.Errorf("%s: neither Open nor Verify complains", name)
				continue
			}
		} else {
			refusals++
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
				t.Errorf("%s: Open has changed the file (%v)", name, err)
			}
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "put a backup in its place") {
			t.Errorf("%s: %v; want the path and the mend", name, err)
		}
	}
	if refusals < 8 {
		t.Errorf("%d of %d damaged files are refused, want at least those whose first pages are", refusals, len(copies))
	}
}
