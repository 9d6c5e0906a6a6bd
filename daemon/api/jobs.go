package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// JobState says whether a job's rows may leave.
type JobState string

// The states of a job.
const (
	JobRunning   JobState = "running"
	JobPaused    JobState = "paused"
	JobCancelled JobState = "cancelled"
)

// Job is a bulk job: a text, and to whom it goes.
type Job struct {
	Name      string             `json:"name"`
	From      string             `json:"from"`
	Context   string             `json:"context"`
	Template  string             `json:"template,omitempty"` // of the configuration
	Locale    string             `json:"locale,omitempty"`   // of rows that name none
	Body      string             `json:"body,omitempty"`     // instead of a template
	Category  messaging.Category `json:"category"`
	NotBefore time.Time          `json:"not_before,omitzero"`
	ExpiresAt time.Time          `json:"expires_at,omitzero"`
	State     JobState           `json:"state"`
	Since     time.Time          `json:"since"` // when the state began
	CreatedAt time.Time          `json:"created_at"`
}

// same reports whether two jobs are to send the same.
func (j Job) same(k Job) bool {
	return j.Name == k.Name && j.From == k.From && j.Context == k.Context && j.Template == k.Template && j.Locale == k.Locale && j.Body == k.Body &&
		j.Category == k.Category && j.NotBefore.Equal(k.NotBefore) && j.ExpiresAt.Equal(k.ExpiresAt)
}

// Values are the small durable values of an engine. *messaging.Engine implements it.
type Values interface {
	Values(ctx context.Context, q messaging.ValueQuery) ([]messaging.Value, error)
	SetValue(ctx context.Context, changes ...*messaging.ValueChange) error
}

// Jobs are the bulk jobs. It is a rule of the engine: what belongs to a paused job waits, and
// to a cancelled one never leaves. It may be used concurrently.
type Jobs struct {
	mu     sync.Mutex
	values Values
	known  map[string]stored
	loaded bool
}

type stored struct {
	job     Job
	version int64
}

const (
	// jobKeep is how long a job is remembered after its last change: as long as its rows
	// can be waited for.
	jobKeep   = 60 * 24 * time.Hour
	jobBucket = "bulk"
	jobPrefix = "bulk:"
	// jobsMost bounds the jobs that are remembered.
	jobsMost = 1000
)

// The reasons of the rule.
const (
	reasonPaused    = "job_paused"
	reasonCancelled = "job_cancelled"
)

// The bounds of how long a row of a paused job waits before it is looked at again: half as
// long as the pause has lasted, so that a pause of any length costs few commits.
const (
	pausedLeast = 15 * time.Second
	pausedMost  = 15 * time.Minute
)

// NewJobs makes an empty one; nothing is found until Use.
func NewJobs() *Jobs { return &Jobs{known: map[string]stored{}} }

// Use gives it the engine that keeps the jobs.
func (j *Jobs) Use(v Values) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.values = v
}

// Ask implements messaging.Rule.
func (j *Jobs) Ask(now time.Time, s *messaging.Send) messaging.Verdict {
	rest, ok := strings.CutPrefix(s.Key, jobPrefix)
	if !ok {
		return messaging.Verdict{}
	}
	name, _, _ := strings.Cut(rest, ":")
	j.mu.Lock()
	job, known := j.known[name]
	loaded := j.loaded
	j.mu.Unlock()
	switch {
	case !known && !loaded: // it may be paused
		return messaging.Verdict{Status: messaging.StatusQueued, Reason: reasonPaused, Until: now.Add(pausedLeast)}
	case job.job.State == JobPaused:
		return messaging.Verdict{Status: messaging.StatusQueued, Reason: reasonPaused, Until: now.Add(pausedFor(now.Sub(job.job.Since), s.Key))}
	case job.job.State == JobCancelled:
		return messaging.Verdict{Status: messaging.StatusSuppressed, Reason: reasonCancelled}
	}
	return messaging.Verdict{}
}

// pausedFor is how long a row waits, spread so that not all of them are looked at at once.
func pausedFor(paused time.Duration, key string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	wait := min(max(paused/2, pausedLeast), pausedMost)
	return wait + wait/2*time.Duration(h.Sum32()%1000)/1000
}

