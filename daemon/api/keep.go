package api

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Forget says whose texts are to be removed.
type Forget struct {
	Number string `json:"number"`
}

// Backup says where a copy of the journal is to be made.
type Backup struct {
	Path string `json:"path"` // absolute, on the daemon's machine
}

// forget is POST /v1/consent/forget.
func (a *API) forget(w http.ResponseWriter, r *http.Request) error {
	var body Forget
	const example = `{"number": "+15551234567"}`
	if err := a.read(r, &body, example); err != nil {
		return err
	}
	number, err := ParseNumber(body.Number)
	if err != nil {
		return badField("number", err, "send "+example)
	}
	archive, err := a.archive()
	if err != nil {
		return err
	}
	endless(w) // the whole journal is looked through
	changed, unfinished, err := archive.Forget(r.Context(), number)
	if err != nil {
		return err
	}
	return write(w, Forgot{string(number), changed, unfinished})
}

// backup is POST /v1/backup. It answers with lines of Progress.
func (a *API) backup(w http.ResponseWriter, r *http.Request) error {
	var body Backup
	const example = `{"path": "/var/backups/signpost.db"}, a path on the daemon's machine`
	if err := a.read(r, &body, example); err != nil {
		return err
	}
	if !filepath.IsAbs(body.Path) {
		return BadRequest.Problem("the path is not absolute, and what it is relative to is not for the client to know", "send "+example)
	}
	keeper, ok := a.cfg.Store.(messaging.Keeper)
	if !ok {
		p := a.unsupported("be backed up by the daemon")
		p.Mend = "of sqlite: it can; of postgres: use pg_dump or what your database has"
		return p
	}
	if _, err := os.Lstat(body.Path); err == nil {
		return Exists.Problem("the file exists, and nothing is overwritten", "choose another name")
	}
	out := newLines(w)
	var p Progress
	err := keeper.Backup(r.Context(), body.Path, func(done, total int64) {
		p.Done, p.Total = done, total
		out.line(p)
	})
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		p.Problem = Failed.Problem(err.Error(), "name a path in a directory that the daemon's user may write")
	case err != nil:
		p.Problem = a.problem(err)
	default:
		p.Result = body.Path
	}
	return out.last(p)
}

// lines writes an answer of JSON lines. Nothing is written before the first line, so that
// what goes wrong until then is an ordinary problem.
type lines struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	wrote time.Time
}

// linesEvery is how often progress is told, unless it is the last word.
const linesEvery = 100 * time.Millisecond

func newLines(w http.ResponseWriter) *lines {
	endless(w)
	return &lines{w: w, ctl: http.NewResponseController(w)}
}

// endless lifts the server's limits on how long an answer takes. That for reading too: the
// request has been read, but its end would cancel the request's context all the same.
func endless(w http.ResponseWriter) {
	ctl := http.NewResponseController(w)
	_ = ctl.SetWriteDeadline(time.Time{}) // a recorder has neither
	_ = ctl.SetReadDeadline(time.Time{})
}

func (l *lines) line(p Progress) {
	if time.Since(l.wrote) < linesEvery {
		return
	}
	l.put(p)
}

func (l *lines) put(p Progress) {
	if l.wrote.IsZero() {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.Header().Set("Cache-Control", "no-store")
	}
	l.wrote = time.Now()
	body, err := json.Marshal(p)
	if err != nil {
		return // of numbers and strings
	}
	_, _ = l.w.Write(append(body, '\n')) // who hung up wants no answer
	_ = l.ctl.Flush()
}

// last writes the last line; a problem that nothing was written before is the whole answer.
func (l *lines) last(p Progress) error {
	if p.Problem != nil && l.wrote.IsZero() {
		return p.Problem
	}
	l.put(p)
	return nil
}
