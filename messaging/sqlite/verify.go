package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
)

// Verify implements messaging.Verifier. It reads one moment of the journal on a connection
// of its own, beside the commits; the write-ahead log grows meanwhile.
func (s *Store) Verify(ctx context.Context, w io.Writer) error {
	if s.closing.Err() != nil {
		return errClosed
	}
	return verify(ctx, s.path, dsn(s.path, reading), w)
}

// Verify examines a database that no daemon has open, such as a backup, and tells w in lines
// what it looked at. The file is not changed. An error names what is damaged and what to do;
// it also says when the file is in use: then its daemon is the one to ask.
func Verify(ctx context.Context, path string, w io.Writer) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("sqlite: there is no file %s; name the database, or a backup of it", path)
	case err != nil:
		return fmt.Errorf("sqlite: look at %s: %w", path, err)
	case !st.Mode().IsRegular():
		return fmt.Errorf("sqlite: %s is not a file; name the database itself", path)
	}
	resolved, err := resolve(path)
	if err != nil {
		return err
	}
	l, err := borrow(resolved)
	if err != nil {
		return err
	}
	defer l.release()
	// Without a log beside it, which a process that was killed leaves, the file is all there
	// is, and SQLite need make none to read it.
	mode := "immutable=1&"
	if wal, err := os.Stat(resolved + "-wal"); err == nil && wal.Size() > 0 {
		mode = "mode=ro&"
	}
	return verify(ctx, resolved, uri(resolved, mode+"_pragma=busy_timeout(5000)"+reading), w)
}

func verify(ctx context.Context, path, dsn string, w io.Writer) error {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err == nil {
		defer func() { _ = tx.Rollback() }()
		v := verifier{ctx: ctx, tx: tx, w: w}
		err = v.all()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("sqlite: verify %s: %w", path, ctx.Err())
	case isDamage(err):
		return damaged(path, err)
	}
	return fmt.Errorf("sqlite: verify %s: %w", path, err)
}

// verifier examines a database.
type verifier struct {
	ctx context.Context
	tx  *sql.Tx
	w   io.Writer
}

func (v *verifier) all() error {
	for _, examine := range []func() error{v.header, v.pages, v.foreign, v.ids, v.consent, v.counts} {
		if err := examine(); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) say(format string, args ...any) error {
	_, err := fmt.Fprintf(v.w, format+"\n", args...)
	return err
}

// unsound says what is wrong with a file that SQLite can read.
func unsound(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnsound, fmt.Sprintf(format, args...))
}

// broken is unsound for what another has found.
func broken(err error) error { return fmt.Errorf("%w: %w", errUnsound, err) }

func (v *verifier) one(query string, args ...any) (n int64, err error) {
	err = v.each(1, func(row []driver.Value) error {
		n = toInt(row[0])
		return nil
	}, query, args...)
	return n, err
}

func (v *verifier) each(width int, f func(row []driver.Value) error, query string, args ...any) error {
	return each(v.ctx, v.tx, width, f, query, args...)
}

func (v *verifier) header() error {
	app, err := v.one(`PRAGMA application_id`)
	if err != nil {
		return err
	}
	if app != applicationID {
		return errors.New("it is not a journal, but another program's database; name the database of the daemon, or a backup of it")
	}
	version, err := v.one(`SELECT max(version_id) FROM goose_db_version`)
	if err != nil {
		return err
	}
	pages, err := v.one(`PRAGMA page_count`)
	if err != nil {
		return err
	}
	return v.say("schema version %d, %d pages", version, pages)
}

// pages has SQLite compare every page and every index.
func (v *verifier) pages() error {
	var found []string
	if err := v.each(1, func(row []driver.Value) error {
		if s := toText[string](row[0]); s != "ok" {
			found = append(found, s)
		}
		return nil
	}, `PRAGMA integrity_check(10)`); err != nil {
		return err
	}
	if len(found) == 0 {
		return v.say("pages and indexes: sound")
	}
	for _, s := range found {
		if err := v.say("damage: %s", s); err != nil {
			return err
		}
	}
	return unsound("%s", found[0])
}

