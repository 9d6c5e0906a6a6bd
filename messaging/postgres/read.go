package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

// concerns are the ids that a batch speaks of.
type concerns struct {
	ours, theirs []string // conversations to lock
	events       []string
	revives      []string
	keys         []string
	replyEvents  []string // of keys that a reply to an event may have
	sends        []uuid.UUID
	attempts     []uuid.UUID
	messages     []string // of states and reports
	stateOf      []string // of states
	states       bool
	inserts      int

	changed    []string    // numbers whose consent changes
	stopped    []string    // of these, those that opt out
	recipients []string    // of sends that are inserted with an attempt
	claims     []uuid.UUID // sends that are claimed

	pairs          map[messaging.Conversation]bool // to lock
	failedAttempts []uuid.UUID                     // whose sends may wait again
	failedMessages []string
}

func concernsOf(b *messaging.Batch) *concerns {
	c := &concerns{pairs: map[messaging.Conversation]bool{}}
	outs := func(event string, o *messaging.Outcome) {
		if o == nil {
			return
		}
		for _, out := range o.Sends {
			c.outgoing(out, event)
		}
	}
	revived := map[string]bool{}
	for _, v := range b.Revives {
		revived[v.EventID] = !v.Drop
	}
	for _, a := range b.Appends {
		c.events = append(c.events, a.Event.ID)
		if !final(a.Outcome) || a.Early || revived[a.Event.ID] {
			c.pairs[conversationOf(a.Event)] = true
		}
		outs(a.Event.ID, a.Outcome)
		if a.Event.Kind == messaging.KindState {
			c.state(a)
		}
	}
	for _, x := range b.Settles {
		c.events = append(c.events, x.Event.ID)
		outs(x.Event.ID, x.Outcome)
	}
	for _, q := range b.Enqueues {
		c.outgoing(q.Outgoing, "")
	}
	for _, cl := range b.Claims {
		c.sends = append(c.sends, cl.SendID)
	}
	for _, r := range b.Reports {
		c.sends = append(c.sends, r.SendID)
		if r.MessageID != "" {
			c.messages = append(c.messages, r.MessageID)
		}
	}
	for _, v := range b.Revives {
		c.events = append(c.events, v.EventID)
		if !v.Drop {
			c.revives = append(c.revives, v.EventID)
		}
	}
	c.consent(b)
	return c
}

func (c *concerns) state(a *messaging.Append) {
	c.states = true
	if tag, ok := messaging.AttemptTag(a.Event.Tags); ok {
		c.attempts = append(c.attempts, tag)
		if a.Redeliver != nil {
			c.failedAttempts = append(c.failedAttempts, tag)
		}
	}
	if id := a.Event.MessageID; id != "" {
		c.messages, c.stateOf = append(c.messages, id), append(c.stateOf, id)
		if a.Redeliver != nil {
			c.failedMessages = append(c.failedMessages, id)
		}
	}
}

func (c *concerns) outgoing(out *messaging.Outgoing, event string) {
	c.inserts++
	c.pairs[out.Conversation()] = true
	if out.Key == "" {
		return
	}
	c.keys = append(c.keys, out.Key)
	if of, _, ok := replyKey(out.Key); ok && of != event {
		c.replyEvents = append(c.replyEvents, of)
	}
}

// sort puts the conversations in the one order in which every instance locks them.
func (c *concerns) sort() {
	order := make([]messaging.Conversation, 0, len(c.pairs))
	for p := range c.pairs {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b messaging.Conversation) int {
		if n := strings.Compare(string(a.Ours), string(b.Ours)); n != 0 {
			return n
		}
		return strings.Compare(string(a.Theirs), string(b.Theirs))
	})
	for _, p := range order {
		c.ours, c.theirs = append(c.ours, string(p.Ours)), append(c.theirs, string(p.Theirs))
	}
}

