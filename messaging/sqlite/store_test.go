package sqlite_test

import (
	"sync"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Config{Logger: sqlite.Silent})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	var paths sync.Map // by store
	messagingtest.TestStore(t, func(t *testing.T) messaging.Store {
		path := sqlite.NewPath(t)
		s := open(t, path)
		paths.Store(s, path)
		return s
	}, messagingtest.Features{
		Reopen: func(t *testing.T, s messaging.Store) messaging.Store {
			path, _ := paths.Load(s)
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			again := open(t, path.(string))
			paths.Store(again, path)
			return again
		},
	})
}
