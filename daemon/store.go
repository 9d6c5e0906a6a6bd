package daemon

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/postgres"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

// stores are the journals that this build can open, by the scheme of the store's URL.
var stores = map[string]func(name StoreURL, log *slog.Logger) (messaging.Store, error){
	"memory": openMemory,
	"sqlite": openSQLite,

	"postgres": openPostgres, "postgresql": openPostgres,
}

// openStore opens the journal that the configuration names.
func openStore(name StoreURL, log *slog.Logger) (messaging.Store, error) {
	open, ok := stores[name.Scheme()]
	if !ok {
		return nil, exitf(ExitConfig, "store: this build knows %s and not %q; take one of those", knownStores(), name.Scheme()+":")
	}
	return open(name, log)
}

func openMemory(_ StoreURL, log *slog.Logger) (messaging.Store, error) {
	log.Warn("the store is memory: everything is lost when the process ends, acknowledged messages included; good for trying things out, not for people who wait for an answer")
	return memory.New(memory.Config{}), nil
}

// openSQLite opens the file that the URL names: sqlite:///absolute/path or sqlite:relative.
func openSQLite(name StoreURL, log *slog.Logger) (messaging.Store, error) {
	path := strings.TrimPrefix(strings.TrimPrefix(name.Reveal()[len("sqlite"):], ":"), "//")
	if path == "" {
		return nil, exitf(ExitConfig, "store: %q names no file; write sqlite:///var/lib/signpost/signpost.db", "sqlite:")
	}
	s, err := sqlite.Open(context.Background(), path, sqlite.Config{Logger: log})
	if err != nil {
		return nil, exitf(ExitUnavailable, "open the store: %w", err)
	}
	return s, nil
}

// openPostgres connects to the database that the URL names.
func openPostgres(name StoreURL, log *slog.Logger) (messaging.Store, error) {
	s, err := postgres.Open(context.Background(), name.Reveal(), postgres.Config{Logger: log})
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
