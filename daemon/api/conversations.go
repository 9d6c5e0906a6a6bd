package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Talks can be handed to a person and back. *messaging.Engine implements it.
type Talks interface {
	Pause(ctx context.Context, c messaging.Conversation, until time.Time) error
	Resume(ctx context.Context, c messaging.Conversation) error
}

// Conversation is what one of our numbers and a person wrote each other.
type Conversation struct {
	Ours        string    `json:"ours"`
	Theirs      string    `json:"theirs"`
	Context     string    `json:"context"`               // of the last message
	Last        Message   `json:"last"`                  // the last message
	PausedUntil time.Time `json:"paused_until,omitzero"` // it is with a person until then
}

// Conversations is a part of them, those with the newest messages first.
type Conversations struct {
	Conversations []Conversation `json:"conversations"`
	Cursor        string         `json:"cursor,omitempty"`
	More          bool           `json:"more"`
}

// Talk is a conversation with its messages.
type Talk struct {
	Ours        string    `json:"ours"`
	Theirs      string    `json:"theirs"`
	PausedUntil time.Time `json:"paused_until,omitzero"`
	Page
}

// PauseUntil says until when a conversation is with a person.
type PauseUntil struct {
	Until time.Time `json:"until"`
}

func (a *API) conversationRoutes() []route {
	const tag = "conversations"
	page := []param{
		{name: "limit", about: "so many messages are looked through, 1 to 1000; 50 without it", kind: "integer"},
		{name: "before", about: "the cursor of a former page"},
	}
	return []route{
		{method: "GET", path: "/v1/conversations", tag: tag, summary: "Conversations, those with the newest messages first", params: append([]param{
			{name: "context", about: "those of a context"}, {name: "number", about: "those with this number"},
		}, page...), answer: Conversations{}, handle: a.conversations},
		{method: "GET", path: "/v1/conversations/{ours}/{theirs}", tag: tag, summary: "The messages of a conversation, newest first", params: page, answer: Talk{}, handle: a.conversation},
		{method: "POST", path: "/v1/conversations/{ours}/{theirs}/pause", tag: tag, summary: "Hand a conversation to a person", body: PauseUntil{}, answer: Done{}, handle: a.pauseTalk},
		{method: "POST", path: "/v1/conversations/{ours}/{theirs}/resume", tag: tag, summary: "Take a conversation back", answer: Done{}, handle: a.resumeTalk},
	}
}

// conversations is GET /v1/conversations.
func (a *API) conversations(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query(), "direction", "status", "fate", "after", "text", "since", "until")
	if err != nil {
		return badQuery(err, "")
	}
	archive, err := a.archive()
	if err != nil {
		return err
	}
	p, err := (&timeline{archive: archive, doubts: a.cfg.Doubts, q: q, whole: true}).page(r.Context())
	if err != nil {
		return a.badCursor(r, q, err)
	}
	list := Conversations{Conversations: []Conversation{}, Cursor: p.Cursor, More: p.More}
	seen := map[messaging.Conversation]bool{}
	var pairs []messaging.Conversation
	for i := range p.Messages {
		m := &p.Messages[i]
		pair := messaging.Conversation{Ours: messaging.Number(m.To), Theirs: messaging.Number(m.From)}
		if m.Direction == DirectionOut {
			pair.Ours, pair.Theirs = pair.Theirs, pair.Ours
		}
		if seen[pair] {
			continue
		}
		seen[pair] = true
		pairs = append(pairs, pair)
		list.Conversations = append(list.Conversations, Conversation{Ours: string(pair.Ours), Theirs: string(pair.Theirs), Context: m.Context, Last: *m})
	}
	until, err := a.pauses(r.Context(), pairs...)
	if err != nil {
		return err
	}
	for i, pair := range pairs {
		list.Conversations[i].PausedUntil = until[pair.Key()]
	}
	return write(w, list)
}

