package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	sq "modernc.org/sqlite"
)

// backupStep is how many pages are copied between two looks at the context: a megabyte.
const backupStep = 256

// Backup implements messaging.Keeper. The copy is of one moment, however long it takes:
// SQLite's online backup runs inside a transaction that reads, beside the commits. The
// write-ahead log grows meanwhile. The file is only under its own name once it is whole; until
// then it is path with ".partial" behind.
func (s *Store) Backup(ctx context.Context, path string, progress func(done, total int64)) error {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if s.closing.Err() != nil {
		return errClosed
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("sqlite: back up to %s: it exists, and nothing is overwritten; choose another name", path)
	}
	partial := path + ".partial"
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("sqlite: back up to %s: a backup to there is under way or was cut off; if none is, remove %s", path, partial)
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = s.copyTo(ctx, partial, progress)
	}
	if err == nil {
		err = publish(partial, path)
	}
	if err != nil {
		for _, end := range []string{"", "-journal", "-wal", "-shm"} {
			_ = os.Remove(partial + end)
		}
		return fmt.Errorf("sqlite: back up to %s: %w", path, err)
	}
	return nil
}

// copyTo copies the database into an empty file.
func (s *Store) copyTo(ctx context.Context, path string, progress func(done, total int64)) error {
	c, err := sq.NewConnector(dsn(s.path, reading))
	if err != nil {
		return err
	}
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	w := &writer{}
	if w.conn, err = preparer(conn); err != nil {
		return err
	}
	defer w.close()
	source, ok := conn.(interface {
		NewBackup(to string) (*sq.Backup, error)
	})
	if !ok {
		return errors.New("the driver's connection cannot back up")
	}
	// One moment: without it every commit would make the copy begin anew.
	if err := w.run(`BEGIN`); err != nil {
		return err
	}
	if _, err := w.one(`SELECT count(*) FROM sqlite_schema`); err != nil {
		return err
	}
	b, err := source.NewBackup(dsn(path, ""))
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = ctx.Err(); err == nil {
			err = s.closing.Err()
		}
		if err == nil {
			more, err = b.Step(backupStep)
			progress(int64(b.PageCount()-b.Remaining()), int64(b.PageCount()))
		}
	}
	return errors.Join(err, b.Finish())
}

// publish gives a whole file its name, which nobody may have taken meanwhile, and makes both
// durable.
func publish(partial, path string) error {
	if err := syncFile(partial); err != nil {
		return err
	}
	if err := os.Link(partial, path); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil { // a file system without links
		if _, err := os.Lstat(path); err == nil {
			return fs.ErrExist
		}
		if err := os.Rename(partial, path); err != nil {
			return err
		}
	} else if err := os.Remove(partial); err != nil {
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes a directory's names durable, where a directory can be opened for it.
func syncDir(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		_ = f.Close()
	}
}
