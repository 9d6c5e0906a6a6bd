package sqlite

import (
	"errors"
	"fmt"

	"github.com/signpost-sms/signpost/messaging"
	sq "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// classify turns SQLite's error into the contract's: only what the batch itself did wrong
// may blame the batch, since the engine gives up what it blames.
func classify(path string, err error) error {
	var e *sq.Error
	if !errors.As(err, &e) {
		return err // an argument that cannot be stored
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE:
		return err
	case lib.SQLITE_FULL:
		return fmt.Errorf("%w: no room for %s; free some space on its disk: %w", messaging.ErrFull, path, err)
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", messaging.ErrUnavailable, damaged(path, err))
	}
	return fmt.Errorf("%w: %s: %w", messaging.ErrUnavailable, path, err)
}

// damaged says what to do about a file that SQLite cannot read. Nothing is done to it: it
// may be the only copy of what was acknowledged.
func damaged(path string, err error) error {
	return fmt.Errorf("sqlite: %s is damaged or not a database: %w; stop the daemon and put a backup in its place, "+
		"or move the file with its -wal and -shm away (what it held is lost) and start again", path, err)
}

// isDamage reports whether an error says that the file is not sound.
func isDamage(err error) bool {
	if errors.Is(err, errUnsound) {
		return true
	}
	var e *sq.Error
	return errors.As(err, &e) && (e.Code()&0xff == lib.SQLITE_CORRUPT || e.Code()&0xff == lib.SQLITE_NOTADB)
}