const (
	// Every instance locks in this order.
	holdConversations = `SELECT c.id, c.ours, c.theirs, c.owner FROM conversations c JOIN unnest($1::text[], $2::text[]) AS w(ours, theirs) USING (ours, theirs)
		ORDER BY c.ours COLLATE "C", c.theirs COLLATE "C" FOR NO KEY UPDATE OF c`
	// Statements of their own, after the lock: their snapshot sees what others committed
	// while that one waited.
	findUnheld = `SELECT DISTINCT e.conversation FROM conversations c JOIN unnest($1::text[], $2::text[]) AS w(ours, theirs) USING (ours, theirs)
		JOIN events e ON e.conversation = c.id AND e.fate = 0 AND e.holder IS DISTINCT FROM c.owner`
	addConversations = `INSERT INTO conversations (ours, theirs, owner) SELECT ours, theirs, $3 FROM unnest($1::text[], $2::text[]) AS w(ours, theirs)
		ORDER BY ours COLLATE "C", theirs COLLATE "C" ON CONFLICT DO NOTHING`
	takeConversations = `UPDATE conversations c SET owner = $2 WHERE c.id = ANY($1) AND (
			NOT EXISTS (SELECT 1 FROM instances i WHERE i.owner = c.owner)
			OR NOT EXISTS (SELECT 1 FROM events e WHERE e.conversation = c.id AND e.fate = 0)
			AND NOT EXISTS (SELECT 1 FROM sends s WHERE s.conversation = c.id AND s.status IN (1, 2, 3)))
		RETURNING c.id, EXISTS (SELECT 1 FROM events e WHERE e.conversation = c.id AND e.fate = 0)`

	readEvents = `SELECT e.id, e.seq, e.fate, e.attempt, e.retry_at, e.error, e.handler, e.conversation, e.holder, c.owner
		FROM events e LEFT JOIN conversations c ON c.id = e.conversation WHERE e.id = ANY($1)`
	drawEvents = `SELECT nextval('events_order') FROM generate_series(1, $1)`
	drawSends  = `SELECT nextval('sends_order') FROM generate_series(1, $1)`

	sendColumns = `s.id, s.seq, s.conversation, s.key, s.context, s.from_number, s.to_number, s.body, s.media, s.tags, s.priority, s.category,
		s.not_before, s.expires_at, s.in_reply_to, s.created_at, s.status, s.reason, s.settled, s.ordinal, s.callback, s.custom, s.secret`
	readKeys    = `SELECT ` + sendColumns + ` FROM sends s WHERE s.key = ANY($1)`
	readReplies = `SELECT ` + sendColumns + ` FROM events e JOIN sends s ON s.id = ANY(e.sends) WHERE e.id = ANY($1) AND s.ordinal IS NOT NULL`
	attemptList = `a.id, a.send_id, a.number, a.claimed_at, a.outcome, a.doubted_at, a.code, a.reason, a.message_id, a.state, a.superseded`

	// What claims and reports speak of.
	lockSends    = `SELECT ` + sendColumns + ` FROM sends s WHERE s.id = ANY($1) ORDER BY s.id FOR NO KEY UPDATE`
	readAttempts = `SELECT ` + attemptList + ` FROM attempts a WHERE a.id IN (SELECT attempt_id FROM sends WHERE id = ANY($1))
		UNION ALL SELECT ` + attemptList + ` FROM attempts a WHERE a.superseded AND a.send_id = ANY($1) ORDER BY 2, 11 NULLS LAST, 3`  // the newest last, whatever its number
	// What states speak of, and what early states that were missed speak of.
	readStated = `SELECT send_id FROM attempts WHERE id = ANY($1)
		UNION SELECT send_id FROM attempts WHERE message_id = ANY($2)
		UNION SELECT a.send_id FROM events e JOIN attempts a ON a.message_id = e.message_id WHERE e.early`
	// The conversations in which the sends of failed attempts would wait again; their events
	// need not say whose messages they speak of.
	readFailed = `SELECT DISTINCT s.from_number, s.to_number FROM sends s WHERE s.id IN (
		SELECT send_id FROM attempts WHERE id = ANY($1) UNION SELECT send_id FROM attempts WHERE message_id = ANY($2))`
	readEarly = `SELECT seq, message_id, state, received_at FROM events
		WHERE early AND (message_id = ANY($1) OR EXISTS (SELECT 1 FROM attempts a WHERE a.message_id = events.message_id)) ORDER BY seq`
)

