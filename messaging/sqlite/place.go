package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// lock keeps a second daemon away from a database.
type lock struct{ file *os.File }

// errLocked is what lockFile returns when another process holds the lock.
var errLocked = errors.New("locked")

// prepare makes the place for a database: its directory if it is missing, a lock, and a
// file that nobody else may read. It returns the path without symbolic links.
func prepare(path string, log *slog.Logger) (resolved string, l *lock, err error) {
	if path == "" || strings.HasPrefix(path, ":") || strings.HasPrefix(path, "file:") {
		return "", nil, fmt.Errorf("sqlite: %q is not the path of a file; write sqlite:///var/lib/signpost/signpost.db, or memory: for no file at all", path)
	}
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	// Only what is missing: a directory that exists may be shared with others on purpose.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("sqlite: make the directory of %s: %w; create it for the user that the daemon runs as", path, err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", nil, fmt.Errorf("sqlite: find the directory of %s: %w", path, err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, fmt.Errorf("sqlite: find the directory of %s: %w", path, err)
	}
	path = filepath.Join(dir, name)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := judge(filepath.Dir(path), fileSystem(filepath.Dir(path)), log); err != nil {
		return "", nil, err
	}
	if l, err = acquire(path); err != nil {
		return "", nil, err
	}
	if err := private(path); err != nil {
		l.release()
		return "", nil, err
	}
	return path, l, nil
}

// judge says what it thinks of a directory's file system, by the name that fileSystem gave.
func judge(dir, kind string, log *slog.Logger) error {
	switch kind {
	case "nfs", "smb", "cifs", "afs", "ceph", "lustre", "gfs2", "ocfs2", "coda", "ncp", "webdav":
		return fmt.Errorf("sqlite: %s is on a network file system (%s), where SQLite's locks cannot be trusted; "+
			"use a local disk, or store: postgres://... for several machines", dir, kind)
	case "tmpfs", "ramfs":
		log.Warn("the journal is on a file system in memory and does not survive a reboot", "path", dir, "filesystem", kind)
	case "overlay":
		log.Warn("the journal is on a container's own layer and goes with the container; mount a volume there", "path", dir, "filesystem", kind)
	case "fuse", "9p":
		log.Warn("the journal is on a file system whose locks and syncs may not be sound; use a local disk", "path", dir, "filesystem", kind)
	}
	return nil
}

// acquire locks a database until the lock is released or the process ends, however it
// ends. The lock is on a file of its own: closing any descriptor of the database would
// take away the locks that SQLite itself holds.
func acquire(path string) (*lock, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open the lock of %s: %w; the daemon's user must be able to write there", path, err)
	}
	if err := lockFile(f); err != nil {
		holder := ""
		if b, _ := os.ReadFile(name); len(b) > 0 {
			holder = " (" + strings.TrimSpace(string(b)) + ")"
		}
		_ = f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("sqlite: %s is in use by another daemon%s; stop that one, or give this one a store of its own", path, holder)
		}
		return nil, fmt.Errorf("sqlite: lock %s: %w", name, err)
	}
	// For a person who meets the lock; nobody reads it else, so a failure does no harm.
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "process %d\n", os.Getpid()), 0)
	return &lock{f}, nil
}

// release gives the lock back. The file stays: a removed one could be locked by two.
func (l *lock) release() { _ = l.file.Close() }

// private makes the database's files readable by their owner alone. It runs before SQLite
// opens them, and never opens an existing one.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("sqlite: create %s: %w; the daemon's user must be able to write there", path, err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Chmod(name, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sqlite: keep others from reading %s: %w; it must belong to the daemon's user", name, err)
		}
	}
	return nil
}
