package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signpost-sms/signpost/messaging/postgres"
)

func TestSeveralOpenAnEmptySchemaAtOnce(t *testing.T) {
	t.Parallel()
	at := schema(t)
	must(t, hand(t, at), "DROP SCHEMA "+at.name+" CASCADE; CREATE SCHEMA "+at.name)
	var stores [4]*postgres.Store
	var errs [4]error
	var all sync.WaitGroup
	for i := range stores {
		all.Go(func() { stores[i], errs[i] = postgres.Open(t.Context(), at.url, postgres.Config{Readers: 1}) })
	}
	all.Wait()
	for i, s := range stores {
		if errs[i] != nil {
			t.Errorf("Open: %v", errs[i])
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	join(t, at, "a").append(message(), nil)
}

func TestSchemaOfANewerProgramIsRefused(t *testing.T) {
	t.Parallel()
	at := schema(t)
	open(t, at.url)
	must(t, hand(t, at), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	s, err := postgres.Open(t.Context(), at.url, postgres.Config{})
	if err == nil {
		s.Close()
		t.Fatal("Open of a schema of version 99999: no error")
	}
	for _, part := range []string{"99999", "newer"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-w0rd"
	u, err := url.Parse(server())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody_of_this_name", secret)
	absent := *u
	absent.Path = "/no_database_of_this_name"
	silent := *u
	silent.Host = "127.0.0.1:1"
	for _, name := range []string{
		absent.String(), silent.String(), "postgres://user:" + secret + "@[::1", "postgres://user:" + secret + "@host:port/db",
		"postgres://user:" + secret + "@host/db?sslmode=nonsense", "host=127.0.0.1 port=1 password=" + secret,
	} {
		s, err := postgres.Open(t.Context(), name, postgres.Config{})
		if err == nil {
			s.Close()
			t.Errorf("Open of %q: no error", strings.ReplaceAll(name, secret, "..."))
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds the password: %s", strings.ReplaceAll(err.Error(), secret, "[PASSWORD]"))
		}
		if !strings.Contains(err.Error(), "check") && !strings.Contains(err.Error(), "write") {
			t.Errorf("the error does not say what to do: %v", err)
		}
	}
}

func TestWatchComesBackAfterACut(t *testing.T) {
	t.Parallel()
	at := schema(t)
	p := newLine(t, at)
	a, b := join(t, place{at.name, p.url}, "a"), join(t, at, "b")
	a.append(message(), nil) // the conversation is its own
	var told atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	ended := later(t, func() { _ = a.Watch(ctx, a.owner, func() { told.Add(1) }) })
	defer func() {
		cancel()
		eventually(t, "Watch returns", ended)
	}()
	eventually(t, "told once it listens", func() bool { return told.Load() == 1 })
	if ap := b.append(message(), nil); !ap.Unheld {
		t.Error("an event of another's conversation is held")
	}
	eventually(t, "told of what was left", func() bool { return told.Load() == 2 })
	p.set(func() { p.cut = true })
	b.append(message(), nil) // nobody hears of it
	p.set(func() { p.cut = false })
	eventually(t, "told after the interruption", func() bool { return told.Load() >= 3 })
	n := told.Load()
	b.append(message(), nil)
	eventually(t, "told of what was left afterwards", func() bool { return told.Load() > n })
	straight := &instance{T: t, Store: b.Store, owner: a.owner} // connections of its own may still be cut
	if n := len(straight.events()); n != 3 {
		t.Errorf("%d events were left, want 3", n)
	}
}

func TestDatabaseOfAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	at := schema(t)
	const statements = " TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
	exec(t, "CREATE DATABASE "+at.name+statements)
	t.Cleanup(func() { exec(t, "DROP DATABASE "+at.name+" WITH (FORCE)") })
	u, err := url.Parse(server())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + at.name
	s, err := postgres.Open(t.Context(), u.String(), postgres.Config{})
	if err == nil {
		s.Close()
		t.Fatal("Open of a database that cannot hold every text: no error")
	}
	if !strings.Contains(err.Error(), "UTF8") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}
