package daemon

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
)

// callbackBucket is where is kept, by the id of a send, what its callback has been told. What
// there is to tell is read from the journal.
const callbackBucket = "callbacks"

const (
	// callbackKeep is how long a send is looked after: longer than its last word may take,
	// and the patience after it.
	callbackKeep = 7 * 24 * time.Hour
	// callbackSoon is how long after a state came the journal is read, so that it is there;
	// callbackFirst and callbackLast bound how long it takes to find what no state tells,
	// such as that the platform refused a send: it doubles while nothing happens.
	callbackSoon  = 20 * time.Millisecond
	callbackFirst = 500 * time.Millisecond
	callbackLast  = 5 * time.Minute
	// callbackRetry is the first pause after a failure. It doubles up to callbackLast.
	callbackRetry = time.Second
	// callbackPatience is how long an endpoint is tried that does not answer or has a fault,
	// and callbackRefused one that refuses what it is told.
	callbackPatience = 24 * time.Hour
	callbackRefused  = 10 * time.Minute
	// callbacksAtOnce bounds the posts under way, and callbacksPerHost those to one host, so
	// that a host that hangs does not hold up the others.
	callbacksAtOnce  = 32
	callbacksPerHost = 8
	// callbacksMost bounds the sends that are looked after at a time. The rest wait in the
	// journal until there is room.
	callbacksMost = 50_000
)

// bookmark is the value of a send.
type bookmark struct {
	Told api.Stage `json:"told"`
}

// callbacks tells the status_callback of each send how far it has come: at least once, and in
// order.
type callbacks struct {
	engine  callbackEngine
	archive messaging.Archive
	sending *api.Sending
	client  *http.Client
	log     *slog.Logger
	posts   *prometheus.CounterVec

	mu       sync.Mutex
	watched  map[uuid.UUID]*watch
	queue    agenda
	overflow bool // there are more in the journal
	perHost  map[string]int
	wake     chan struct{}
}

// callbackEngine is what callbacks need of the engine.
type callbackEngine interface {
	api.Values
	Value(ctx context.Context, bucket, key string) (messaging.Value, error)
}

// watch is a send that is looked after.
type watch struct {
	next    time.Time
	pause   time.Duration // until it is looked at again, while nothing happens
	failing time.Time     // since when its endpoint fails; zero if it does not
	busy    bool
	nudged  bool // something happened while it was busy
}

func newCallbacks(engine callbackEngine, archive messaging.Archive, sending *api.Sending, log *slog.Logger, reg prometheus.Registerer) *callbacks {
	c := &callbacks{
		engine: engine, archive: archive, sending: sending,
		log: log.With("component", "callbacks"), watched: map[uuid.UUID]*watch{}, perHost: map[string]int{}, wake: make(chan struct{}, 1),
		client: &http.Client{
			Timeout: 10 * time.Second,
			// A redirect would lead where nobody allowed.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signpost_callbacks_total", Help: "Posts to the status callbacks of sends, by result: told, failed (tried again) or given_up.",
		}, []string{"result"}),
	}
	reg.MustRegister(c.posts)
	return c
}

// bookmark begins to look after a send: with the send, its value is stored. It is called on
// the engine's goroutine.
func (c *callbacks) bookmark(s *messaging.Send) *messaging.ValueChange {
	c.nudge(s.ID, callbackFirst)
	data, err := json.Marshal(bookmark{})
	if err != nil {
		data = nil // of a number
	}
	return &messaging.ValueChange{Bucket: callbackBucket, Key: s.ID.String(), Number: s.To, Data: data, ExpiresAt: s.CreatedAt.Add(callbackKeep)}
}

// nudge says that something happened to a send; it is looked at after a while.
func (c *callbacks) nudge(id uuid.UUID, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[id]
	if w == nil {
		if len(c.watched) >= callbacksMost {
			c.overflow = true
			return
		}
		w = &watch{}
		c.watched[id] = w
	}
	w.pause = callbackFirst
	switch at := time.Now().Add(after); {
	case w.busy:
		w.nudged = true
	case !w.failing.IsZero(): // its own pause decides
	case w.next.IsZero() || at.Before(w.next):
		c.schedule(id, w, at)
	}
}

