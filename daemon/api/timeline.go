package api

import (
	"cmp"
	"context"
	"slices"

	"github.com/signpost-sms/signpost/messaging"
)

// timeline reads the journal in both directions as one, in the order of time.
type timeline struct {
	archive messaging.Archive
	doubts  Doubts
	q       *query
	whole   bool // say nothing of what comes later
}

// rows is a page of one direction and how much of it is taken.
type rows struct {
	search   messaging.Search
	messages []Message
	cursor   string // behind the last one
	more     bool
	taken    int
	all      bool // it has no cursor within it: it is taken whole
}

func (t *timeline) page(ctx context.Context) (*Page, error) {
	p := &Page{Messages: []Message{}}
	if !t.q.begun && !t.whole {
		// Read first: what comes between this and the page is shown twice rather than never.
		at, err := t.newest(ctx)
		if err != nil {
			return nil, err
		}
		p.Newest = at.String()
		if p.Newest == "" {
			p.Newest = cursorMark // nothing yet: everything is newer
		}
	}
	start := t.q.before
	if t.q.forward {
		start = t.q.after
	}
	var in, out *rows
	var err error
	// Sends first: what a send that shows answers was journaled before it, and shows too.
	if t.q.out {
		if out, err = t.rows(ctx, true, start.out); err != nil {
			return nil, err
		}
	}
	if t.q.in {
		if in, err = t.rows(ctx, false, start.in); err != nil {
			return nil, err
		}
	}
	limit := t.q.limit
	if in.whole() || out.whole() {
		limit = 2 * limitMost
	}
	for len(p.Messages) < limit {
		r := t.next(in, out)
		if r == nil {
			break
		}
		p.Messages = append(p.Messages, r.messages[r.taken])
		r.taken++
	}
	at := start
	if at.in, err = t.behind(ctx, in, start.in); err != nil {
		return nil, err
	}
	if at.out, err = t.behind(ctx, out, start.out); err != nil {
		return nil, err
	}
	p.Cursor = at.String()
	p.More = in.rest() || out.rest()
	return p, nil
}

// next is the direction whose row comes next; nil if there is none.
func (t *timeline) next(in, out *rows) *rows {
	switch {
	case !in.has() && !out.has():
		return nil
	case !out.has():
		return in
	case !in.has():
		return out
	}
	// Of the same moment, the inbound came before what answered it.
	inFirst := !in.messages[in.taken].At.After(out.messages[out.taken].At)
	if inFirst == t.q.forward {
		return in
	}
	return out
}

func (r *rows) whole() bool { return r != nil && r.all }

func (r *rows) has() bool { return r != nil && r.taken < len(r.messages) }

// rest reports whether there is something behind what was taken.
func (r *rows) rest() bool { return r != nil && (r.more || r.taken < len(r.messages)) }

// rows reads a page of one direction from a cursor on.
func (t *timeline) rows(ctx context.Context, sends bool, from string) (*rows, error) {
	s := t.q.Search
	s.Sends, s.Limit = sends, t.q.limit
	if sends {
		s.Fates = nil
	} else {
		s.Statuses = nil
	}
	reversed, newest := false, cursor{}
	switch {
	case !t.q.forward:
		s.Before = from
	case from != "":
		s.After = from
	default: // forward from nothing: the journal was empty
		var err error
		if newest, err = t.newest(ctx); err != nil {
			return nil, err
		}
		s.Limit, reversed = limitMost, true
	}
	found, err := t.archive.Search(ctx, s)
	if err != nil {
		return nil, err
	}
	r := &rows{search: s, messages: t.messages(found), cursor: found.Cursor, more: found.More}
	if reversed {
		slices.Reverse(r.messages)
		r.more, r.all = false, true
		if r.cursor = newest.in; sends {
			r.cursor = newest.out
		}
	}
	return r, nil
}

func (t *timeline) messages(f *messaging.Found) []Message {
	m := make([]Message, 0, len(f.Inbounds)+len(f.Sends))
	for _, r := range f.Inbounds {
		m = append(m, inboundOf(r))
	}
	for _, r := range f.Sends {
		m = append(m, sendOf(r, t.doubts))
	}
	return m
}

// behind is the cursor behind what was taken of a direction. Where that is not the whole
// page, the store is asked for just as much again, since it gives a cursor for the end of a
// page only. New rows may have come meanwhile: then a little more is asked for.
func (t *timeline) behind(ctx context.Context, r *rows, start string) (string, error) {
	switch {
	case r == nil:
		return start, nil
	case r.taken == len(r.messages):
		return cmp.Or(r.cursor, start), nil
	case r.taken == 0:
		return start, nil
	}
	last := r.messages[r.taken-1].ID
	s := r.search
	s.Limit = r.taken
	for s.Limit <= limitMost {
		found, err := t.archive.Search(ctx, s)
		if err != nil {
			return "", err
		}
		m := t.messages(found)
		at := slices.IndexFunc(m, func(m Message) bool { return m.ID == last })
		switch {
		case at == len(m)-1:
			return found.Cursor, nil
		case at >= 0 || len(m) < s.Limit: // what was taken is gone meanwhile, or a part of it
			return start, nil
		}
		s.Limit++
	}
	return start, nil
}

// newest is where a search stands that wants what is newer than everything there is.
func (t *timeline) newest(ctx context.Context) (c cursor, err error) {
	for sends, at := range map[bool]*string{false: &c.in, true: &c.out} {
		found, err := t.archive.Search(ctx, messaging.Search{Sends: sends, Limit: 1})
		if err != nil {
			return cursor{}, err
		}
		*at = found.Cursor
	}
	return c, nil
}
