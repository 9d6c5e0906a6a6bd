// Journal prepares the journals that the bench runs Signpost on.
//
//	journal fill -store URL -n 1000000   adds finished messages, each with its accepted reply
//	journal rest -store URL              waits until the store has no work of its own left
//	journal create -store postgres://... makes the schema that the URL's search_path names
//	journal drop -store postgres://...   removes it with everything in it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/postgres"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "journal:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: fill, rest, create or drop")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	url := flags.String("store", "", "URL of the journal: sqlite://PATH or postgres://...")
	n := flags.Int("n", 1_000_000, "finished messages to add")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "fill":
		return withStore(ctx, *url, func(s messaging.Store) error { return fill(ctx, s, *n) })
	case "rest":
		if strings.HasPrefix(*url, "postgres") {
			return execute(ctx, *url, func(string) string { return "VACUUM ANALYZE" })
		}
		return withStore(ctx, *url, func(messaging.Store) error { return atRest(ctx) })
	case "create":
		return execute(ctx, *url, func(schema string) string { return "CREATE SCHEMA " + schema })
	case "drop":
		return execute(ctx, *url, func(schema string) string { return "DROP SCHEMA IF EXISTS " + schema + " CASCADE" })
	}
	return fmt.Errorf("%q is not known; there are fill, rest, create and drop", args[0])
}

// withStore opens the journal for the time of f.
func withStore(ctx context.Context, url string, f func(messaging.Store) error) error {
	s, err := open(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func open(ctx context.Context, url string) (messaging.Store, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	switch scheme, rest, _ := strings.Cut(url, "://"); scheme {
	case "sqlite":
		return sqlite.Open(ctx, rest, sqlite.Config{Logger: log})
	case "postgres", "postgresql":
		return postgres.Open(ctx, url, postgres.Config{Logger: log})
	}
	return nil, errors.New("-store: give sqlite://PATH or postgres://...")
}

// execute runs the statement that of makes of the schema in the URL's search_path.
func execute(ctx context.Context, url string, of func(schema string) string) error {
	conf, err := pgx.ParseConfig(url)
	if err != nil {
		return errors.New("-store: the URL cannot be read; write postgres://user@host:5432/database?search_path=SCHEMA")
	}
	schema := conf.RuntimeParams["search_path"]
	if schema == "" {
		return errors.New("-store: the URL names no schema; add search_path=SCHEMA")
	}
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, of(pgx.Identifier{schema}.Sanitize())); err != nil {
		return fmt.Errorf("change the schema %s: %w", schema, err)
	}
	return nil
}