// Load reads the jobs. It is called before the first row may leave, and again where others
// may change them.
func (j *Jobs) Load(ctx context.Context) error {
	j.mu.Lock()
	values := j.values
	j.mu.Unlock()
	known := map[string]stored{}
	for after := ""; ; {
		page, err := values.Values(ctx, messaging.ValueQuery{Bucket: jobBucket, After: after})
		if err != nil {
			return fmt.Errorf("read the bulk jobs: %w", err)
		}
		for _, v := range page {
			var job Job
			if err := json.Unmarshal(v.Data, &job); err != nil {
				return fmt.Errorf("read the bulk job %q: %w", v.Key, err)
			}
			known[v.Key] = stored{job, v.Version}
		}
		if len(page) < limitMost {
			break
		}
		after = page[len(page)-1].Key
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, s := range known { // what was written meanwhile is newer
		if j.known[name].version < s.version {
			j.known[name] = s
		}
	}
	j.loaded = true
	return nil
}

// Follow loads the jobs, again and again until they could be read, and from then on as often
// as others may change them; every 0 stands for never. It returns when ctx ends.
func (j *Jobs) Follow(ctx context.Context, every time.Duration, failed func(error)) {
	const again = time.Second
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		switch err := j.Load(ctx); {
		case err != nil && ctx.Err() == nil:
			failed(err)
			t.Reset(again)
		case every == 0:
			return
		default:
			t.Reset(every)
		}
	}
}

// find gives a job as the journal has it.
func (j *Jobs) find(ctx context.Context, name string) (stored, error) {
	j.mu.Lock()
	s, ok := j.known[name]
	values := j.values
	j.mu.Unlock()
	if ok {
		return s, nil
	}
	if values == nil {
		return stored{}, messaging.ErrUnknown
	}
	found, err := values.Values(ctx, messaging.ValueQuery{Bucket: jobBucket, Keys: []string{name}})
	if err != nil {
		return stored{}, err
	}
	if len(found) == 0 {
		return stored{}, messaging.ErrUnknown
	}
	s.version = found[0].Version
	if err := json.Unmarshal(found[0].Data, &s.job); err != nil {
		return stored{}, fmt.Errorf("read the bulk job %q: %w", name, err)
	}
	j.note(s)
	return s, nil
}

func (j *Jobs) note(s stored) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known[s.job.Name].version < s.version {
		j.known[s.job.Name] = s
	}
}

// all lists the jobs.
func (j *Jobs) all() []Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := []Job{}
	for _, s := range j.known {
		list = append(list, s.job)
	}
	return list
}

// put writes a job whose version is known; messaging.Absent for a new one.
func (j *Jobs) put(ctx context.Context, job Job, version int64) error {
	data, err := json.Marshal(job)
	if err != nil {
		return err
	}
	c := &messaging.ValueChange{Bucket: jobBucket, Key: job.Name, Data: data, ExpiresAt: time.Now().Add(jobKeep), Expect: version}
	if err := j.values.SetValue(ctx, c); err != nil {
		return err
	}
	j.note(stored{job, c.Version})
	return nil
}

// begin makes a job, or finds the one that has the name and is to send the same.
func (j *Jobs) begin(ctx context.Context, job Job) (Job, error) {
	was, err := j.find(ctx, job.Name)
	switch {
	case errors.Is(err, messaging.ErrUnknown):
		j.mu.Lock()
		full := len(j.known) >= jobsMost
		j.mu.Unlock()
		if full {
			return Job{}, Conflict.Problem(fmt.Sprintf("there are %d jobs", jobsMost), "wait until older ones are forgotten, 60 days after their last change")
		}
		err = j.put(ctx, job, messaging.Absent)
		if !errors.Is(err, messaging.ErrValueChanged) {
			return job, err
		}
		if was, err = j.find(ctx, job.Name); err != nil { // somebody else was faster
			return Job{}, err
		}
	case err != nil:
		return Job{}, err
	}
	if !job.same(was.job) {
		return Job{}, Conflict.Problem("there is a job with this name that sends something else", "give the new one another name")
	}
	return was.job, nil
}

// turn puts a job into another state.
func (j *Jobs) turn(ctx context.Context, name string, to JobState) (Job, error) {
	for {
		was, err := j.find(ctx, name)
		switch {
		case err != nil:
			return Job{}, err
		case was.job.State == to:
			return was.job, nil
		case was.job.State == JobCancelled:
			return Job{}, TooLate.Problem("the job is cancelled, for good", "begin another one for what is left")
		}
		job := was.job
		job.State, job.Since = to, time.Now().UTC().Truncate(time.Millisecond)
		if err = j.put(ctx, job, was.version); !errors.Is(err, messaging.ErrValueChanged) {
			return job, err
		}
		j.mu.Lock()
		delete(j.known, name) // somebody else changed it: read it again
		j.mu.Unlock()
	}
}
