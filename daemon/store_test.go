package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// "check" accepts no store that "run" would then refuse, and names none.
func TestCheckKnowsTheStoresThatRunCanOpen(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"mysql://host/name", "redis:x", "/var/lib/a.db"} {
		if _, err := openStore(Config{Store: StoreURL(url)}, slog.New(slog.DiscardHandler)); err == nil {
			continue // this build can
		}
		cfg, found := load(t, "store: "+url+"\n"+oneContext)
		if cfg != nil || len(found) != 1 || found[0].Rule != "bad-store" {
			t.Errorf("%s cannot be opened, and check says %v", url, found)
			continue
		}
		for _, scheme := range []string{"memory:", "sqlite:", "postgres:"} {
			_, opens := stores[strings.TrimSuffix(scheme, ":")]
			if named := strings.Contains(found[0].Mend, scheme); named != opens {
				t.Errorf("%s: named %v, can be opened %v: %s", scheme, named, opens, found[0].Mend)
			}
		}
	}
	for _, example := range storeExamples() {
		mustLoad(t, "store: '"+example+"'\n"+oneContext)
	}
}

// The default store is a path that not everybody may write: the error says what to set.
func TestStoreThatCannotBeMadeSaysWhatToSet(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	if cfg.Store != "sqlite:///var/lib/signpost/signpost.db" {
		t.Errorf("the default store is %s", cfg.Store)
	}
	cfg.Store = StoreURL("sqlite://" + file + "/signpost/signpost.db")
	_, err := openStore(cfg, slog.New(slog.DiscardHandler))
	if err == nil || ExitCode(err) != ExitUnavailable {
		t.Fatalf("got %v with exit code %d, want %d", err, ExitCode(err), ExitUnavailable)
	}
	for _, want := range []string{file, "set store: to a path that you may write", "SIGNPOST_STORE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: lacks %q", err, want)
		}
	}
}

// What dedupe_for says reaches the journal: an event that comes again within it is known.
func TestStoreGetsDedupeFor(t *testing.T) {
	t.Parallel()
	for window, known := range map[time.Duration]bool{time.Hour: false, 30 * day: true} {
		cfg := DefaultConfig()
		cfg.DedupeFor = window
		cfg.Store = StoreURL("sqlite://" + filepath.Join(t.TempDir(), "signpost.db"))
		store, err := openStore(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ev := messagingtest.NewMessage("support", person, ourNumber, "hello")
		ev.ReceivedAt = time.Now().Add(-10 * day)
		journal := func(at time.Time) *messaging.Append {
			a := &messaging.Append{Event: ev, Outcome: &messaging.Outcome{Fate: messaging.FateDone}}
			b := &messaging.Batch{ID: uuid.Must(uuid.NewV7()), Owner: uuid.Must(uuid.NewV7()), Now: at, Appends: []*messaging.Append{a}}
			if err := store.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			return a
		}
		journal(ev.ReceivedAt)
		now := time.Now()
		fill := messagingtest.NewMessage("support", person, ourNumber, "later")
		fill.ReceivedAt = now
		if err := store.Commit(t.Context(), &messaging.Batch{ID: uuid.Must(uuid.NewV7()), Now: now, Appends: []*messaging.Append{{Event: fill}}}); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := store.Prune(t.Context(), now.Add(-time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		life, err := store.(messaging.Archive).Life(t.Context(), ev.ID)
		if (err == nil) != known {
			t.Errorf("dedupe_for %v: a row of ten days ago is there: %v (%v), want %v", window, life != nil, err, known)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}
