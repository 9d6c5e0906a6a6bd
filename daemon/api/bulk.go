package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sms"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// NewJob is what a job is made of.
type NewJob struct {
	Name      string    `json:"name"`
	From      string    `json:"from"`
	Context   string    `json:"context,omitempty"`
	Template  string    `json:"template,omitempty"`
	Locale    string    `json:"locale,omitempty"`
	Body      string    `json:"body,omitempty"`
	Category  string    `json:"category,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// JobList is a list of jobs.
type JobList struct {
	Jobs []Job `json:"jobs"` // the newest first
}

// JobReport is a job and how far it has come.
type JobReport struct {
	Job

	Rows   int64                      `json:"rows"`   // that were taken
	Counts map[messaging.Status]int64 `json:"counts"` // by status
}

// Row is one recipient of a job.
type Row struct {
	Row       int64             `json:"row" minimum:"1"` // its number in the job
	To        string            `json:"to"`
	Locale    string            `json:"locale,omitempty"`
	Variables map[string]string `json:"variables,omitempty"`
}

// Rows are some of a job's.
type Rows struct {
	Rows []Row `json:"rows" minItems:"1" maxItems:"1000"`
}

// RowResult is what became of a row.
type RowResult struct {
	Row       int64            `json:"row"`
	Phone     string           `json:"phone"`
	Success   bool             `json:"success"` // the platform took it, and it is not known to have failed
	Status    messaging.Status `json:"status,omitempty"`
	MessageID string           `json:"message_id,omitempty"` // of the send
	Segments  int              `json:"segments,omitempty"`
	Repeated  bool             `json:"repeated,omitempty"` // it was taken before
	Error     string           `json:"error,omitempty"`    // why it was not taken, or failed, or waits
}

// RowsDone says what became of rows.
type RowsDone struct {
	Taken    int         `json:"taken"`
	Repeated int         `json:"repeated"` // taken before
	Refused  int         `json:"refused"`
	Results  []RowResult `json:"results"` // in the order of the rows
}

// RowPage is a part of a job's results.
type RowPage struct {
	Results []RowResult `json:"results"` // the rows that were taken last come first
	Cursor  string      `json:"cursor,omitempty"`
	More    bool        `json:"more"`
}

// RowsMost is how many rows one request may have.
const RowsMost = 1000

// The bounds of a job.
const jobBodyMost = 3000 // bytes; it is kept in one small value

var jobName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

func (a *API) bulkRoutes() []route {
	const tag = "bulk"
	return []route{
		{method: "POST", path: "/v1/bulk", tag: tag, summary: "Begin a job, or find the one with its name", body: NewJob{}, answer: Job{}, handle: a.beginJob},
		{method: "GET", path: "/v1/bulk", tag: tag, summary: "The jobs", answer: JobList{}, handle: a.listJobs},
		{method: "GET", path: "/v1/bulk/{job}", tag: tag, summary: "A job and how far it has come", answer: JobReport{}, handle: a.reportJob},
		{method: "POST", path: "/v1/bulk/{job}/rows", tag: tag, summary: "Add rows; those that are there already are not sent again", params: []param{
			{name: "dry_run", about: "say what would become of them, and send nothing", kind: "boolean"},
		}, body: Rows{}, answer: RowsDone{}, handle: a.addRows},
		{method: "POST", path: "/v1/bulk/{job}/pause", tag: tag, summary: "Let nothing more leave", answer: Job{}, handle: a.turnJob(JobPaused)},
		{method: "POST", path: "/v1/bulk/{job}/resume", tag: tag, summary: "Go on", answer: Job{}, handle: a.turnJob(JobRunning)},
		{method: "POST", path: "/v1/bulk/{job}/cancel", tag: tag, summary: "Let nothing more leave, for good", answer: Job{}, handle: a.cancelJob},
		{method: "GET", path: "/v1/bulk/{job}/results", tag: tag, summary: "What became of the rows", params: []param{
			{name: "limit", about: "so many, 1 to 1000; 50 without it", kind: "integer"}, {name: "before", about: "the cursor of a former page"},
		}, answer: RowPage{}, handle: a.jobResults},
	}
}

// beginJob is POST /v1/bulk.
func (a *API) beginJob(w http.ResponseWriter, r *http.Request) error {
	const example = `{"name": "october", "from": "+15551234567", "body": "Hi {{.name}}", "category": "marketing"}`
	var n NewJob
	if err := a.read(r, &n, example); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	job := Job{
		Name: n.Name, From: n.From, Context: n.Context, Template: n.Template, Locale: n.Locale, Body: n.Body,
		Category:  messaging.Category(cmp.Or(n.Category, string(messaging.CategoryNotification))),
		NotBefore: n.NotBefore, ExpiresAt: n.ExpiresAt, State: JobRunning, Since: now, CreatedAt: now,
	}
	refuse := func(name, why string) error { return badField(name, errors.New(why), "send one like "+example) }
	switch {
	case !jobName.MatchString(job.Name):
		return refuse("name", "it is none: 1 to 100 letters, digits, dots, hyphens and underscores")
	case !sender.MatchString(job.From):
		return refuse("from", "it is no phone number: one of yours with + and country code, or a short code")
	case (job.Template == "") == (job.Body == ""):
		return refuse("body", "give either a body or a template")
	case len(job.Body) > jobBodyMost:
		return refuse("body", fmt.Sprintf("it is longer than %d bytes", jobBodyMost))
	case !slices.Contains(categories, job.Category) || job.Category == messaging.CategoryReply:
		return refuse("category", "it is none of transactional, notification and marketing")
	}
	if _, err := a.textOf(job); err != nil {
		return badField(cmp.Or(map[bool]string{true: "template"}[job.Template != ""], "body"), err, "")
	}
	var bad *wrong
	if job.Context, bad = a.cfg.Sending.contextOf(messaging.Conversation{Ours: messaging.Number(job.From)}, job.Context); bad != nil {
		return badQuery(bad.fault(), "")
	}
	if err := a.writable(); err != nil {
		return err
	}
	err := a.tell(r.Context(), func(ctx context.Context) (err error) {
		job, err = a.cfg.Jobs.begin(ctx, job)
		return err
	})
	if err != nil {
		return err
	}
	return write(w, job)
}

// textOf is the template that a job's texts are made of.
func (a *API) textOf(job Job) (*texts.Template, error) {
	if job.Template != "" {
		if a.cfg.Texts == nil {
			return nil, errors.New("there are no templates")
		}
		return a.cfg.Texts().Find(job.Template)
	}
	set, problems := texts.NewSet("", map[string]texts.Definition{"body": {Text: job.Body, Brand: texts.BrandOff}})
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message)
	}
	return set.Find("body")
}

// job finds the job of a request.
func (a *API) job(r *http.Request) (Job, error) {
	s, err := a.cfg.Jobs.find(r.Context(), r.PathValue("job"))
	if errors.Is(err, messaging.ErrUnknown) {
		return Job{}, Unknown.Problem("there is no job with this name", "list them with GET /v1/bulk or \"signpost bulk list\"")
	}
	return s.job, err
}

// listJobs is GET /v1/bulk.
func (a *API) listJobs(w http.ResponseWriter, _ *http.Request) error {
	list := JobList{a.cfg.Jobs.all()}
	slices.SortFunc(list.Jobs, func(j, k Job) int { return cmp.Or(k.CreatedAt.Compare(j.CreatedAt), cmp.Compare(j.Name, k.Name)) })
	return write(w, list)
}

// addRows is POST /v1/bulk/{job}/rows.
func (a *API) addRows(w http.ResponseWriter, r *http.Request) error {
	dry, err := strconv.ParseBool(cmp.Or(r.URL.Query().Get("dry_run"), "false"))
	if err != nil {
		return badQuery(&fault{"query.dry_run", errors.New("it is neither true nor false")}, "")
	}
	var rows Rows
	if err := a.read(r, &rows, `{"rows": [{"row": 1, "to": "+15551234567", "variables": {"name": "Ann"}}]}, at most 1,000`); err != nil {
		return err
	}
	job, err := a.job(r)
	switch {
	case err != nil:
		return err
	case job.State == JobCancelled:
		return TooLate.Problem("the job is cancelled and takes no more rows", "begin another one")
	}
	text, err := a.textOf(job)
	if err != nil {
		return Conflict.Problem("the job's text cannot be made any more: "+err.Error(), "put the template back into the configuration, and reload")
	}
	done := RowsDone{Results: make([]RowResult, len(rows.Rows))}
	var sends []messaging.Send
	var at []int // the places of the sends among the rows
	now := time.Now()
	for i, row := range rows.Rows {
		s, err := a.rowSend(job, text, row, now)
		done.Results[i] = RowResult{Row: row.Row, Phone: row.To}
		if err != nil {
			done.Results[i].Error = err.Error()
			continue
		}
		done.Results[i].Segments = sms.Segments(s.Body, a.cfg.Sending.Options)
		sends, at = append(sends, s), append(at, i)
	}
	if dry {
		err = a.foresee(r.Context(), sends, at, done.Results)
	} else {
		err = a.takeRows(r.Context(), sends, at, done.Results)
	}
	if err != nil {
		return err
	}
	for i := range done.Results {
		switch q := &done.Results[i]; {
		case q.Status == "":
			done.Refused++
		case q.Repeated:
			done.Repeated++
		default:
			done.Taken++
		}
	}
	return write(w, done)
}

// rowSend is the send of a row.
func (a *API) rowSend(job Job, text *texts.Template, row Row, now time.Time) (messaging.Send, error) {
	out, err := text.Render(cmp.Or(row.Locale, job.Locale), row.Variables)
	if err != nil {
		return messaging.Send{}, err
	}
	d := &draft{
		from: job.From, to: row.To, body: out.Body, context: job.Context, category: string(job.Category), priority: int(messaging.PriorityBulk),
		notBefore: job.NotBefore, expiresAt: job.ExpiresAt,
	}
	s, bad := a.cfg.Sending.compose(d, now)
	if bad != nil {
		return s, bad
	}
	s.Key = jobPrefix + job.Name + ":" + strconv.FormatInt(row.Row, 10)
	return s, nil
}

// takeRows journals the sends of rows and says what became of them.
func (a *API) takeRows(ctx context.Context, sends []messaging.Send, at []int, results []RowResult) error {
	if len(sends) == 0 {
		return nil
	}
	if err := a.writable(); err != nil {
		return err
	}
	return a.tell(ctx, func(ctx context.Context) error {
		all, err := a.cfg.Engine.EnqueueAll(ctx, sends, nil)
		if err != nil {
			return err
		}
		for i, q := range all {
			out := &results[at[i]]
			switch {
			case errors.Is(q.Err, messaging.ErrKeyUsed):
				out.Status, out.Repeated = messaging.StatusUnknown, true
			case q.Err != nil:
				return q.Err // the engine's, not the row's: all of them may come again
			case !q.Fresh:
				out.MessageID, out.Repeated, out.Status = q.Send.ID.String(), true, messaging.StatusQueued
			default:
				out.MessageID, out.Status, out.Error = q.Send.ID.String(), q.Status, q.Reason
			}
		}
		return nil
	})
}

// foresee says what would become of sends as far as consent decides it.
func (a *API) foresee(ctx context.Context, sends []messaging.Send, at []int, results []RowResult) error {
	ledger, err := a.ledger()
	if err != nil {
		return err
	}
	numbers := make([]messaging.Number, len(sends))
	for i := range sends {
		numbers[i] = sends[i].To
	}
	if len(numbers) == 0 {
		return nil
	}
	states, err := ledger.ConsentOf(ctx, numbers...)
	if err != nil {
		return err
	}
	of := map[messaging.Number][]messaging.ConsentState{}
	for _, st := range states {
		of[st.Number] = append(of[st.Number], st)
	}
	for i := range sends {
		v := messaging.ConsentVerdict(time.Now(), &sends[i], of[sends[i].To]...)
		results[at[i]].Status, results[at[i]].Error = cmp.Or(v.Status, messaging.StatusQueued), v.Reason
	}
	return nil
}

// turnJob is POST /v1/bulk/{job}/pause and resume.
func (a *API) turnJob(to JobState) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		job, err := a.turn(r, to)
		if err != nil {
			return err
		}
		return write(w, job)
	}
}

func (a *API) turn(r *http.Request, to JobState) (job Job, err error) {
	if _, err := a.job(r); err != nil {
		return Job{}, err
	}
	if err := a.writable(); err != nil {
		return Job{}, err
	}
	err = a.tell(r.Context(), func(ctx context.Context) (err error) {
		job, err = a.cfg.Jobs.turn(ctx, r.PathValue("job"), to)
		return err
	})
	return job, err
}

// cancelJob is POST /v1/bulk/{job}/cancel. From the job's new state on the gate lets nothing
// of it leave; then what waits is taken back, so that it does not wait any longer.
func (a *API) cancelJob(w http.ResponseWriter, r *http.Request) error {
	job, err := a.turn(r, JobCancelled)
	if err != nil {
		return err
	}
	endless(w)
	var queued []uuid.UUID
	err = a.eachRow(r.Context(), job, []messaging.Status{messaging.StatusQueued}, func(s *messaging.SendRecord) { queued = append(queued, s.Send.ID) })
	if err != nil {
		return err
	}
	if err := a.cancelSends(r.Context(), queued); err != nil {
		return err
	}
	a.counts.forget(job.Name) // who looks next sees what was taken back
	return write(w, job)
}

// cancelsAtOnce is how many sends are taken back at the same time; they share commits.
const cancelsAtOnce = 256

// cancelSends takes back sends that have not left.
func (a *API) cancelSends(ctx context.Context, ids []uuid.UUID) error {
	var next atomic.Int64
	var mu sync.Mutex
	var first error
	var wg sync.WaitGroup
	for range min(cancelsAtOnce, len(ids)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(ids)); i = next.Add(1) - 1 {
				err := a.tell(ctx, func(ctx context.Context) error { return a.cfg.Engine.Cancel(ctx, ids[i]) })
				if err == nil || errors.Is(err, messaging.ErrTooLate) || errors.Is(err, messaging.ErrUnknown) || errors.Is(err, messaging.ErrNotHere) {
					continue // it has left, or the gate stops it
				}
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
				return
			}
		})
	}
	wg.Wait()
	return first
}

// ofJob reports whether a send is a row of a job, and which.
func ofJob(s *messaging.Send, job string) (int64, bool) {
	rest, ok := strings.CutPrefix(s.Key, jobPrefix+job+":")
	if !ok {
		return 0, false
	}
	row, err := strconv.ParseInt(rest, 10, 64)
	return row, err == nil
}

// jobClocks is how far the clocks of daemons that share a journal may be apart.
const jobClocks = time.Minute

// jobSearch finds the sends of a job among others.
func jobSearch(job Job, statuses []messaging.Status) messaging.Search {
	return messaging.Search{Sends: true, Context: job.Context, Number: messaging.Number(job.From), Since: job.CreatedAt.Add(-jobClocks), Statuses: statuses, Limit: limitMost}
}

// eachRow calls f for every row of a job, newest first.
func (a *API) eachRow(ctx context.Context, job Job, statuses []messaging.Status, f func(*messaging.SendRecord)) error {
	archive, err := a.archive()
	if err != nil {
		return err
	}
	for s := jobSearch(job, statuses); ; {
		found, err := archive.Search(ctx, s)
		if err != nil {
			return err
		}
		for _, r := range found.Sends {
			if _, ok := ofJob(&r.Send, job.Name); ok {
				f(r)
			}
		}
		if s.Before = found.Cursor; !found.More {
			return nil
		}
	}
}

// reportJob is GET /v1/bulk/{job}.
func (a *API) reportJob(w http.ResponseWriter, r *http.Request) error {
	job, err := a.job(r)
	if err != nil {
		return err
	}
	report := JobReport{Job: job}
	if report.Counts, err = a.counts.of(job.Name, func() (map[messaging.Status]int64, error) {
		n := map[messaging.Status]int64{}
		return n, a.eachRow(r.Context(), job, nil, func(s *messaging.SendRecord) { n[s.Status]++ })
	}); err != nil {
		return err
	}
	for _, n := range report.Counts {
		report.Rows += n
	}
	return write(w, report)
}

// jobResults is GET /v1/bulk/{job}/results.
func (a *API) jobResults(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := strconv.Atoi(cmp.Or(q.Get("limit"), strconv.Itoa(limitUsual)))
	if err != nil || limit < 1 || limit > limitMost {
		return badQuery(&fault{"query.limit", fmt.Errorf("it is no number from 1 to %d", limitMost)}, "")
	}
	job, err := a.job(r)
	if err != nil {
		return err
	}
	archive, err := a.archive()
	if err != nil {
		return err
	}
	p := RowPage{Results: []RowResult{}}
	s := jobSearch(job, nil)
	s.Before = q.Get("before")
	for p.More = true; p.More && len(p.Results) < limit; {
		s.Limit = limit - len(p.Results) // no more than has room: a cursor is for the end of a page
		found, err := archive.Search(r.Context(), s)
		switch {
		case err != nil && s.Before == q.Get("before") && s.Before != "" && !errors.Is(err, messaging.ErrUnavailable) && r.Context().Err() == nil:
			return badQuery(&fault{"query.before", errors.New("it is not the cursor of an answer; begin without one")}, "")
		case err != nil:
			return err
		}
		for _, found := range found.Sends {
			if row, ok := ofJob(&found.Send, job.Name); ok {
				p.Results = append(p.Results, rowResult(row, found))
			}
		}
		if found.Cursor != "" {
			s.Before = found.Cursor
		}
		p.Cursor, p.More = s.Before, found.More
	}
	return write(w, p)
}

func rowResult(row int64, r *messaging.SendRecord) RowResult {
	out := RowResult{
		Row: row, Phone: string(r.Send.To), Status: r.Status, MessageID: r.Send.ID.String(),
		Success: r.Status.Accepted() && r.Status != messaging.StatusUndelivered,
	}
	if code, message := failure(r); code != nil {
		out.Error = *code
		if *message != *code {
			out.Error += ": " + *message
		}
	} else if r.Status == messaging.StatusQueued {
		out.Error = r.Reason
	}
	return out
}

// counted remembers for a while what was counted, since counting reads every row. It may be
// used concurrently; one count runs at a time.
type counted struct {
	mu   sync.Mutex
	last map[string]count
}

type count struct {
	counts map[messaging.Status]int64
	until  time.Time
}

const (
	// countFor is how long a count is good at least, and countShare how much of the time may
	// go into counting.
	countFor   = time.Second
	countShare = 10
)

// forget has the rows of a job counted again when they are asked for next.
func (c *counted) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.last, name)
}

func (c *counted) of(name string, read func() (map[messaging.Status]int64, error)) (map[messaging.Status]int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if was, ok := c.last[name]; ok && began.Before(was.until) {
		return was.counts, nil
	}
	n, err := read()
	if err != nil {
		return nil, err
	}
	if c.last == nil || len(c.last) > jobsMost {
		c.last = map[string]count{}
	}
	c.last[name] = count{n, time.Now().Add(max(countFor, countShare*time.Since(began)))}
	return n, nil
}
