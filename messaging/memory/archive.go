package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

const (
	searchLimit = 50
	searchMost  = 1000
)

// Life implements messaging.Archive, from what is still remembered. A state event that no
// send is known for is shown in the place of an inbound.
func (s *Store) Life(ctx context.Context, id string) (*messaging.Life, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look up a message: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.findEvent(id); e != nil && e.ev.Send == nil {
		l := &messaging.Life{Inbound: e.record()}
		for _, of := range e.sends {
			if d := s.findSend(of); d != nil {
				l.Sends = append(l.Sends, s.whole(d))
			}
		}
		return l, nil
	} else if e != nil {
		return s.lifeOf(s.findSend(e.ref.ID))
	}
	return s.lifeOf(s.lookUp(id))
}

// lifeOf tells the life of a send; nil stands for none.
func (s *Store) lifeOf(d *send) (*messaging.Life, error) {
	if d == nil {
		return nil, messaging.ErrUnknown
	}
	l := &messaging.Life{Sends: []*messaging.SendRecord{s.whole(d)}}
	if d.InReplyTo != "" {
		if e := s.findEvent(d.InReplyTo); e != nil {
			l.Inbound = e.record()
		}
	}
	return l, nil
}

// findEvent finds an event by its id, or an inbound by the platform's.
func (s *Store) findEvent(id string) (found *event) {
	if id == "" {
		return nil
	}
	if e := s.events[id]; e != nil {
		return e
	}
	if e := s.buried[id]; e != nil {
		return e
	}
	s.everyEvent(func(e *event) bool {
		if e.ev.ID == id {
			found = e
			return false
		}
		if e.ev.MessageID == id && e.ev.Kind == messaging.KindMessage {
			found = e // unless another has it for its own
		}
		return true
	})
	return found
}

// findSend finds a send by its id.
func (s *Store) findSend(id uuid.UUID) *send {
	if d := s.sends[id]; d != nil {
		return d
	}
	return s.anySend(func(d *send) bool { return d.ID == id })
}

// lookUp finds a send by its own id, an attempt's id or tag, the platform's id of its
// message, or its key.
func (s *Store) lookUp(id string) *send {
	attempt, tagged := messaging.AttemptTag([]string{id})
	if !tagged {
		attempt, _ = uuid.Parse(id)
		if d := s.findSend(attempt); d != nil && attempt != uuid.Nil {
			return d
		}
	}
	if attempt != uuid.Nil {
		if d := s.byAttempt(attempt); d != nil {
			return d
		}
	}
	if pos, ok := s.messages.find(s.hash.digest(id)); ok {
		if row := s.messageRow[pos]; s.tracks[row].message == pos+1 {
			if d, _ := s.sendOf(&s.tracks[row]); d != nil {
				return d
			}
		}
	}
	return s.anySend(func(d *send) bool { return d.Key == id && id != "" })
}

// byAttempt finds a send by any attempt at it.
func (s *Store) byAttempt(id uuid.UUID) *send {
	return s.anySend(func(d *send) bool {
		return d.attempt.ID == id ||
			slices.ContainsFunc(d.earlier, func(a *messaging.AttemptRecord) bool { return a.Attempt.ID == id })
	})
}

// everyEvent calls f for everything that is remembered, until it says false.
func (s *Store) everyEvent(f func(*event) bool) {
	going := true
	on := func(e *event) bool {
		going = going && f(e)
		return going
	}
	for e := s.firstEvent; e != nil && going; e = e.next {
		on(e)
	}
	s.dead.all(on)
	s.done.all(on)
}

// everySend does the same for sends.
func (s *Store) everySend(f func(*send) bool) {
	going := true
	on := func(d *send) bool {
		going = going && f(d)
		return going
	}
	for d := s.firstSend; d != nil && going; d = d.next {
		on(d)
	}
	s.left.all(on)
}

func (s *Store) anySend(is func(*send) bool) (found *send) {
	s.everySend(func(d *send) bool {
		if is(d) {
			found = d
		}
		return found == nil
	})
	return found
}