// foreign looks for rows that belong to rows that are not there.
func (v *verifier) foreign() error {
	for _, c := range []struct{ what, query string }{
		{"attempts without their send", `SELECT count(*) FROM attempts WHERE send_seq NOT IN (SELECT seq FROM sends)`},
		{"sends under way without an attempt", `SELECT count(*) FROM sends WHERE status IN (2, 3) AND attempt_id IS NULL`},
	} {
		n, err := v.one(c.query)
		if err != nil {
			return err
		}
		if n > 0 {
			return unsound("%d %s", n, c.what)
		}
	}
	return v.say("rows: each belongs to one that is there")
}

// verifyChunk is how many ids are looked for at a time, in some 20 MB.
const verifyChunk = 250_000

// ids looks for the ids of everything unfinished, and checks that the others are where they
// would be looked for.
func (v *verifier) ids() error {
	wanted := make(map[entry]struct{})
	var total int64
	want := func(kind int64) func(row []driver.Value) error {
		return func(row []driver.Value) error {
			wanted[entry{hashOf(kind, toText[string](row[1])), toInt(row[0])<<2 | kind}] = struct{}{}
			total++
			if len(wanted) < verifyChunk {
				return nil
			}
			return v.find(wanted)
		}
	}
	if err := liveIDs(v.ctx, v.tx, want, math.MaxInt64); err != nil {
		return err
	}
	if err := v.find(wanted); err != nil {
		return err
	}
	return v.say("ids: those of %d unfinished events and sends are found", total)
}

// find takes from wanted what is found among the ids, and complains about the rest.
func (v *verifier) find(wanted map[entry]struct{}) error {
	var segments []segment
	if err := v.each(2, func(row []driver.Value) error {
		segments = append(segments, segment{id: toInt(row[0]), level: toInt(row[1])})
		return nil
	}, `SELECT id, level FROM segments`); err != nil {
		return err
	}
	for _, g := range segments {
		if err := v.each(2, func(row []driver.Value) error {
			for e := range entries(toBytes(row[1])) {
				if g.key(e.hash) != toInt(row[0]) {
					return unsound("an id lies in row %d of the ids, where nobody looks for it", toInt(row[0]))
				}
				delete(wanted, e)
			}
			return nil
		}, `SELECT key, entries FROM ids WHERE key >= ? AND key < ?`, g.id<<keyBits, (g.id+1)<<keyBits); err != nil {
			return err
		}
	}
	if err := v.each(1, func(row []driver.Value) error {
		for e := range entries(toBytes(row[0])) {
			delete(wanted, e)
		}
		return nil
	}, `SELECT entries FROM ids_tail`); err != nil {
		return err
	}
	for e := range wanted {
		if e.ref&3 == kindEvent {
			return unsound("%d unfinished rows are not found by their ids, such as event %d", len(wanted), e.ref>>2)
		}
		return unsound("%d unfinished rows are not found by their ids, such as send %d", len(wanted), e.ref>>2)
	}
	return nil
}

// counts tells how much there is.
func (v *verifier) counts() error {
	type count struct {
		of string
		n  int64
	}
	var found []count
	if err := v.each(2, func(row []driver.Value) error {
		name := toFate(row[0]).String()
		if row[0] == int64(fateUnfinished) {
			name = "unfinished"
		}
		found = append(found, count{"events " + name, toInt(row[1])})
		return nil
	}, `SELECT fate, count(*) FROM events GROUP BY fate ORDER BY fate`); err != nil {
		return err
	}
	if err := v.each(2, func(row []driver.Value) error {
		found = append(found, count{"sends " + string(decode(statuses, row[0])), toInt(row[1])})
		return nil
	}, `SELECT status, count(*) FROM sends GROUP BY status ORDER BY status`); err != nil {
		return err
	}
	for _, c := range found {
		if err := v.say("%s: %d", c.of, c.n); err != nil {
			return err
		}
	}
	return nil
}
