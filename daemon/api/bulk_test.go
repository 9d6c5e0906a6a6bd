package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
)

const october = `{"name": "october", "from": "+12025550100", "body": "Hi {{.name}}", "category": "marketing", "context": "support"}`

// told decodes the answer to something that changes.
func told[T any](d *desk, path, body string) (v T) {
	d.t.Helper()
	w := d.ask("POST", path, body)
	if w.Code != http.StatusOK {
		d.t.Fatalf("POST %s %s: %d %s", path, body, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		d.t.Fatal(err)
	}
	return v
}

// rowsOf are rows from one number to another.
func rowsOf(from, to int) string {
	var rows Rows
	for i := from; i <= to; i++ {
		rows.Rows = append(rows.Rows, Row{Row: int64(i), To: fmt.Sprintf("+1202555%04d", i), Variables: map[string]string{"name": fmt.Sprint(i)}})
	}
	text, _ := json.Marshal(rows)
	return string(text)
}

func TestBulkTakesEachRowOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	first := told[Job](d, "/v1/bulk", october)
	if again := told[Job](d, "/v1/bulk", october); !again.same(first) || !again.CreatedAt.Equal(first.CreatedAt) || again.State != JobRunning {
		t.Errorf("the job that is there: %+v, want %+v", again, first)
	}
	d.refused("POST", "/v1/bulk", strings.Replace(october, "Hi", "Bye", 1), Conflict)

	if done := told[RowsDone](d, "/v1/bulk/october/rows", rowsOf(1, 40)); done.Taken != 40 || done.Repeated+done.Refused != 0 {
		t.Errorf("rows: %+v", done)
	}
	// Killed and begun again, a client repeats some: they are not sent again.
	done := told[RowsDone](d, "/v1/bulk/october/rows", rowsOf(31, 60))
	if done.Taken != 20 || done.Repeated != 10 || !done.Results[0].Repeated || done.Results[0].MessageID == "" {
		t.Errorf("rows again: taken %d, repeated %d, %+v", done.Taken, done.Repeated, done.Results[0])
	}
	done = told[RowsDone](d, "/v1/bulk/october/rows", `{"rows": [{"row": 61, "to": "+12025550161"}, {"row": 62, "to": "nobody", "variables": {"name": "x"}}]}`)
	if done.Refused != 2 || !strings.Contains(done.Results[0].Error, "name") || !strings.Contains(done.Results[1].Error, "to:") {
		t.Errorf("bad rows: %+v", done)
	}

	if r := get[JobReport](d, "/v1/bulk/october"); r.Rows != 60 || r.Counts[messaging.StatusQueued] != 60 || r.Name != "october" {
		t.Errorf("report: %+v", r)
	}
	d.send(start, "support", "another's", messaging.StatusQueued)
	for _, limit := range []int{1, 7, 60, 1000} {
		var rows []int64
		before := ""
		for {
			p := get[RowPage](d, fmt.Sprintf("/v1/bulk/october/results?limit=%d&before=%s", limit, before))
			for _, r := range p.Results {
				if rows = append(rows, r.Row); r.Phone != fmt.Sprintf("+1202555%04d", r.Row) || r.Success || r.MessageID == "" {
					t.Errorf("result %+v", r)
				}
			}
			if before = p.Cursor; !p.More {
				break
			}
		}
		slices.Sort(rows)
		if len(rows) != 60 || rows[0] != 1 || rows[59] != 60 || len(slices.Compact(rows)) != 60 {
			t.Errorf("limit %d: %d rows %v", limit, len(rows), rows)
		}
	}
	s := get[Life](d, "/v1/messages/bulk:october:17").Sends[0]
	if s.Body != "Hi 17" || s.Priority != 4 || s.Category != messaging.CategoryMarketing || s.Context != "support" {
		t.Errorf("a row's send: %+v", s)
	}
	if list := get[JobList](d, "/v1/bulk"); len(list.Jobs) != 1 {
		t.Errorf("jobs: %+v", list)
	}
}

