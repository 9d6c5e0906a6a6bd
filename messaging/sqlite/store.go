package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"github.com/signpost-sms/signpost/messaging"
	sq "modernc.org/sqlite"
)

// Config tunes a Store. The zero value of every field means its documented default.
type Config struct {
	Logger *slog.Logger // slog.Default()
	// DedupeFor is how far back a redelivered event is recognised at least, whatever is
	// pruned. Default 7 days.
	DedupeFor time.Duration
	// Readers is how many connections read. Default 3.
	Readers int
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("component", "sqlite")
	if c.DedupeFor <= 0 {
		c.DedupeFor = 7 * 24 * time.Hour
	}
	if c.Readers <= 0 {
		c.Readers = 3
	}
	return c
}

// Store implements messaging.Store in a SQLite file. Its methods may be called
// concurrently; commits wait for each other, readers for nobody.
type Store struct {
	path string
	cfg  Config
	lock *lock
	read *sql.DB
	now  atomic.Int64 // the newest Batch.Now, in milliseconds
	at   atomic.Int64 // when that was, since born
	born time.Time

	bounds     bounds
	background sync.WaitGroup
	closing    context.Context
	close      context.CancelFunc
	closed     sync.Once

	mu    sync.Mutex // guards the writer and everything below
	w     *writer    // nil after a failure that it may not have survived
	ids   ids
	early early
	open  map[uuid.UUID]*attempt // attempts that this process opened and that nothing has settled
	seqs  []int64                // scratch: the batch's events
	stamp driver.Value           // the batch's Now
	tail  tail                   // as the batch leaves it
	last  map[uuid.UUID]uuid.UUID
	next  struct{ event, send int64 }
}

// bounds are how much is done at a time. Tests make them smaller.
type bounds struct {
	prune  int // rows that one call of Prune looks at, in each pass
	forget int // rows that Forget changes between two commits
	search int // rows that are looked through in one moment of the journal
	seal   int // ids that make a segment
}

// usual are bounds in which a commit that comes meanwhile waits for milliseconds, and the
// write-ahead log may begin anew between two moments.
var usual = bounds{prune: 2000, forget: 256, search: 4096, seal: 1 << segmentBits}

var (
	_ messaging.Store    = (*Store)(nil)
	_ messaging.Archive  = (*Store)(nil)
	_ messaging.Keeper   = (*Store)(nil)
	_ messaging.Verifier = (*Store)(nil)

	_ messaging.ValueReader = (*Store)(nil)
)

// The settings of a connection. A commit must survive a power cut, so synchronous is FULL.
const (
	pragmas = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
	// The writer checkpoints after 16 MiB instead of 4: a page that is written often, such
	// as the end of a table, then goes to the file itself less often. Its cache holds the
	// pages that a busy journal touches. What is removed or moved is overwritten, so that no
	// text outlives its row in the file.
	writing = "&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-4096)&_pragma=secure_delete(1)&_txlock=immediate"
	reading = "&_pragma=query_only(1)&_pragma=cache_size(-1024)"
)

// oldest is the first version of SQLite without the bug by which a checkpoint could
// overwrite newer pages.
var oldest = [3]int{3, 51, 3}

// applicationID marks our files in their header ("sgnp"), so that another program's is not
// taken for ours.
const applicationID = 0x73676e70

// Open opens the database at path, and makes it with its directory if there is none. It
// waits for nobody: a database that another process holds is an error. Every error says
// what to do.
func Open(ctx context.Context, path string, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	resolved, l, err := prepare(path, cfg.Logger)
	if err != nil {
		return nil, err
	}
	s := &Store{path: resolved, cfg: cfg, lock: l, born: time.Now(), bounds: usual, open: map[uuid.UUID]*attempt{}, last: map[uuid.UUID]uuid.UUID{}}
	s.closing, s.close = context.WithCancel(context.Background())
	if err := s.start(ctx); err != nil {
		_ = s.Close()
		if isDamage(err) {
			return nil, damaged(resolved, err)
		}
		return nil, fmt.Errorf("sqlite: open %s: %w", resolved, err)
	}
	return s, nil
}

