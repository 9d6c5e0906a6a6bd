package messaging

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestReconcile(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return readAt.Add(time.Duration(s * float64(time.Second))) }
	attempt := func(n byte, s float64, messageID string) attemptTime {
		return attemptTime{id: uuid.UUID{n}, at: at(s), messageID: messageID}
	}
	entry := func(id string, s float64) LogEntry { return LogEntry{ID: id, CreatedAt: at(s).Truncate(time.Second)} }
	never := func(attemptTime) bool { return false }
	always := func(attemptTime) bool { return true }
	for name, c := range map[string]struct {
		doubts, accepted []attemptTime
		entries          []LogEntry
		settled          func(attemptTime) bool
		want             map[byte]finding
	}{
		"an entry accepts":                    {[]attemptTime{attempt(1, 0.9, "")}, nil, []LogEntry{entry("x", 0.9)}, never, map[byte]finding{1: findAccepted}},
		"nothing yet":                         {[]attemptTime{attempt(1, 0, "")}, nil, nil, never, map[byte]finding{1: findNothing}},
		"absent once settled":                 {[]attemptTime{attempt(1, 0, "")}, nil, nil, always, map[byte]finding{1: findAbsent}},
		"absent: the log shows a later one":   {[]attemptTime{attempt(1, 0, "")}, []attemptTime{attempt(9, 30, "m")}, []LogEntry{entry("x", 30)}, never, map[byte]finding{1: findAbsent}},
		"an earlier one proves nothing":       {[]attemptTime{attempt(1, 30, "")}, []attemptTime{attempt(9, 0, "m")}, []LogEntry{entry("x", 0)}, never, map[byte]finding{1: findNothing}},
		"an entry explained by another":       {[]attemptTime{attempt(1, 1, "")}, []attemptTime{attempt(9, 0, "m")}, []LogEntry{entry("x", 0)}, always, map[byte]finding{1: findAbsent}},
		"explained by id, not by time":        {[]attemptTime{attempt(1, 0, "")}, []attemptTime{attempt(9, 1, "m9")}, []LogEntry{entry("m9", 1), entry("m1", 0)}, never, map[byte]finding{1: findAccepted}},
		"one id of two":                       {[]attemptTime{attempt(1, 0, "")}, []attemptTime{attempt(9, 0.1, "m9")}, []LogEntry{entry("m9", 0)}, always, map[byte]finding{1: findAbsent}},
		"two in one window, both out":         {[]attemptTime{attempt(1, 0, ""), attempt(2, 1, "")}, nil, []LogEntry{entry("x", 0), entry("y", 1)}, never, map[byte]finding{1: findAccepted, 2: findAccepted}},
		"two in one window, the first out":    {[]attemptTime{attempt(2, 1, ""), attempt(1, 0, "")}, nil, []LogEntry{entry("x", 0)}, always, map[byte]finding{1: findAccepted, 2: findAbsent}},
		"foreign far away":                    {[]attemptTime{attempt(1, 0, "")}, nil, []LogEntry{entry("x", 0), entry("y", 60)}, always, map[byte]finding{1: findUndecidable}},
		"foreign in the window":               {[]attemptTime{attempt(1, 0, "")}, nil, []LogEntry{entry("x", 0), entry("y", 1)}, always, map[byte]finding{1: findUndecidable}},
		"an accepted one was kept on its way": {[]attemptTime{attempt(1, 0, "")}, []attemptTime{attempt(9, 20, "m")}, []LogEntry{entry("x", 0), entry("y", 26)}, never, map[byte]finding{1: findAccepted}},
		"too fresh to be foreign":             {[]attemptTime{attempt(1, 0, "")}, nil, []LogEntry{entry("x", 0), entry("y", 101)}, never, map[byte]finding{1: findAccepted}},
		"fresh, and the doubt's own":          {[]attemptTime{attempt(1, 101, "")}, nil, []LogEntry{entry("x", 101)}, never, map[byte]finding{1: findAccepted}},
		"slack is two seconds":                {[]attemptTime{attempt(1, 0, "")}, nil, []LogEntry{entry("x", 3)}, always, map[byte]finding{1: findUndecidable}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[byte]finding{}
			found := reconcile(c.doubts, c.accepted, c.entries, c.settled, at(100))
			for _, d := range c.doubts {
				got[d.id[0]] = found[d.id]
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