func TestBulkPausesResumesAndCancels(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	told[Job](d, "/v1/bulk", october)
	told[RowsDone](d, "/v1/bulk/october/rows", rowsOf(1, 3))
	row, other := &messaging.Send{Key: "bulk:october:1"}, &messaging.Send{Key: "bulk:octobers:1"}
	now := time.Now()
	if v := d.jobs.Ask(now, row); !v.Go() {
		t.Errorf("running: %+v", v)
	}
	told[Job](d, "/v1/bulk/october/pause", "")
	if v := d.jobs.Ask(now, row); v.Status != messaging.StatusQueued || v.Reason != reasonPaused || !v.Until.After(now) {
		t.Errorf("paused: %+v", v)
	}
	if v := d.jobs.Ask(now, other); !v.Go() {
		t.Errorf("another job is paused, too: %+v", v)
	}
	// A new process, which knows nothing yet, lets nothing leave; then it knows the pause.
	later := NewJobs()
	if v := later.Ask(now, row); v.Go() {
		t.Error("before the jobs are known a row may leave")
	}
	later.Use(d.engine)
	if err := later.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := later.Ask(now, row); v.Reason != reasonPaused || !later.Ask(now, other).Go() {
		t.Errorf("after a restart: %+v", v)
	}
	told[Job](d, "/v1/bulk/october/resume", "")
	if v := d.jobs.Ask(now, row); !v.Go() {
		t.Errorf("resumed: %+v", v)
	}
	d.engine.told = nil
	if job := told[Job](d, "/v1/bulk/october/cancel", ""); job.State != JobCancelled {
		t.Errorf("cancelled: %+v", job)
	}
	if len(d.engine.told) != 3 || !strings.HasPrefix(d.engine.told[0], "cancel ") {
		t.Errorf("the engine was told %q", d.engine.told)
	}
	if v := d.jobs.Ask(now, row); v.Status != messaging.StatusSuppressed || v.Reason != reasonCancelled {
		t.Errorf("cancelled: %+v", v)
	}
	d.refused("POST", "/v1/bulk/october/resume", "", TooLate)
	d.refused("POST", "/v1/bulk/october/rows", rowsOf(4, 4), TooLate)
	for _, path := range []string{"pause", "resume", "cancel"} {
		d.refused("POST", "/v1/bulk/november/"+path, "", Unknown)
	}
	d.refused("POST", "/v1/bulk/november/rows", rowsOf(1, 1), Unknown)
}

func TestBulkForesees(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	told[Job](d, "/v1/bulk", october)
	told[ChangesDone](d, "/v1/consent", `{"number": "+12025550002", "change": "stop", "actor": "ann"}`)
	d.engine.told = nil
	done := told[RowsDone](d, "/v1/bulk/october/rows?dry_run=true", rowsOf(1, 2))
	if done.Results[0].Status != messaging.StatusQueued || done.Results[0].Segments != 1 || done.Results[1].Status != messaging.StatusSuppressed || done.Results[1].Error == "" {
		t.Errorf("got %+v", done)
	}
	if len(d.engine.told) != 0 {
		t.Errorf("a dry run told the engine %q", d.engine.told)
	}
}

func TestBulkNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	d := newDesk(t, memory.New(memory.Config{}))
	told[Job](d, "/v1/bulk", october)
	with := func(old, now string) string { return strings.Replace(october, old, now, 1) }
	for body, location := range map[string]string{
		with(`"october"`, `"a b"`):             "body.name",
		with(`"october"`, `7`):                 "body.name",
		with("+12025550100", "ACME"):           "body.from",
		with("marketing", "reply"):             "body.category",
		with(`"body": "Hi {{.name}}", `, ""):   "body.body",
		with("Hi {{.name}}", "Hi {{.name"):     "body.body",
		with(`"body"`, `"template"`):           "body.template",
		with(`"support"`, `"billing"`):         "body.context",
		with(`"context"`, `"contexts"`):        "body.contexts",
		with("Hi", strings.Repeat("Hi", 1500)): "body.body",
	} {
		p := d.refused("POST", "/v1/bulk", body, BadRequest)
		if len(p.Errors) == 0 || p.Errors[0].Location != location {
			t.Errorf("%.200s: %+v, want %s", body, p, location)
		}
	}
	for body, location := range map[string]string{
		`{"rows": []}`:                                            "body.rows",
		rowsOf(1, 1001):                                           "body.rows",
		`{"rows": [{"row": 0, "to": "x"}]}`:                       "body.rows[0].row",
		`{"rows": [{"row": 1.5, "to": "x"}]}`:                     "body.rows[0].row",
		`{"rows": [{"row": 1}]}`:                                  "body.rows[0].to",
		`{"rows": [{"row": 1, "to": "x", "name": "y"}]}`:          "body.rows[0].name",
		`{"rows": [{"row": 99999999999999999999999, "to": "x"}]}`: "body.rows",
	} {
		p := d.refused("POST", "/v1/bulk/october/rows", body, BadRequest)
		if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, location) {
			t.Errorf("%.200s: %+v, want %s", body, p, location)
		}
	}
	d.refused("GET", "/v1/bulk/october/results?limit=0", "", BadRequest)
	d.refused("GET", "/v1/bulk/october/results?before=x", "", BadRequest)
}