// schedule says when a send is looked at next. The caller holds the lock.
func (c *callbacks) schedule(id uuid.UUID, w *watch, at time.Time) {
	w.next = at
	heap.Push(&c.queue, appointment{at, id})
	if c.queue[0].id == id {
		c.ring()
	}
}

// agenda is a heap of appointments, the next one first. One that its send does not know any
// more is passed over when its time comes.
type agenda []appointment

type appointment struct {
	at time.Time
	id uuid.UUID
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (c *callbacks) ring() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// heard is told of every state event whose send has a callback.
func (c *callbacks) heard(ev *messaging.Event) {
	if ev.Kind == messaging.KindState && ev.Send != nil && ev.Send.Callback {
		c.nudge(ev.Send.ID, callbackSoon)
	}
}

// run looks after sends until ctx ends, those included that a former process left.
func (c *callbacks) run(ctx context.Context) {
	const loadAgain = time.Minute
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, callbacksAtOnce)
	load := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if now := time.Now(); !load.IsZero() && !now.Before(load) {
			if err := c.load(ctx); err != nil {
				c.log.Warn("which callbacks are to be told cannot be read; it is tried again", "err", err)
				load = now.Add(callbackRetry)
			} else {
				load = time.Time{}
			}
		}
		due, next := c.due()
		for _, id := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			work.Go(func() {
				defer func() { <-slots }()
				c.done(id, c.look(ctx, id))
			})
		}
		c.mu.Lock()
		if c.overflow && load.IsZero() && len(c.watched) < callbacksMost/2 {
			load = time.Now().Add(loadAgain)
		}
		c.mu.Unlock()
		if !load.IsZero() && load.Before(next) {
			next = load
		}
		timer.Reset(max(time.Until(next), time.Millisecond))
		select {
		case <-timer.C:
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// due takes the sends that are to be looked at now, and says when the next one is.
func (c *callbacks) due() (ids []uuid.UUID, next time.Time) {
	now := time.Now()
	next = now.Add(time.Minute)
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 {
		first := c.queue[0]
		if first.at.After(now) || len(ids) == callbacksAtOnce {
			return ids, earliest(next, first.at)
		}
		heap.Pop(&c.queue)
		if w := c.watched[first.id]; w != nil && !w.busy && w.next.Equal(first.at) {
			w.busy = true
			ids = append(ids, first.id)
		}
	}
	return ids, next
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// load finds the sends that are looked after according to the journal.
func (c *callbacks) load(ctx context.Context) error {
	c.mu.Lock()
	c.overflow = false
	c.mu.Unlock()
	for after := ""; ; {
		page, err := c.engine.Values(ctx, messaging.ValueQuery{Bucket: callbackBucket, After: after, Limit: 1000})
		if err != nil {
			return err
		}
		for _, v := range page {
			if id, err := uuid.Parse(v.Key); err == nil {
				c.nudge(id, 0)
			}
		}
		if len(page) < 1000 {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

// seen is what looking at a send came to.
type seen int

const (
	seenNothing seen = iota // nothing new
	seenTold                // something was told
	seenFailed              // it is to be told again
	seenOver                // nothing more will come
	seenBusy                // its host has enough to do
)

// done puts a send back after it was looked at.
func (c *callbacks) done(id uuid.UUID, s seen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[id]
	if w == nil {
		return
	}
	w.busy = false
	now := time.Now()
	switch s {
	case seenOver:
		delete(c.watched, id)
		return
	case seenTold:
		w.failing, w.pause = time.Time{}, callbackFirst
	case seenFailed:
		if w.failing.IsZero() {
			w.failing, w.pause = now, callbackRetry
		}
	case seenBusy:
		w.pause = callbackFirst
	}
	wait := w.pause/2 + rand.N(w.pause)
	w.pause = min(2*w.pause, callbackLast)
	if w.nudged && s != seenFailed {
		wait = callbackSoon
	}
	w.nudged = false
	c.schedule(id, w, now.Add(wait))
}

// look tells what there is to tell about a send.
func (c *callbacks) look(ctx context.Context, id uuid.UUID) seen {
	v, err := c.engine.Value(ctx, callbackBucket, id.String())
	if err != nil {
		return seenFailed
	}
	l, err := c.archive.Life(ctx, id.String())
	switch {
	case errors.Is(err, messaging.ErrUnknown) && v.Version == messaging.Absent:
		return seenOver // the send was not stored after all
	case errors.Is(err, messaging.ErrUnknown):
		return c.end(ctx, v)
	case err != nil:
		return seenFailed
	case v.Version == messaging.Absent:
		return seenOver
	}
	var mark bookmark
	if err := json.Unmarshal(v.Data, &mark); err != nil {
		return c.end(ctx, v)
	}
	for _, r := range l.Sends {
		if r.Send.ID == id {
			return c.tell(ctx, r, v, mark)
		}
	}
	return c.end(ctx, v)
}

// end forgets a send of which nothing more will come.
func (c *callbacks) end(ctx context.Context, v messaging.Value) seen {
	err := c.engine.SetValue(ctx, &messaging.ValueChange{Bucket: v.Bucket, Key: v.Key, Delete: true})
	if err != nil && !errors.Is(err, messaging.ErrValueChanged) {
		return seenFailed
	}
	return seenOver
}

// tell posts the stages that were not told, one after the other, and notes each.
func (c *callbacks) tell(ctx context.Context, r *messaging.SendRecord, v messaging.Value, mark bookmark) seen {
	stages, told, over := c.sending.Stages(r, mark.Told)
	result := seenNothing
	for i, stage := range stages {
		if s := c.post(ctx, r, told[i]); s != seenTold {
			return s
		}
		c.calm(r.Send.ID)
		data, err := json.Marshal(bookmark{stage})
		if err != nil {
			return seenFailed
		}
		change := &messaging.ValueChange{Bucket: v.Bucket, Key: v.Key, Number: v.Number, Data: data, ExpiresAt: v.ExpiresAt, Expect: v.Version}
		if stage == api.StageFinal {
			break // it is deleted
		}
		if err := c.engine.SetValue(ctx, change); err != nil {
			return seenFailed // told again, then
		}
		v.Version, result = change.Version, seenTold
	}
	if over {
		return c.end(ctx, v)
	}
	return result
}

// since is since when the endpoint of a send fails.
func (c *callbacks) since(id uuid.UUID) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watched[id]; w != nil && !w.failing.IsZero() {
		return w.failing
	}
	return time.Now()
}

// calm notes that the endpoint of a send does not fail any more.
func (c *callbacks) calm(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watched[id]; w != nil {
		w.failing = time.Time{}
	}
}

// enter takes a place among the posts to a host; leave gives it back.
func (c *callbacks) enter(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perHost[host] >= callbacksPerHost {
		return false
	}
	c.perHost[host]++
	return true
}

func (c *callbacks) leave(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perHost[host]--; c.perHost[host] == 0 {
		delete(c.perHost, host)
	}
}

// allowedCallback says what keeps a URL from being called: this machine may be called, and
// what the operator allowed.
func allowedCallback(raw string, allow []string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return errors.New("it is no http or https URL")
	case u.User != nil:
		return errors.New("it has a user name in it; put a secret into its path or query")
	case isLoopback(u.Hostname()):
		return nil
	}
	for _, pattern := range allow {
		if hostMatches(strings.ToLower(u.Host), strings.ToLower(u.Hostname()), strings.ToLower(pattern)) {
			return nil
		}
	}
	return errors.New("its host is not allowed; the operator allows hosts with callbacks.allow")
}

func hostMatches(host, name, pattern string) bool {
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(name, below) && len(name) > len(below) || strings.HasSuffix(host, below) && len(host) > len(below)
	}
	return pattern == host || strings.Trim(pattern, "[]") == name
}
