package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Config{Logger: Silent})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// refused opens a path that must not open, and checks that the error says why and names
// the file.
func refused(t *testing.T, path, why string) {
	t.Helper()
	s, err := Open(t.Context(), path, Config{Logger: Silent})
	if err == nil {
		_ = s.Close()
		t.Fatal("Open: no error")
	}
	resolved, _ := resolve(path)
	if !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), path) && !strings.Contains(err.Error(), resolved) {
		t.Errorf("Open: %v; want it to say %q and name %s", err, why, path)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	s := openAt(t, path)
	refused(t, path, "in use by another daemon")
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	refused(t, link, fmt.Sprintf("in use by another daemon (process %d)", os.Getpid()))
	linked := filepath.Join(t.TempDir(), "linked")
	if err := os.Symlink(filepath.Dir(path), linked); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(linked, "journal.db"), "in use by another daemon")
	// Another name in the same directory may be the same database, renamed or copied.
	refused(t, filepath.Join(filepath.Dir(path), "renamed.db"), fmt.Sprintf("in use by another daemon (process %d, database journal.db)", os.Getpid()))
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "renamed.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a database that was refused is there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	openAt(t, path)
}

func TestHardLinkIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	s := openAt(t, path)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Link(path, link); err != nil || runtime.GOOS == "windows" {
		t.Skip("no hard links here")
	}
	refused(t, link, "has 2 names (hard links)")
	if _, err := os.Stat(link + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was opened: %v", err)
	}
	commit(t, s, batch(start)) // and the daemon that has it goes on
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "has 2 names (hard links)")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "journal.db")
	mode := func(path string) os.FileMode {
		t.Helper()
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Mode().Perm()
	}
	s := openAt(t, path)
	if got := mode(dir); got != 0o700 {
		t.Errorf("directory has mode %o, want 700", got)
	}
	if got := mode(filepath.Join(dir, lockName)); got != 0o600 {
		t.Errorf("the lock has mode %o, want 600", got)
	}
	for _, name := range []string{"", "-wal", "-shm"} {
		if got := mode(path + name); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(path+name), got)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
	if got := mode(path); got != 0o600 {
		t.Errorf("a file that others could read has mode %o after opening, want 600", got)
	}
}

func TestPathsWithStrangeCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%41&e=f ü.db")
	openAt(t, path)
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Errorf("the journal is not where it should be: %v", err)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{":memory:", "file:x.db"} {
		refused(t, path, "not the path of a file")
	}
}

func TestFileSystems(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"": "", "ext4": "", "nfs": "network file system (nfs)", "smb": "network", "cifs": "network", "ceph": "network",
		"tmpfs": "warn", "ramfs": "warn", "overlay": "warn", "fuse": "warn", "9p": "warn",
	} {
		var log bytes.Buffer
		err := judge("/data/here", kind, slog.New(slog.NewTextHandler(&log, nil)))
		switch {
		case want == "" && (err != nil || log.Len() > 0):
			t.Errorf("%q: %v, logged %q; want nothing", kind, err, &log)
		case want == "warn" && (err != nil || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "path=/data/here")):
			t.Errorf("%q: %v, logged %q; want a warning that names the path", kind, err, &log)
		case strings.HasPrefix(want, "network") && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/data/here")):
			t.Errorf("%q: %v; want %q and the path", kind, err, want)
		}
	}
}

func TestMemoryFileSystemIsWarnedOf(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/dev/shm", "signpost")
	if err != nil || fileSystem(dir) != "tmpfs" {
		t.Skip("no tmpfs here")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var log bytes.Buffer
	s, err := Open(t.Context(), filepath.Join(dir, "journal.db"), Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer s.Close()
	if !strings.Contains(log.String(), "does not survive a reboot") || !strings.Contains(log.String(), dir) {
		t.Errorf("logged %q, want a warning that names %s", &log, dir)
	}
}

func TestOldSQLiteIsRefused(t *testing.T) {
	t.Parallel()
	for version, good := range map[string]bool{
		"3.51.3": true, "3.51.10": true, "3.52.0": true, "3.54.1": true, "4.0.0": true,
		"3.51.2": false, "3.9.0": false, "3.40.1": false, "2.99.99": false, "three": false,
	} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("version %s: %v, want it taken: %v", version, err, good)
		}
	}
}

func TestDamagedFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	content := bytes.Repeat([]byte("this is the only copy of something. "), 1000)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "put a backup in its place")
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestForeignDatabaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE theirs (x)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "another program's database")
	if db, err = sql.Open("sqlite", path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil || tables != 1 {
		t.Errorf("the database has %d tables afterwards (%v), want 1", tables, err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	s := openAt(t, path)
	if err := s.w.run("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "run a newer program")
}

func TestOpenObeysItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "journal.db")
	if _, err := Open(ctx, path, Config{Logger: Silent}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context.Canceled", err)
	}
	openAt(t, path) // and the lock is free
}
