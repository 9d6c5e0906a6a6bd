package crashtest

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/postgres"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

// takeover is how long work of a dead instance may lie in a shared store before another
// one takes it: the lease of the store, and the time that a write may take.
const takeover = 10*time.Second + messaging.WriteTimeout

// shared reports whether several daemons can use the journal of these tests.
func shared() bool { return !strings.HasPrefix(*storeURL, "sqlite:") }

// newStoreURL is where the daemons of one test keep their journal: a file, or a schema of
// the database that the flag names.
func newStoreURL(t *testing.T) string {
	t.Helper()
	if !shared() {
		return "sqlite://" + filepath.Join(t.ArtifactDir(), "journal.db")
	}
	u, err := url.Parse(*storeURL)
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("crash_%d", time.Now().UnixNano())
	execute(t, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execute(t, "DROP SCHEMA "+schema+" CASCADE") })
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// execute runs a statement on the database that the flag names.
func execute(t *testing.T, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // also when the test is over
	defer cancel()
	conn, err := pgx.Connect(ctx, *storeURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

// archive is a store that can be asked.
type archive interface {
	messaging.Archive
	Close() error
}

func openArchive(t *testing.T, url string) archive {
	t.Helper()
	var st archive
	var err error
	if path, ok := strings.CutPrefix(url, "sqlite://"); ok {
		st, err = sqlite.Open(t.Context(), path, sqlite.Config{})
	} else {
		st, err = postgres.Open(t.Context(), url, postgres.Config{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// journal is what stopped daemons left.
type journal struct {
	unfinished int            // inbounds without an outcome
	waiting    int            // sends that have not left
	doubts     []int          // the texts whose answers may or may not have left
	given      map[string]int // sends that were given up, by status and reason
}

// readJournal opens the journal of daemons that have ended.
func readJournal(t *testing.T, url string) journal {
	t.Helper()
	st := openArchive(t, url)
	defer st.Close()
	var j journal
	search(t, st, messaging.Search{Fates: []messaging.Fate{messaging.FateRetry}}, func(f *messaging.Found) {
		j.unfinished += len(f.Inbounds)
	})
	search(t, st, messaging.Search{Sends: true, Statuses: []messaging.Status{messaging.StatusQueued}}, func(f *messaging.Found) {
		j.waiting += len(f.Sends)
	})
	doubtful := []messaging.Status{messaging.StatusSending, messaging.StatusInDoubt}
	search(t, st, messaging.Search{Sends: true, Statuses: doubtful}, func(f *messaging.Found) {
		for _, s := range f.Sends {
			n, ok := numberOf(s.Send.InReplyTo, idPrefix)
			if !ok {
				t.Errorf("a doubt about a send that answers %q", s.Send.InReplyTo)
			}
			j.doubts = append(j.doubts, n)
		}
	})
	slices.Sort(j.doubts)
	j.given = map[string]int{}
	over := []messaging.Status{messaging.StatusSuppressed, messaging.StatusExpired, messaging.StatusCancelled, messaging.StatusFailed}
	search(t, st, messaging.Search{Sends: true, Statuses: over}, func(f *messaging.Found) {
		for _, s := range f.Sends {
			j.given[string(s.Status)+": "+s.Reason]++
		}
	})
	return j
}

// search gives f all pages of an answer.
func search(t *testing.T, st archive, s messaging.Search, f func(*messaging.Found)) {
	t.Helper()
	for s.Limit = 1000; ; {
		found, err := st.Search(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		f(found)
		if !found.More {
			return
		}
		s.Before = found.Cursor
	}
}

// atRest reports what is left to do in the journal, doubts apart.
func (j journal) atRest(t *testing.T) {
	t.Helper()
	if j.unfinished > 0 || j.waiting > 0 {
		t.Errorf("the journal holds %d inbounds without an outcome and %d sends that never left, want none", j.unfinished, j.waiting)
	}
	if len(j.given) > 0 {
		t.Errorf("sends were given up: %v", j.given)
	}
}
