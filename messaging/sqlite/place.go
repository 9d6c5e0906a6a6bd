package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// lock keeps a second daemon away from a database; of the zero value, nobody.
type lock struct{ file *os.File }

// errLocked is what lockFile returns when another process holds the lock.
var errLocked = errors.New("locked")

// prepare makes the place for a database: its directory if it is missing, a lock, and a
// file that nobody else may read. It returns the path without symbolic links.
func prepare(path string, log *slog.Logger) (resolved string, l *lock, err error) {
	if path == "" || strings.HasPrefix(path, ":") || strings.HasPrefix(path, "file:") {
		return "", nil, fmt.Errorf("sqlite: %q is not the path of a file; write sqlite:///var/lib/signpost/signpost.db, or memory: for no file at all", path)
	}
	dir := filepath.Dir(path)
	// Only what is missing: a directory that exists may be shared with others on purpose.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("sqlite: make the directory of %s: %w; create it for the user that the daemon runs as", path, err)
	}
	if path, err = resolve(path); err != nil {
		return "", nil, err
	}
	if err := judge(filepath.Dir(path), fileSystem(filepath.Dir(path)), log); err != nil {
		return "", nil, err
	}
	if l, err = acquire(path); err != nil {
		return "", nil, err
	}
	if err := errors.Join(private(path), oneName(path)); err != nil {
		l.release()
		return "", nil, err
	}
	return path, l, nil
}

// resolve gives a path without symbolic links. The file itself need not exist.
func resolve(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", fmt.Errorf("sqlite: find the directory of %s: %w", path, err)
	}
	path = filepath.Join(dir, filepath.Base(path))
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return path, nil
}

// oneName refuses a file that has another name too. SQLite's log goes by the name, so two
// names mean two logs, and each destroys what the other has written.
func oneName(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("sqlite: look at %s: %w", path, err)
	}
	if n := links(st); n > 1 {
		return fmt.Errorf("sqlite: %s has %d names (hard links), and a database must have one; remove the others (find them with find -samefile)", path, n)
	}
	return nil
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

// lockName is the lock of a directory. A directory has one daemon: a database that was
// renamed, or copied beside itself, is not served by two.
const lockName = "signpost.lock"

// acquire locks the directory of a database until the lock is released or the process ends,
// however it ends. The lock is on a file of its own: closing any descriptor of the database
// would take away the locks that SQLite itself holds.
func acquire(path string) (*lock, error) {
	name := filepath.Join(filepath.Dir(path), lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open the lock of %s: %w; the daemon's user must be able to write there", path, err)
	}
	return hold(f, path)
}

// borrow locks a database that is only read, if its directory's lock speaks of it. Another
// file beside it, such as a backup, is nobody's.
func borrow(path string) (*lock, error) {
	name := filepath.Join(filepath.Dir(path), lockName)
	_, database := holder(name)
	held, heldErr := os.Stat(filepath.Join(filepath.Dir(path), database))
	this, err := os.Stat(path)
	if database != "" && heldErr == nil && err == nil && !os.SameFile(held, this) {
		return &lock{}, nil
	}
	if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
		return hold(f, path)
	}
	return &lock{}, nil // nobody has ever opened it here, or nothing can be written here
}

// hold locks a lock's file and says in it by whom, for a person who meets it.
func hold(f *os.File, path string) (*lock, error) {
	if err := lockFile(f); err != nil {
		process, database := holder(f.Name())
		_ = f.Close()
		switch {
		case !errors.Is(err, errLocked):
			return nil, fmt.Errorf("sqlite: lock %s: %w", f.Name(), err)
		case database == "" || database == filepath.Base(path):
			return nil, fmt.Errorf("sqlite: %s is in use by another daemon (%s); stop that one, or give this one a store of its own", path, process)
		}
		return nil, fmt.Errorf("sqlite: the directory of %s is in use by another daemon (%s, database %s); stop that one, or give this one a directory of its own",
			path, process, database)
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "process %d\n%s\n", os.Getpid(), filepath.Base(path)), 0)
	return &lock{f}, nil
}

// holder reads what hold has written last.
func holder(name string) (process, database string) {
	b, _ := os.ReadFile(name)
	process, database, _ = strings.Cut(string(b), "\n")
	return cmp.Or(process, "process unknown"), strings.TrimSuffix(database, "\n")
}

// release gives the lock back. The file stays: a removed one could be locked by two.
func (l *lock) release() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

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
