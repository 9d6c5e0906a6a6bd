package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// bulkRows are rows from one number to another.
func bulkRows(from, to int) string {
	rows := api.Rows{}
	for i := from; i <= to; i++ {
		rows.Rows = append(rows.Rows, api.Row{Row: int64(i), To: fmt.Sprintf("+1303%07d", i+2000000), Variables: map[string]string{"name": fmt.Sprint(i)}})
	}
	text, _ := json.Marshal(rows)
	return string(text)
}

// told makes a request with a body and decodes its answer.
func told[T any](t *testing.T, h http.Handler, path, body string) T {
	t.Helper()
	req := httptest.NewRequest("POST", path, strings.NewReader(body))
	req.Host = "127.0.0.1:8377"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return decoded[T](t, w, http.StatusOK)
}

// TestBulkIsEnqueuedFastAndRepliesKeepTheirLatency gives a daemon on a file many rows while
// people write and are answered, and gives a part of them again.
func TestBulkIsEnqueuedFastAndRepliesKeepTheirLatency(t *testing.T) {
	t.Parallel()
	rows := 5_000
	space := relaytest.NewServer(t)
	cfg := simConfig(space.URL())
	cfg.Store = StoreURL("sqlite://" + filepath.Join(t.TempDir(), "signpost.db"))
	r := &running{t: t, space: space, log: &logBuffer{}, ended: make(chan error, 1)}
	d, err := New(cfg, serving("support"), WithLogger(slog.New(slog.NewTextHandler(r.log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	r.Daemon = d
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.ended <- d.Run(ctx) }()
	r.waitReady()

	told[api.Job](t, d.http, "/v1/bulk", `{"name": "all", "from": "`+ourNumber+`", "body": "Hi {{.name}}"}`)
	began := time.Now()
	taken := 0
	for from := 1; from <= rows; from += 1000 {
		taken += told[api.RowsDone](t, d.http, "/v1/bulk/all/rows", bulkRows(from, min(rows, from+999))).Taken
	}
	took := time.Since(began)
	t.Logf("%d rows in %v: %.0f a second", taken, took, float64(taken)/took.Seconds())
	if taken != rows {
		t.Errorf("%d rows taken of %d", taken, rows)
	}
	asked := time.Now()
	r.text("support", "hello")
	r.expectReply("support: hello")
	if waited := time.Since(asked); waited > 2*time.Second {
		t.Errorf("a reply took %v beside the job", waited)
	}
	if again := told[api.RowsDone](t, d.http, "/v1/bulk/all/rows", bulkRows(1, 1000)); again.Repeated != 1000 {
		t.Errorf("given again: %+v", again.Repeated)
	}
	told[api.Job](t, d.http, "/v1/bulk/all/cancel", "")
	report := decoded[api.JobReport](t, ask(d.http, "GET", "/v1/bulk/all"), http.StatusOK)
	if report.Rows != int64(rows) || report.Counts["queued"] > 0 {
		t.Errorf("after the cancel: %+v", report.Counts)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}
