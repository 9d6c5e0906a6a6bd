package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// eventsEvery is how often a stream looks for what is new, and eventsAlive how often it
	// says that it lives.
	eventsEvery = 500 * time.Millisecond
	eventsAlive = 15 * time.Second
	// eventsStreams bounds the streams: each reads the journal by itself.
	eventsStreams = 32
)

// events is GET /v1/events: server-sent events, one for each message that is journaled. The
// id of an event is that of a place in the journal, for Last-Event-ID.
func (a *API) events(w http.ResponseWriter, r *http.Request) error {
	v := r.URL.Query()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		v.Set("after", last)
	}
	q, err := parseQuery(v, "before", "limit", "since", "until")
	if err != nil {
		var f *fault
		if errors.As(err, &f) && f.location == "query.after" && r.Header.Get("Last-Event-ID") != "" {
			f.location = "header.Last-Event-ID"
		}
		return badQuery(err, "")
	}
	archive, err := a.archive()
	if err != nil {
		return err
	}
	if a.streams.Add(1) > eventsStreams {
		a.streams.Add(-1)
		return Unavailable.Problem(fmt.Sprintf("there are %d streams of events already", eventsStreams), "end one of them")
	}
	defer a.streams.Add(-1)
	t := &timeline{archive: archive, doubts: a.cfg.Doubts, q: q}
	if !q.begun { // from now on
		at, err := t.newest(r.Context())
		if err != nil {
			return err
		}
		q.after, q.begun, q.forward = at, true, true
	}
	q.limit = limitMost
	return a.stream(w, r, t)
}

// stream sends what comes until the client leaves or the daemon stops.
func (a *API) stream(w http.ResponseWriter, r *http.Request, t *timeline) error {
	p, err := t.page(r.Context())
	if err != nil {
		return a.badCursor(r, t.q, err)
	}
	endless(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	ctl := http.NewResponseController(w)
	tick := time.NewTicker(eventsEvery)
	defer tick.Stop()
	id := t.q.after.String()
	if id == "" {
		id = cursorMark
	}
	if _, err := fmt.Fprintf(w, "retry: 2000\nid: %s\n: from here on\n\n", id); err != nil {
		return nil
	}
	for spoke := time.Now(); ; {
		for {
			if err := sendEvents(w, p); err != nil {
				return nil // the client has left
			}
			if len(p.Messages) > 0 {
				spoke = time.Now()
			}
			if p.Cursor != "" {
				_ = t.q.after.parse(p.Cursor) // it is ours
			}
			if !p.More {
				break
			}
			if p, err = t.page(r.Context()); err != nil {
				return nil // the client comes again, from its last event on
			}
		}
		if time.Since(spoke) >= eventsAlive {
			spoke = time.Now()
			if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil {
				return nil
			}
		}
		if ctl.Flush() != nil {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-tick.C:
		}
		if a.cfg.Draining() {
			return nil
		}
		if p, err = t.page(r.Context()); err != nil {
			return nil
		}
	}
}

// sendEvents writes the messages of a page. The last one has the page's cursor for its id, so
// that a client that is cut off within a page gets all of it again.
func sendEvents(w http.ResponseWriter, p *Page) error {
	for i, m := range p.Messages {
		body, err := json.Marshal(m)
		if err != nil {
			return err
		}
		id := ""
		if i == len(p.Messages)-1 {
			id = "id: " + p.Cursor + "\n"
		}
		if _, err := fmt.Fprintf(w, "%sevent: message\ndata: %s\n\n", id, body); err != nil {
			return err
		}
	}
	return nil
}
