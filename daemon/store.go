package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/postgres"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

// stores are the journals that this build can open, by the scheme of the store's URL.
var stores = map[string]func(cfg Config, log *slog.Logger) (messaging.Store, error){
	"memory": openMemory,
	"sqlite": openSQLite,

	"postgres": openPostgres, "postgresql": openPostgres,
}

// openStore opens the journal that the configuration names.
func openStore(cfg Config, log *slog.Logger) (messaging.Store, error) {
	open, ok := stores[cfg.Store.Scheme()]
	if !ok {
		return nil, exitf(ExitConfig, "store: this build knows %s and not %q; take one of those", knownStores(), cfg.Store.Scheme()+":")
	}
	return open(cfg, log)
}

func openMemory(_ Config, log *slog.Logger) (messaging.Store, error) {
	log.Warn("the store is memory: everything is lost when the process ends, acknowledged messages included; good for trying things out, not for people who wait for an answer")
	return memory.New(memory.Config{}), nil
}

// openSQLite opens the file that the URL names: sqlite:///absolute/path or sqlite:relative.
func openSQLite(cfg Config, log *slog.Logger) (messaging.Store, error) {
	path := sqlitePath(cfg.Store)
	if path == "" {
		return nil, exitf(ExitConfig, "store: %q names no file; write %s", "sqlite:", defaultStore)
	}
	s, err := sqlite.Open(context.Background(), path, sqlite.Config{Logger: log, DedupeFor: cfg.DedupeFor})
	var place *fs.PathError
	switch {
	case errors.As(err, &place):
		return nil, exitf(ExitUnavailable, "open the store: %w; or set store: to a path that you may write, such as sqlite:signpost.db, or use SIGNPOST_STORE", err)
	case err != nil:
		return nil, exitf(ExitUnavailable, "open the store: %w", err)
	}
	return s, nil
}

// sqlitePath is the file that a sqlite: URL names; empty if it names none.
func sqlitePath(name StoreURL) string {
	_, path, _ := strings.Cut(name.Reveal(), ":")
	return strings.TrimPrefix(path, "//")
}

// openPostgres connects to the database that the URL names.
func openPostgres(cfg Config, log *slog.Logger) (messaging.Store, error) {
	s, err := postgres.Open(context.Background(), cfg.Store.Reveal(), postgres.Config{Logger: log, DedupeFor: cfg.DedupeFor})
	if err != nil {
		return nil, exitf(ExitUnavailable, "open the store: %w", err)
	}
	return s, nil
}

func knownStores() string {
	var names []string
	for scheme := range stores {
		names = append(names, scheme+":")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