// record shows an event as it stands.
func (e *event) record() *messaging.EventRecord {
	ev := e.copy()
	ev.Frame = nil
	return &messaging.EventRecord{
		Event: ev, JournaledAt: e.journaled, Finished: e.fate != messaging.FateRetry, Fate: e.fate, FinishedAt: e.finished,
		RetryAt: e.retryAt, Attempt: ev.Attempt, Err: e.err, Handler: e.handler, Sends: slices.Clone(e.sends), Forgotten: e.forgotten,
	}
}

// record shows a send with its newest attempt.
func (s *Store) record(d *send) *messaging.SendRecord {
	r := &messaging.SendRecord{Send: d.Shown(), Status: s.statusOf(d), Reason: d.reason, Forgotten: d.forgotten}
	if a := s.attemptRecord(d); a != nil {
		s.complete(a)
		r.Attempts = []*messaging.AttemptRecord{a}
	}
	return r
}

// statusOf is the status of a send; unknown for one whose last word is overdue.
func (s *Store) statusOf(d *send) messaging.Status {
	since := d.CreatedAt
	if d.attempt.ID != uuid.Nil {
		since = d.attempt.ClaimedAt
	}
	switch d.status {
	case messaging.StatusAccepted, messaging.StatusSent:
		if s.now.Sub(since) >= messaging.LastWord {
			return messaging.StatusUnknown
		}
	}
	return d.status
}

// whole shows a send with all attempts and their states.
func (s *Store) whole(d *send) *messaging.SendRecord {
	r := s.record(d)
	for i, a := range d.earlier {
		again := *a
		s.complete(&again)
		r.Attempts = slices.Insert(r.Attempts, i, &again)
	}
	states := map[uuid.UUID][]*event{}
	s.everyEvent(func(e *event) bool {
		if e.ev.Send != nil && e.ref.ID == d.ID {
			states[e.ref.Attempt] = append(states[e.ref.Attempt], e)
		}
		return true
	})
	for _, a := range r.Attempts {
		of := states[a.Attempt.ID]
		slices.SortFunc(of, func(a, b *event) int { return cmp.Compare(a.ev.Seq, b.ev.Seq) })
		for _, e := range of {
			a.States = append(a.States, e.record())
		}
	}
	return r
}

// complete adds what became known of an attempt after its report.
func (s *Store) complete(a *messaging.AttemptRecord) {
	pos, ok := s.attempts.find(digest(a.Attempt.ID))
	if !ok {
		return
	}
	t := &s.tracks[pos]
	a.Outcome, a.MessageID = outcomes[t.outcome], t.messageID
}

// Forget implements messaging.Archive.
func (s *Store) Forget(ctx context.Context, theirs messaging.Number) (changed, unfinished int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, fmt.Errorf("forget a number: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.everyEvent(func(e *event) bool {
		switch {
		case e.ev.Conversation().Theirs != theirs:
		case e.fate == messaging.FateRetry:
			unfinished++
		case !e.forgotten && (e.ev.Body != "" || len(e.ev.Media)+len(e.ev.Frame) > 0):
			s.forgetEvent(e)
			changed++
		}
		return true
	})
	s.everySend(func(d *send) bool {
		switch {
		case d.To != theirs:
		case s.sends[d.ID] == d:
			unfinished++
		case !d.forgotten && (d.Body != "" || len(d.Media) > 0):
			s.forgetText(d)
			changed++
		}
		return true
	})
	if theirs != "" {
		changed += s.values.forget(theirs)
	}
	return changed, unfinished, nil
}

func (s *Store) forgetEvent(e *event) {
	e.ev.Body, e.ev.Media, e.ev.Frame, e.forgotten = "", nil, nil, true
	size, at := eventSize(&e.ev), s.done
	if e.fate == messaging.FateDead {
		at = s.dead
	}
	at.shrink(e.size - size)
	e.size = size
}