// read queues the reading of everything that the batch concerns, and locks it.
func (w *working) read(q *pgx.Batch, c *concerns) {
	b := w.batch
	if len(c.ours) > 0 {
		q.Queue(holdConversations, c.ours, c.theirs).Query(w.scanConversations)
		q.Queue(findUnheld, c.ours, c.theirs).Query(w.scanUnheld)
	}
	if len(c.events) > 0 {
		q.Queue(readEvents, c.events).Query(w.scanEvents)
	}
	if n := len(b.Appends); n > 0 {
		q.Queue(drawEvents, n).Query(func(rows pgx.Rows) (err error) {
			w.nextEvent, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
	}
	if c.inserts > 0 {
		q.Queue(drawSends, c.inserts).Query(func(rows pgx.Rows) (err error) {
			w.nextSend, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
	}
	if len(c.keys) > 0 {
		note := func(rows pgx.Rows) error {
			return scanSends(rows, func(s *send) { w.keys[s.Key] = s })
		}
		q.Queue(readKeys, c.keys).Query(note)
		if len(c.replyEvents) > 0 {
			q.Queue(readReplies, c.replyEvents).Query(note)
		}
	}
	if len(c.sends) > 0 {
		q.Queue(lockSends, c.sends).Query(w.scanLocked)
		q.Queue(readAttempts, c.sends).Query(w.scanAttempts)
	}
	if len(c.messages) > 0 {
		q.Queue(readEarly, c.messages).Query(w.scanEarly)
	}
	w.readConsent(q, c)
	w.readValues(q)
}

// readStated finds the sends that states speak of, before they and the conversations that
// they may wait in are locked with the others.
func (w *working) readStated(ctx context.Context, tx pgx.Tx, c *concerns) error {
	if !c.states {
		return nil
	}
	q := &pgx.Batch{}
	q.Queue(readStated, c.attempts, c.stateOf).Query(func(rows pgx.Rows) error {
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		c.sends = append(c.sends, ids...)
		return err
	})
	if len(c.failedAttempts)+len(c.failedMessages) > 0 {
		q.Queue(readFailed, c.failedAttempts, c.failedMessages).Query(func(rows pgx.Rows) error {
			var from, to *string
			_, err := pgx.ForEachRow(rows, []any{&from, &to}, func() error {
				c.pairs[messaging.Conversation{Ours: messaging.Number(orZero(from)), Theirs: messaging.Number(orZero(to))}] = true
				return nil
			})
			return err
		})
	}
	return tx.SendBatch(ctx, q).Close()
}

func (w *working) scanLocked(rows pgx.Rows) error {
	return scanSends(rows, func(s *send) {
		w.sends[s.ID] = s
		if s.Key != "" && w.keys[s.Key] != nil {
			w.keys[s.Key] = s
		}
	})
}

func (w *working) scanConversations(rows pgx.Rows) error {
	var c conversation
	var pair messaging.Conversation
	_, err := pgx.ForEachRow(rows, []any{&c.id, &pair.Ours, &pair.Theirs, &c.owner}, func() error {
		conv := c
		w.conversations[pair], w.byID[c.id] = &conv, &conv
		return nil
	})
	return err
}

func (w *working) scanUnheld(rows pgx.Rows) error {
	var id int64
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		if c := w.byID[id]; c != nil {
			c.unheld = true
		}
		return nil
	})
	return err
}

// makeConversations adds those that are not there yet, and locks them too. Two instances
// may so lock in different orders, once for each conversation; the server tells one of them
// to begin again.
func (w *working) makeConversations(ctx context.Context, tx pgx.Tx, c *concerns) error {
	if len(w.conversations) == len(c.ours) {
		return nil
	}
	if _, err := tx.Exec(ctx, addConversations, c.ours, c.theirs, w.batch.Owner); err != nil {
		return err
	}
	q := &pgx.Batch{}
	q.Queue(holdConversations, c.ours, c.theirs).Query(w.scanConversations)
	q.Queue(findUnheld, c.ours, c.theirs).Query(w.scanUnheld)
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return err
	}
	if len(w.conversations) != len(c.ours) {
		return fmt.Errorf("%w: %d of %d conversations", errRaced, len(w.conversations), len(c.ours))
	}
	return nil
}

// own takes the conversations that are another's and may be had.
func (w *working) own(ctx context.Context, tx pgx.Tx) error {
	var foreign []int64
	for id, c := range w.byID {
		if c.owner != w.batch.Owner {
			foreign = append(foreign, id)
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, takeConversations, foreign, w.batch.Owner)
	if err != nil {
		return err
	}
	var id int64
	var unfinished bool
	_, err = pgx.ForEachRow(rows, []any{&id, &unfinished}, func() error {
		w.byID[id].owner, w.byID[id].unheld = w.batch.Owner, unfinished
		return nil
	})
	return err
}

func (w *working) scanEvents(rows pgx.Rows) error {
	var e event
	var fate int16
	var attempt *int
	var retryAt *int64
	var failure, handler *string
	_, err := pgx.ForEachRow(rows, []any{&e.id, &e.seq, &fate, &attempt, &retryAt, &failure, &handler, &e.conversation, &e.holder, &e.owner}, func() error {
		found := e
		found.fate = decode(fates, fate)
		found.was, found.finished = found.fate, fate != 0
		found.attempt, found.retryAt, found.err, found.handler = orZero(attempt), timeOf(retryAt), orZero(failure), orZero(handler)
		w.events[found.id] = &found
		return nil
	})
	return err
}

// scanSends reads rows of sendColumns.
func scanSends(rows pgx.Rows, f func(*send)) error {
	var s send
	var key, ctx, from, to, body, media, tags, category, inReplyTo, reason *string
	var notBefore int64
	var expires, created *int64
	var status int16
	var settled *bool
	var ordinal *int
	var callback, custom *string
	var secret *bool
	_, err := pgx.ForEachRow(rows, []any{
		&s.ID, &s.seq, &s.conversation, &key, &ctx, &from, &to, &body, &media, &tags, &s.Priority, &category,
		&notBefore, &expires, &inReplyTo, &created, &status, &reason, &settled, &ordinal, &callback, &custom, &secret,
	}, func() error {
		found := s
		found.Key, found.Context, found.From, found.To = orZero(key), orZero(ctx), messaging.Number(orZero(from)), messaging.Number(orZero(to))
		found.Body, found.Category, found.InReplyTo = orZero(body), messaging.Category(orZero(category)), orZero(inReplyTo)
		if ordinal != nil {
			found.byEvent, found.Key = true, found.InReplyTo+"#"+strconv.Itoa(*ordinal)
		}
		found.forgotten = body != nil && *body == ""
		if notBefore != 0 {
			found.NotBefore = timeOf(&notBefore)
		}
		found.ExpiresAt, found.CreatedAt = timeOf(expires), timeOf(created)
		found.status, found.reason, found.settled = decode(statuses, status), orZero(reason), orZero(settled)
		found.Callback, found.Secret = orZero(callback), orZero(secret)
		var err error
		if found.Custom, err = objectOf(custom); err != nil {
			return err
		}
		if found.Media, err = listOf(media); err != nil {
			return err
		}
		if found.Tags, err = listOf(tags); err != nil {
			return err
		}
		f(&found)
		return nil
	})
	return err
}

// scanAttempt reads rows of attemptList; send is left open.
func scanAttempts(rows pgx.Rows, f func(*attempt)) error {
	var a attempt
	var claimed, doubted *int64
	var outcome int16
	var state *int16
	var code, reason, message *string
	var superseded *bool // for the order alone
	_, err := pgx.ForEachRow(rows, []any{&a.ID, &a.SendID, &a.Number, &claimed, &outcome, &doubted, &code, &reason, &message, &state, &superseded}, func() error {
		found := a
		found.ClaimedAt, found.doubtedAt = timeOf(claimed), timeOf(doubted)
		found.outcome, found.state = decode(outcomes, outcome), decode(states, orZero(state))
		found.code, found.reason, found.messageID = orZero(code), orZero(reason), orZero(message)
		f(&found)
		return nil
	})
	return err
}

func (w *working) scanAttempts(rows pgx.Rows) error {
	return scanAttempts(rows, func(a *attempt) {
		s := w.sends[a.SendID]
		if s == nil {
			return // its send came between the two statements, and is nobody's here
		}
		a.send = s
		s.attempts = append(s.attempts, a)
		w.attempts[a.ID] = a
		if a.messageID != "" && a.outcome == messaging.OutcomeAccepted && w.messages[a.messageID] == nil {
			w.messages[a.messageID] = a
		}
	})
}

func (w *working) scanEarly(rows pgx.Rows) error {
	var st earlyState
	var at int64
	_, err := pgx.ForEachRow(rows, []any{&st.seq, &st.message, &st.state, &at}, func() error {
		found := st
		found.at = timeOf(&at)
		w.early[found.message] = append(w.early[found.message], &found)
		return nil
	})
	return err
}

// readRevived reads the dead letters that are to live again, whole, so that their
// conversations can be locked with the others.
func (w *working) readRevived(ctx context.Context, tx pgx.Tx, c *concerns) error {
	if len(c.revives) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT `+recordColumns+recordTables+` WHERE e.id = ANY($1)`, c.revives)
	if err != nil {
		return err
	}
	w.whole = map[string]*messaging.EventRecord{}
	if err := scanRecords(rows, func(r *messaging.EventRecord) { w.whole[r.Event.ID] = r }); err != nil {
		return err
	}
	for _, r := range w.whole {
		c.pairs[conversationOf(r.Event)] = true
	}
	return nil
}

// complete gives the dead letters their texts.
func (w *working) complete() {
	for id, r := range w.whole {
		if e := w.events[id]; e != nil {
			e.ev, e.conv, e.forgotten = r.Event, conversationOf(r.Event), r.Forgotten
		}
	}
}

var errFenced = fmt.Errorf("%w: its lease ran out", messaging.ErrFenced)