// badCursor is the error of a page, which may be the cursor's fault.
func (a *API) badCursor(r *http.Request, q *query, err error) error {
	if q.begun && !errors.Is(err, messaging.ErrUnavailable) && r.Context().Err() == nil {
		return badQuery(&fault{"query.before", errors.New("it is not the cursor of an answer")}, "begin without it")
	}
	return err
}

// pauses says until when conversations are paused, by their keys.
func (a *API) pauses(ctx context.Context, pairs ...messaging.Conversation) (map[string]time.Time, error) {
	until := map[string]time.Time{}
	reader, ok := a.cfg.Store.(messaging.ValueReader)
	if !ok || len(pairs) == 0 {
		return until, nil
	}
	keys := make([]string, len(pairs))
	for i, p := range pairs {
		keys[i] = p.Key()
	}
	values, err := reader.Values(ctx, messaging.ValueQuery{Bucket: messaging.BucketPauses, Now: time.Now(), Keys: keys, Limit: len(keys)})
	for _, v := range values {
		until[v.Key] = utc(v.ExpiresAt)
	}
	return until, err
}

// pairOf reads the conversation of a path.
func pairOf(r *http.Request) (pair messaging.Conversation, err error) {
	for name, n := range map[string]*messaging.Number{"ours": &pair.Ours, "theirs": &pair.Theirs} {
		if *n, err = ParseNumber(r.PathValue(name)); err != nil {
			return pair, badQuery(&fault{"path." + name, err}, "")
		}
	}
	return pair, nil
}

// conversation is GET /v1/conversations/{ours}/{theirs}.
func (a *API) conversation(w http.ResponseWriter, r *http.Request) error {
	pair, err := pairOf(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r.URL.Query(), "direction", "status", "fate", "after", "text", "since", "until", "number", "context")
	if err != nil {
		return badQuery(err, "")
	}
	archive, err := a.archive()
	if err != nil {
		return err
	}
	q.Number = pair.Theirs
	p, err := (&timeline{archive: archive, doubts: a.cfg.Doubts, q: q, whole: true}).page(r.Context())
	if err != nil {
		return a.badCursor(r, q, err)
	}
	talk := Talk{Ours: string(pair.Ours), Theirs: string(pair.Theirs), Page: *p}
	talk.Messages = []Message{}
	for _, m := range p.Messages {
		if m.From == talk.Ours || m.To == talk.Ours {
			talk.Messages = append(talk.Messages, m)
		}
	}
	until, err := a.pauses(r.Context(), pair)
	if err != nil {
		return err
	}
	talk.PausedUntil = until[pair.Key()]
	return write(w, talk)
}

// pauseTalk is POST /v1/conversations/{ours}/{theirs}/pause.
func (a *API) pauseTalk(w http.ResponseWriter, r *http.Request) error {
	const example = `{"until": "2026-11-25T09:00:00Z"}`
	pair, err := pairOf(r)
	if err != nil {
		return err
	}
	var until PauseUntil
	if err := a.read(r, &until, example); err != nil {
		return err
	}
	now := time.Now()
	switch {
	case a.cfg.Talks == nil:
		return a.unsupported("hand conversations to a person")
	case !until.Until.After(now) || until.Until.After(now.Add(messaging.PauseMost)):
		return badField("until", errors.New("it has passed, or lies more than 30 days ahead"), "send one like "+example)
	}
	if err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Talks.Pause(ctx, pair, until.Until) }); err != nil {
		return err
	}
	return write(w, Done{pair.Key(), "paused"})
}

// resumeTalk is POST /v1/conversations/{ours}/{theirs}/resume.
func (a *API) resumeTalk(w http.ResponseWriter, r *http.Request) error {
	pair, err := pairOf(r)
	switch {
	case err != nil:
		return err
	case a.cfg.Talks == nil:
		return a.unsupported("hand conversations to a person")
	}
	if err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Talks.Resume(ctx, pair) }); err != nil {
		return err
	}
	return write(w, Done{pair.Key(), "resumed"})
}
