package sqlite

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TempDir makes a directory for a test that is not about the disk: in memory, where there is
// a place for that.
func TempDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "signpost-test-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// NewPath names a new journal for a test. It is a copy of an empty one, which is quicker
// than making its schema anew.
func NewPath(tb testing.TB) string {
	tb.Helper()
	empty, err := template()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(TempDir(tb), "journal.db")
	if err := os.WriteFile(path, empty, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// template is the content of an empty journal.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "signpost-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "journal.db")
	s, err := Open(context.Background(), path, Config{Logger: Silent})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Silent keeps the warnings about a journal in memory out of the tests' output.
var Silent = slog.New(slog.NewTextHandler(io.Discard, nil))
