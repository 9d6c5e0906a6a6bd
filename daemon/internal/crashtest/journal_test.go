package crashtest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

// newStoreURL is where the daemons of one test keep their journal.
func newStoreURL(t *testing.T) string {
	t.Helper()
	if *storeURL == "sqlite:" {
		return "sqlite://" + filepath.Join(t.TempDir(), "journal.db")
	}
	return *storeURL
}

// journal is what a stopped daemon left.
type journal struct {
	unfinished int   // inbounds without an outcome
	queued     int   // sends that have not left
	doubts     []int // the texts whose answers may or may not have left
}

// readJournal opens the journal of daemons that have ended.
func readJournal(t *testing.T, url string) journal {
	t.Helper()
	path, ok := strings.CutPrefix(url, "sqlite://")
	if !ok {
		t.Fatalf("no way to look into the journal %s", url)
	}
	st, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w, err := st.Load(t.Context(), messaging.Query{
		Now: time.Now().Add(1000 * time.Hour), Limit: 1 << 20, Events: true, Sends: true, Doubts: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var j journal
	for _, u := range w.Events {
		if u.Event.Kind == messaging.KindMessage {
			j.unfinished++
		}
	}
	j.queued = len(w.Sends)
	for _, d := range w.Doubts {
		n, ok := numberOf(d.Send.InReplyTo, idPrefix)
		if !ok {
			t.Errorf("a doubt about a send that answers %q", d.Send.InReplyTo)
		}
		j.doubts = append(j.doubts, n)
	}
	slices.Sort(j.doubts)
	return j
}

// atRest reports what is left to do in the journal, doubts apart.
func (j journal) atRest(t *testing.T) {
	t.Helper()
	if j.unfinished > 0 || j.queued > 0 {
		t.Errorf("the journal holds %d inbounds without an outcome and %d sends that never left, want none", j.unfinished, j.queued)
	}
}
