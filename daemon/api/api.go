package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// Engine takes an operator's word. *messaging.Engine implements it.
type Engine interface {
	Replay(ctx context.Context, eventID string) error
	Drop(ctx context.Context, eventID string) error
	Cancel(ctx context.Context, send uuid.UUID) error
	Resolve(ctx context.Context, send uuid.UUID, r messaging.Resolution) error
	SetConsent(ctx context.Context, changes ...*messaging.ConsentChange) error
	EnqueueAll(ctx context.Context, sends []messaging.Send, with func(*messaging.Send) []*messaging.ValueChange) ([]messaging.Enqueued, error)
}

// Config is what an API is made of.
type Config struct {
	Store   messaging.Store // required; what it can do beyond the contract is found out
	Engine  Engine          // required
	Doubts  Doubts
	Sending Sending
	// Writable says why nothing can be journaled at the moment; nil: it always can.
	Writable func() error
	// Jobs are the bulk jobs; nil: there are none.
	Jobs *Jobs
	// Talks hands conversations to a person; nil: it cannot be done.
	Talks Talks
	// Codes are the one-time codes; nil: there are none.
	Codes Codes
	// Served lists the contexts; nil: there are none.
	Served func() []Served
	// Texts are the templates of the configuration in force; nil: there are none.
	Texts func() *texts.Set
	// Bookmark makes the value in which is kept what a send's callback has been told; nil:
	// callbacks are not told.
	Bookmark func(*messaging.Send) *messaging.ValueChange
	// Metrics counts requests; nil: nobody does.
	Metrics *Metrics
	// Draining reports that the daemon is stopping: nothing is changed any more. Nil: never.
	Draining func() bool
}

// API answers requests. It may be used concurrently.
type API struct {
	cfg Config
	// patience is how long the engine may take for one change: longer than any commit that
	// still succeeds in the end.
	patience time.Duration
	schemas  *schemas
	claims   claims
	counts   counted
	streams  atomic.Int64
}

// New makes an API. It does nothing until it is registered.
func New(cfg Config) *API {
	if cfg.Draining == nil {
		cfg.Draining = func() bool { return false }
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Jobs == nil {
		cfg.Jobs = NewJobs()
	}
	return &API{cfg: cfg, patience: 30 * time.Second, schemas: newSchemas()}
}

// Register adds every path of the API to a mux, and the description of them all. It is called
// once.
func (a *API) Register(mux *http.ServeMux) {
	routes := a.all()
	doc := a.schemas.document(routes)
	for _, r := range routes {
		mux.Handle(r.method+" "+r.path, a.answer(r))
	}
	serveDocument(mux, doc)
}

// answer makes a handler that returns what is wrong one that says it.
func (a *API) answer(route route) http.Handler {
	say := func(w http.ResponseWriter, err error) { a.problem(err).Write(w) }
	if strings.HasPrefix(route.path, platformPath) {
		say = a.sayPlatform
	}
	return a.cfg.Metrics.count(route.method+" "+route.path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route.changes() && !route.even && a.cfg.Draining() {
			say(w, errDraining())
			return
		}
		if err := route.handle(w, r); err != nil {
			say(w, err)
		}
	}))
}

func errDraining() *Problem {
	return Draining.Problem("the daemon is stopping and changes nothing any more", "ask again once it has started")
}

// problem says what an error means for the client.
func (a *API) problem(err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, messaging.ErrUnknown):
		return Unknown.Problem("the journal holds nothing under this id, or not any more", "look for it with GET /v1/messages or \"signpost messages\"")
	case errors.Is(err, messaging.ErrTooLate):
		return TooLate.Problem("it has gone on meanwhile, so that there is nothing left to change", "see what became of it with \"signpost explain\"")
	case errors.Is(err, messaging.ErrKeyUsed):
		return Conflict.Problem("the key was used for a send that the journal holds no more", "use a new one for each message")
	case errors.Is(err, messaging.ErrNotHere):
		return Elsewhere.Problem("another instance holds the conversation", "ask each of the others")
	case a.cfg.Draining():
		return errDraining()
	case errors.Is(err, messaging.ErrUnavailable), errors.Is(err, messaging.ErrFull):
		return Unavailable.Problem(err.Error(), "see \"signpost health\", and ask again")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Unavailable.Problem("the journal did not take it in time; it may still do so", "see \"signpost health\", then \"signpost explain\" whether it was done")
	}
	return Failed.Problem(err.Error(), "")
}

// sayPlatform says an error in the platform's way.
func (a *API) sayPlatform(w http.ResponseWriter, err error) {
	if all := platformErrors(err); len(all) > 0 {
		writePlatform(w, all...)
		return
	}
	writePlatform(w, platformErrorOf(a.problem(err)))
}

// write answers with JSON.
func write(w http.ResponseWriter, v any) error { return writeStatus(w, http.StatusOK, v) }

func writeStatus(w http.ResponseWriter, status int, v any) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // who hung up wants no answer
	return nil
}

// archive is the store's reading side.
func (a *API) archive() (messaging.Archive, error) {
	if archive, ok := a.cfg.Store.(messaging.Archive); ok {
		return archive, nil
	}
	return nil, a.unsupported("answer questions about its journal")
}

func (a *API) unsupported(what string) *Problem {
	return Unsupported.Problem(fmt.Sprintf("the store %q cannot %s", a.cfg.Store.Traits().Name, what), "use sqlite: or postgres: for store")
}

// search answers with a page of what a query finds.
func (a *API) search(w http.ResponseWriter, r *http.Request, q *query) error {
	archive, err := a.archive()
	if err != nil {
		return err
	}
	p, err := (&timeline{archive: archive, doubts: a.cfg.Doubts, q: q}).page(r.Context())
	switch {
	case err == nil:
		return write(w, p)
	case q.begun && !errors.Is(err, messaging.ErrUnavailable) && r.Context().Err() == nil:
		return BadRequest.Problem(err.Error(), "begin without before or after")
	}
	return err
}

// life finds a message.
func (a *API) life(ctx context.Context, id string) (*Life, error) {
	archive, err := a.archive()
	if err != nil {
		return nil, err
	}
	l, err := archive.Life(ctx, id)
	if err != nil {
		return nil, err
	}
	return lifeOf(l, a.cfg.Doubts), nil
}

// tell asks the engine to do something, for as long as it is worth waiting.
func (a *API) tell(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	return f(ctx)
}
