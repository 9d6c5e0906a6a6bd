package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// Engine takes an operator's word. *messaging.Engine implements it.
type Engine interface {
	Replay(ctx context.Context, eventID string) error
	Drop(ctx context.Context, eventID string) error
	Cancel(ctx context.Context, send uuid.UUID) error
	Resolve(ctx context.Context, send uuid.UUID, r messaging.Resolution) error
	SetConsent(ctx context.Context, changes ...*messaging.ConsentChange) error
}

// Config is what an API is made of.
type Config struct {
	Store  messaging.Store // required; what it can do beyond the contract is found out
	Engine Engine          // required
	Doubts Doubts
	// Draining reports that the daemon is stopping: nothing is changed any more. Nil: never.
	Draining func() bool
}

// API answers requests. It may be used concurrently.
type API struct {
	cfg Config
	// patience is how long the engine may take for one change: longer than any commit that
	// still succeeds in the end.
	patience time.Duration
}

// New makes an API. It does nothing until it is registered.
func New(cfg Config) *API {
	if cfg.Draining == nil {
		cfg.Draining = func() bool { return false }
	}
	return &API{cfg: cfg, patience: 30 * time.Second}
}

// Register adds every path of the API to a mux.
func (a *API) Register(mux *http.ServeMux) {
	read := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.Handle("GET "+pattern, a.answer(h))
	}
	change := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.Handle("POST "+pattern, a.answer(func(w http.ResponseWriter, r *http.Request) error {
			if a.cfg.Draining() {
				return errDraining()
			}
			return h(w, r)
		}))
	}
	read("/v1/messages", a.messages)
	read("/v1/messages/{id}", a.message)
	read("/v1/deadletters", a.deadLetters)
	read("/v1/deadletters/{id}", a.deadLetter)
	change("/v1/deadletters/replay", a.replayAll)
	change("/v1/deadletters/{id}/replay", a.replay)
	change("/v1/deadletters/{id}/drop", a.drop)
	read("/v1/doubts", a.doubts)
	change("/v1/doubts/{id}/resolve", a.resolve)
	change("/v1/sends/{id}/cancel", a.cancel)
	read("/v1/consent", a.consents)
	read("/v1/consent/{number}", a.consentOf)
	read("/v1/consent/reviews", a.reviews)
	read("/v1/consent/verify", a.verifyConsent)
	change("/v1/consent", a.setConsent)
	change("/v1/consent/forget", a.forget)
	change("/v1/backup", a.backup)
}

// answer makes a handler that returns what is wrong one that says it.
func (a *API) answer(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			a.problem(err).Write(w)
		}
	})
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

// write answers with JSON.
func write(w http.ResponseWriter, v any) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // who hung up wants no answer
	return nil
}

// read reads a JSON object strictly.
func read(r *http.Request, v any, example string) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("something follows it")
		}
	}
	if err != nil {
		return BadRequest.Problem("the body is not the JSON object that is wanted: "+err.Error(), "send one like "+example)
	}
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
