package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/postgres"
)

// server is where the tests find PostgreSQL.
func server() string {
	if s := os.Getenv("SIGNPOST_TEST_POSTGRES"); s != "" {
		return s
	}
	return "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"
}

// schemas are those that this process made. A schema that a test is done with is emptied
// and used again, since making one takes much longer.
var schemas struct {
	sync.Mutex
	made, free []string
}

// modelChecks is how many histories the random model plays here, where each takes a hundred
// times as long as in memory; -rapid.checks asks for more.
const modelChecks = "20"

// parallel is how many tests run at once: they mostly wait, for leases and for the server.
const parallel = "3"

func TestMain(m *testing.M) {
	flag.Parse()
	asked := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { asked[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": modelChecks, "test.parallel": parallel} {
		if !asked[name] {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
	postgres.WaitForNoDisk()
	code := m.Run()
	for _, name := range schemas.made {
		if err := run("DROP SCHEMA " + name + " CASCADE"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// place is an empty schema.
type place struct{ name, url string }

func schema(t testing.TB) place {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a PostgreSQL server")
	}
	schemas.Lock()
	defer schemas.Unlock()
	if n := len(schemas.free); n > 0 {
		name := schemas.free[n-1]
		schemas.free = schemas.free[:n-1]
		return place{name, within(t, name)}
	}
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	exec(t, "CREATE SCHEMA "+name)
	schemas.made = append(schemas.made, name)
	return place{name, within(t, name)}
}

// within is the URL of a schema.
func within(t testing.TB, name string) string {
	u, err := url.Parse(server())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// giveBack empties a schema that nobody uses any more.
func (p place) giveBack(t testing.TB) {
	t.Helper()
	var all strings.Builder
	for _, table := range []string{"instances", "departed", "conversations", "events", "sends", "attempts", "batches", "stragglers", "marks", "consents", "counters", "small_values"} {
		fmt.Fprintf(&all, "DELETE FROM %s.%s; ", p.name, table)
	}
	fmt.Fprintf(&all, "ALTER TABLE %[1]s.ledger DISABLE TRIGGER USER; DELETE FROM %[1]s.ledger; ALTER TABLE %[1]s.ledger ENABLE TRIGGER USER; ", p.name)
	for _, order := range []string{"events_order", "sends_order", "counters_order", "small_values_versions"} {
		fmt.Fprintf(&all, "ALTER SEQUENCE %s.%s RESTART; ", p.name, order)
	}
	exec(t, all.String())
	schemas.Lock()
	schemas.free = append(schemas.free, p.name)
	schemas.Unlock()
}

// run runs statements on a connection of its own.
func run(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conf, err := pgx.ParseConfig(server())
	if err != nil {
		return err
	}
	conf.RuntimeParams["synchronous_commit"] = "off"
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return fmt.Errorf("no PostgreSQL server answers: %w; start one, or set SIGNPOST_TEST_POSTGRES to its URL", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func exec(t testing.TB, sql string) {
	t.Helper()
	if err := run(sql); err != nil {
		t.Fatal(err)
	}
}

const (
	lease  = 1500 * time.Millisecond
	margin = 500 * time.Millisecond
)

func open(t testing.TB, at string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), at, postgres.Config{Lease: lease, Margin: margin, Readers: 2})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

// tenant is a store that gives its schema back when it is closed.
type tenant struct {
	*postgres.Store
	t    testing.TB
	at   place
	keep bool // another store uses the schema
	once sync.Once
}

func (s *tenant) Close() error {
	err := s.Store.Close()
	if !s.keep {
		s.once.Do(func() {
			if verr := postgres.Verify(context.Background(), s.at.url, io.Discard); verr != nil {
				s.t.Errorf("what the test leaves: %v", verr)
			}
			s.at.giveBack(s.t)
		})
	}
	return err
}

func newTenant(t testing.TB, at place, keep bool) *tenant {
	s := &tenant{Store: open(t, at.url), t: t, at: at, keep: keep}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	messagingtest.TestStore(t, func(t *testing.T) messaging.Store {
		return newTenant(t, schema(t), false)
	}, messagingtest.Features{
		Lease: lease + margin,
		Reopen: func(t *testing.T, s messaging.Store) messaging.Store {
			first := s.(*tenant)
			if err := first.Store.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			return newTenant(t, first.at, true)
		},
		Another: func(t *testing.T, s messaging.Store) messaging.Store { return newTenant(t, s.(*tenant).at, true) },
	})
}
