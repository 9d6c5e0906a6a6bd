package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// deadLetters is GET /v1/deadletters.
func (a *API) deadLetters(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query(), "direction", "status", "fate")
	if err != nil {
		return badQuery(err, "")
	}
	q.out, q.Fates = false, []messaging.Fate{messaging.FateDead}
	return a.search(w, r, q)
}

// deadLetter is GET /v1/deadletters/{id}.
func (a *API) deadLetter(w http.ResponseWriter, r *http.Request) error {
	l, err := a.findDeadLetter(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, l)
}

func (a *API) findDeadLetter(ctx context.Context, id string) (*Life, error) {
	l, err := a.life(ctx, id)
	if err != nil {
		return nil, err
	}
	if l.Inbound == nil || l.Inbound.Fate != FateDead {
		return nil, Unknown.Problem("the message is no dead letter; it is "+strings.ReplaceAll(l.Outcome, "_", " "), "see it with \"signpost explain\"")
	}
	return l, nil
}

// replay is POST /v1/deadletters/{id}/replay.
func (a *API) replay(w http.ResponseWriter, r *http.Request) error {
	l, err := a.findDeadLetter(r.Context(), r.PathValue("id"))
	switch {
	case err != nil:
		return err
	case l.Inbound.Forgotten:
		return TooLate.Problem("the text of the message was removed, by retention or by name, so that there is nothing to run again", "drop it")
	}
	id := l.Inbound.ID
	if err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Engine.Replay(ctx, id) }); err != nil {
		return err
	}
	return write(w, Done{id, "replayed"})
}

// drop is POST /v1/deadletters/{id}/drop.
func (a *API) drop(w http.ResponseWriter, r *http.Request) error {
	l, err := a.findDeadLetter(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	id := l.Inbound.ID
	if err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Engine.Drop(ctx, id) }); err != nil {
		return err
	}
	return write(w, Done{id, "dropped"})
}

// ReplayAll says which dead letters are to be run again.
type ReplayAll struct {
	Context string `json:"context"`
}

// Resolve says how a doubt ends.
type Resolve struct {
	As messaging.Resolution `json:"as"`
}

// replayAll is POST /v1/deadletters/replay. It answers with lines of Progress.
func (a *API) replayAll(w http.ResponseWriter, r *http.Request) error {
	var body ReplayAll
	if err := a.read(r, &body, `{"context": "support"}`); err != nil {
		return err
	}
	if body.Context == "" {
		return BadRequest.Problem("the body names no context", `send {"context": "support"}, one context at a time`)
	}
	archive, err := a.archive()
	if err != nil {
		return err
	}
	ids, forgotten, err := deadIn(r.Context(), archive, body.Context)
	if err != nil {
		return err
	}
	out := newLines(w)
	p := Progress{Total: int64(len(ids) + len(forgotten)), Skipped: forgotten}
	for _, id := range ids {
		err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Engine.Replay(ctx, id) })
		switch {
		case err == nil:
			p.Done++
		default:
			problem := a.problem(err)
			if !problem.Of(Unknown) && !problem.Of(Elsewhere) {
				p.Problem = problem // the next one would fare no better
				return out.last(p)
			}
			p.Skipped = append(p.Skipped, id)
		}
		out.line(Progress{Done: p.Done, Total: p.Total})
	}
	p.Result = "replayed"
	return out.last(p)
}

// deadIn lists the dead letters of a context, oldest first, since the messages of one
// conversation are to be handled in the order of their arrival.
func deadIn(ctx context.Context, archive messaging.Archive, label string) (ids, forgotten []string, err error) {
	s := messaging.Search{Context: label, Fates: []messaging.Fate{messaging.FateDead}, Limit: limitMost}
	for {
		found, err := archive.Search(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range found.Inbounds {
			if r.Forgotten {
				forgotten = append(forgotten, r.Event.ID)
			} else {
				ids = append(ids, r.Event.ID)
			}
		}
		if s.Before = found.Cursor; !found.More {
			slices.Reverse(ids)
			return ids, forgotten, nil
		}
	}
}

// doubts is GET /v1/doubts.
func (a *API) doubts(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query(), "direction", "status", "fate")
	if err != nil {
		return badQuery(err, "")
	}
	q.in, q.Statuses = false, []messaging.Status{messaging.StatusInDoubt}
	return a.search(w, r, q)
}

// resolve is POST /v1/doubts/{id}/resolve.
func (a *API) resolve(w http.ResponseWriter, r *http.Request) error {
	const example = `{"as": "accepted"}, {"as": "resend"} or {"as": "failed"}`
	var body Resolve
	if err := a.read(r, &body, example); err != nil {
		return err
	}
	switch body.As {
	case messaging.ResolveAccepted, messaging.ResolveResend, messaging.ResolveFailed:
	default:
		return BadRequest.Problem(fmt.Sprintf("a doubt cannot be resolved as %q", body.As), "send "+example)
	}
	id, err := a.sendID(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Engine.Resolve(ctx, id, body.As) }); err != nil {
		return err
	}
	return write(w, Done{id.String(), string(body.As)})
}

// cancel is POST /v1/sends/{id}/cancel.
func (a *API) cancel(w http.ResponseWriter, r *http.Request) error {
	id, err := a.sendID(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Engine.Cancel(ctx, id) }); err != nil {
		return err
	}
	return write(w, Done{id.String(), "cancelled"})
}

// sendID finds the send that an id means: its own, that of an attempt or its tag, the
// platform's, its key, or that of an inbound that it alone answers.
func (a *API) sendID(ctx context.Context, id string) (uuid.UUID, error) {
	l, err := a.life(ctx, id)
	if err != nil {
		return uuid.UUID{}, err
	}
	ids := make([]string, len(l.Sends))
	for i, s := range l.Sends {
		if ids[i] = s.ID; s.ID == id {
			return uuid.Parse(id)
		}
	}
	switch len(ids) {
	case 0:
		return uuid.UUID{}, Unknown.Problem("nothing was sent for this message", "see it with \"signpost explain\"")
	case 1:
		return uuid.Parse(ids[0])
	}
	return uuid.UUID{}, BadRequest.Problem(fmt.Sprintf("%d texts were sent for this message", len(ids)), "name one of them: "+strings.Join(ids, ", "))
}
