package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/signpost-sms/signpost/messaging"
)

// Config tunes a Store. The zero value of every field means its documented default.
type Config struct {
	Logger *slog.Logger // slog.Default()
	// DedupeFor is how far back a redelivered event is recognised at least, whatever is
	// pruned. Default 7 days.
	DedupeFor time.Duration
	// Lease is how long an instance lives without renewing. Default 10 s.
	Lease time.Duration
	// Margin is how long after its lease an instance may still be writing to the wire; only
	// then is it declared dead. Default messaging.WriteTimeout. Smaller only in tests.
	Margin time.Duration
	// Readers is how many connections read. Default 3. Of three more, one commits, one renews
	// the lease and one listens.
	Readers int
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("component", "postgres")
	if c.DedupeFor <= 0 {
		c.DedupeFor = 7 * 24 * time.Hour
	}
	if c.Lease <= 0 {
		c.Lease = 10 * time.Second
	}
	if c.Margin <= 0 {
		c.Margin = messaging.WriteTimeout
	}
	if c.Readers <= 0 {
		c.Readers = 3
	}
	return c
}

// Store implements messaging.Store, messaging.Sharer, messaging.Archive,
// messaging.ConsentLedger and messaging.Verifier in a PostgreSQL database. Its methods may be called concurrently; commits wait for each other.
type Store struct {
	cfg  Config
	conf *pgx.ConnConfig // of the connections that commit and listen
	pool *pgxpool.Pool
	// pulse is a connection for the lease alone: readers may take long.
	pulse *pgxpool.Pool
	path  string // names the schema in notifications
	now   atomic.Int64

	closing context.Context
	close   context.CancelFunc

	leases sync.Mutex
	joined map[uuid.UUID]tenure

	mu   sync.Mutex // guards the connection that commits
	conn *pgx.Conn  // nil after a failure
	last map[uuid.UUID]uuid.UUID
}

var (
	_ messaging.Store    = (*Store)(nil)
	_ messaging.Sharer   = (*Store)(nil)
	_ messaging.Archive  = (*Store)(nil)
	_ messaging.Verifier = (*Store)(nil)
)

// committingParams settle how the statements of a commit are planned. Each finds a bounded
// number of rows by an index. Left alone, the planner would read tables from end to end
// that were small when it was first asked, and would plan anew for every batch.
var committingParams = map[string]string{
	"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "plan_cache_mode": "force_generic_plan",
}

const connectTimeout = 10 * time.Second

// Open connects to the database that the URL names and brings its schema up to date, waiting
// for another instance that does the same. Every error says what to do; none holds the
// password.
func Open(ctx context.Context, name string, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	pc, err := parse(name)
	if err != nil {
		return nil, err
	}
	where := place(pc.ConnConfig)
	pc.MaxConns = int32(cfg.Readers)
	pc.MinConns = 0
	committing := pc.ConnConfig.Copy()
	for name, value := range committingParams {
		committing.RuntimeParams[name] = value
	}
	s := &Store{cfg: cfg, conf: committing, joined: map[uuid.UUID]tenure{}, last: map[uuid.UUID]uuid.UUID{}}
	s.closing, s.close = context.WithCancel(context.Background())
	if s.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, fmt.Errorf("postgres: open %s: %w", where, err)
	}
	only := pc.Copy()
	only.MaxConns = 1
	if s.pulse, err = pgxpool.NewWithConfig(ctx, only); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("postgres: open %s: %w", where, err)
	}
	if err := s.start(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("postgres: open %s: %w; check that the server runs, that the database exists and that the user may create tables in it", where, err)
	}
	return s, nil
}

// synchronousCommit makes the server answer a commit when it is on the disk. Only tests, which
// take no power from the server, do without.
var synchronousCommit = "on"

// parse reads the store's URL and settles what every connection has in common.
func parse(name string) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(name)
	if err != nil {
		return nil, errors.New("postgres: the store's URL cannot be read; write postgres://user:password@host:5432/database")
	}
	pc.ConnConfig.ConnectTimeout = connectTimeout
	p := pc.ConnConfig.RuntimeParams
	if p["application_name"] == "" {
		p["application_name"] = "signpost"
	}
	// A server, database or role that is set to lose commits must not weaken the promise.
	p["synchronous_commit"] = synchronousCommit
	p["idle_in_transaction_session_timeout"] = "60000"
	p["lock_timeout"] = "10000"
	p["jit"] = "off" // no query of ours is worth compiling
	// A statement that follows a lock has to see what others committed while it was waited for.
	p["default_transaction_isolation"] = "read committed"
	return pc, nil
}

// place is the URL without what must not be shown.
func place(c *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", Host: fmt.Sprintf("%s:%d", c.Host, c.Port), Path: c.Database}
	return u.String()
}

//go:embed migrations/*.sql
var migrations embed.FS

func (s *Store) start(ctx context.Context) error {
	var encoding string
	if err := s.pool.QueryRow(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, which has no place for every text; make one WITH ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.pool.QueryRow(ctx, "SELECT current_schema()").Scan(&s.path)
}

func (s *Store) migrate(ctx context.Context) error {
	db := stdlib.OpenDB(*s.conf)
	defer db.Close()
	return migrate(ctx, db)
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	// Two instances may start at once: the second waits here for the first. The lock is the
	// session's, so that it ends with the process whatever happens.
	guard, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer guard.Close()
	if _, err := guard.ExecContext(ctx, `SET lock_timeout = 0; SELECT pg_advisory_lock(hashtext('signpost migrate ' || current_schema()))`); err != nil {
		return fmt.Errorf("wait for the schema's lock: %w", err)
	}
	defer func() { // the connection ends too, and the lock with it
		_, _ = guard.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock_all()`)
	}()
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir)
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
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema to version %d: %w", want, err)
	}
	return nil
}

// Traits implements messaging.Store.
func (s *Store) Traits() messaging.Traits {
	return messaging.Traits{Name: "postgres", Durable: true, Shared: true, Blocking: true}
}

// Close waits for what runs and closes the connections. Further calls do nothing.
func (s *Store) Close() error {
	s.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUp()
	s.pool.Close()
	if s.pulse != nil {
		s.pulse.Close()
	}
	return nil
}

// hangUp gives up the connection that commits.
func (s *Store) hangUp() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx) // its end is all that is wanted
		s.conn = nil
	}
}