// dsn names a database, with the settings of a connection.
func dsn(path, options string) string { return uri(path, pragmas+options) }

func uri(path, query string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query}
	return u.String()
}

// start brings the schema up to date and reads what memory keeps of the journal.
func (s *Store) start(ctx context.Context) error {
	// The system call that SQLite's own builds use. It spares each commit the write of the
	// file's times and is no less durable. Where there is none, fsync stays.
	_, _ = sq.Fdatasync(true)
	if err := s.migrate(ctx); err != nil {
		return err
	}
	w, err := openWriter(dsn(s.path, writing))
	if err != nil {
		return err
	}
	s.w = w
	if s.read, err = sql.Open("sqlite", dsn(s.path, reading)); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(s.cfg.Readers)
	s.read.SetMaxIdleConns(s.cfg.Readers)
	return s.recall(ctx)
}

//go:embed migrations/*.sql
var migrations embed.FS

func (s *Store) migrate(ctx context.Context) error {
	db, err := sql.Open("sqlite", dsn(s.path, writing))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var version string
	var app, tables int64
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version(), (SELECT count(*) FROM sqlite_schema WHERE type = 'table')").Scan(&version, &tables); err != nil {
		return err
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return err
	}
	if app != applicationID && tables > 0 {
		return errors.New("it is another program's database; give the daemon a path of its own")
	}
	if app != applicationID {
		if _, err := db.ExecContext(ctx, "PRAGMA application_id = "+strconv.Itoa(applicationID)); err != nil {
			return err
		}
	}
	// goose takes a table that it cannot read for none, and needs long to find that there is
	// nothing to do.
	var has int64
	switch err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version").Scan(&has); {
	case isDamage(err):
		return err
	case err == nil && has == newest():
		return nil
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	has, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if has > want {
		return fmt.Errorf("its schema is version %d and this program knows %d; run a newer program", has, want)
	}
	if has > 0 && has < want {
		if err := sound(ctx, db); err != nil {
			return err
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema to version %d: %w", want, err)
	}
	return nil
}

// newest is the version of the schema that this program makes: its migrations are numbered
// without a gap.
func newest() int64 {
	files, _ := migrations.ReadDir("migrations")
	return int64(len(files))
}

// errUnsound is what SQLite's own check of a file has found.
var errUnsound = errors.New("the check of the file failed")

// sound checks a file before its schema is changed, which could make damage worse.
func sound(ctx context.Context, db *sql.DB) error {
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errUnsound, found)
	}
	return nil
}

// checkVersion refuses a SQLite that may damage a database.
func checkVersion(version string) error {
	var v [3]int
	for i, part := range strings.SplitN(version, ".", len(v)) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("SQLite's version %q is not understood", version)
		}
		v[i] = n
	}
	for i := range v {
		if v[i] != oldest[i] {
			if v[i] < oldest[i] {
				return fmt.Errorf("SQLite %s can damage a database when it checkpoints; build the program with %d.%d.%d or newer",
					version, oldest[0], oldest[1], oldest[2])
			}
			break
		}
	}
	return nil
}

// Traits implements messaging.Store.
func (s *Store) Traits() messaging.Traits {
	return messaging.Traits{Name: "sqlite", Durable: true, Blocking: true}
}

// Close waits for what runs and closes the database. Further calls do nothing.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		s.mu.Lock()
		s.close() // under the lock, so that nothing new begins in the background
		s.mu.Unlock()
		s.background.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.read != nil {
			err = s.read.Close()
		}
		if s.w != nil { // last, so that it checkpoints
			err = errors.Join(err, s.w.close())
			s.w = nil
		}
		s.lock.release()
	})
	if err != nil {
		return fmt.Errorf("sqlite: close %s: %w", s.path, err)
	}
	return nil
}