var (
	errCursor = errors.New("memory: a search's Before or After is not the cursor of an answer; begin without one")
	errBoth   = errors.New("memory: a search goes Before a cursor or After one, not both")
)

// row is something that a search may find.
type row struct {
	seq  int64
	body string
	ev   *event
	send *send
}

// Search implements messaging.Archive. Texts are looked through while commits go on.
func (s *Store) Search(ctx context.Context, q messaging.Search) (*messaging.Found, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("search the journal: %w", err)
	}
	if q.Limit <= 0 {
		q.Limit = searchLimit
	}
	q.Limit = min(q.Limit, searchMost)
	kind := "e"
	if q.Sends {
		kind = "s"
	}
	from, err := cursor(&q, kind)
	if err != nil {
		return nil, err
	}
	rows := s.candidates(&q, from)
	if q.Text != "" {
		text := lower(q.Text)
		rows = slices.DeleteFunc(rows, func(r row) bool { return !strings.Contains(lower(r.body), text) })
	}
	slices.SortFunc(rows, func(a, b row) int {
		if q.After != "" {
			return cmp.Compare(a.seq, b.seq)
		}
		return cmp.Compare(b.seq, a.seq)
	})
	f := &messaging.Found{More: len(rows) > q.Limit}
	rows = rows[:min(len(rows), q.Limit)]
	if len(rows) > 0 {
		f.Cursor = kind + strconv.FormatInt(rows[len(rows)-1].seq, 10)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rows {
		switch { // unless it was forgotten meanwhile
		case r.ev != nil && r.ev.ev.Seq == r.seq:
			f.Inbounds = append(f.Inbounds, r.ev.record())
		case r.send != nil && r.send.seq == r.seq:
			f.Sends = append(f.Sends, s.record(r.send))
		}
	}
	return f, nil
}

// cursor gives the place that a search begins from; 0 for the newest.
func cursor(q *messaging.Search, kind string) (int64, error) {
	c := q.Before
	if q.After != "" {
		if c != "" {
			return 0, errBoth
		}
		c = q.After
	}
	if c == "" {
		return 0, nil
	}
	n, ok := strings.CutPrefix(c, kind)
	seq, err := strconv.ParseInt(n, 10, 64)
	if !ok || err != nil {
		return 0, errCursor
	}
	return seq, nil
}

// lower puts ASCII letters into lower case.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// candidates gives what a search wants, whatever the text.
func (s *Store) candidates(q *messaging.Search, from int64) (rows []row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	beyond := func(seq int64) bool {
		return q.Before == "" && q.After == "" || q.Before != "" && seq < from || q.After != "" && seq > from
	}
	if q.Sends {
		s.everySend(func(d *send) bool {
			if beyond(d.seq) && (q.Number == "" || d.From == q.Number || d.To == q.Number) && (q.Context == "" || d.Context == q.Context) &&
				(q.Since.IsZero() || !d.CreatedAt.Before(q.Since)) && (q.Until.IsZero() || d.CreatedAt.Before(q.Until)) &&
				(len(q.Statuses) == 0 || slices.Contains(q.Statuses, s.statusOf(d))) {
				body := d.Body
				if d.Secret {
					body = "" // no search finds it
				}
				rows = append(rows, row{d.seq, body, nil, d})
			}
			return true
		})
		return rows
	}
	s.everyEvent(func(e *event) bool {
		ev := &e.ev
		if ev.Kind == messaging.KindMessage && beyond(ev.Seq) && (q.Number == "" || ev.From == q.Number || ev.To == q.Number) &&
			(q.Context == "" || ev.Context == q.Context) && (q.Since.IsZero() || !ev.ReceivedAt.Before(q.Since)) &&
			(q.Until.IsZero() || ev.ReceivedAt.Before(q.Until)) && (len(q.Fates) == 0 || slices.Contains(q.Fates, e.fate)) {
			rows = append(rows, row{ev.Seq, ev.Body, e, nil})
		}
		return true
	})
	return rows
}
