package postgres

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// working is what a batch concerns of the journal, in memory: the rows as they were read
// under lock, and as the operations leave them.
type working struct {
	batch *messaging.Batch

	conversations map[messaging.Conversation]*conversation
	byID          map[int64]*conversation
	events        map[string]*event // by id
	sends         map[uuid.UUID]*send
	attempts      map[uuid.UUID]*attempt
	messages      map[string]*attempt // by the platform's message id
	keys          map[string]*send
	early         map[string][]*earlyState          // by message id, oldest first
	whole         map[string]*messaging.EventRecord // dead letters that are to live again
	stands        map[messaging.Number][]messaging.ConsentState
	crossing      map[messaging.Number][]uuid.UUID // attempts under way that others have claimed
	values        values
	head          messaging.ConsentEntry // the ledger's last line; of one that was read, Seq and Hash

	// What is written, in order.
	newEvents, changedEvents     []*event
	newSends, changedSends       []*send
	newAttempts, changedAttempts []*attempt
	matched                      []*earlyState
	lines                        []messaging.ConsentEntry
	keptEarly                    bool

	nextEvent, nextSend []int64            // places drawn from the sequences
	notify              map[uuid.UUID]bool // owners that were left something

	now  time.Time // the batch's, as it is stored
	undo []func()  // makes the batch as it was asked
}

type conversation struct {
	id     int64
	owner  uuid.UUID
	unheld bool // an unfinished event of it is in nobody's memory
}

// event is a row of events.
type event struct {
	id           string
	seq          int64
	conversation *int64
	holder       *uuid.UUID
	ev           *messaging.Event // of a new one
	owner        *uuid.UUID       // of its conversation, as it was read
	fate         messaging.Fate
	was          messaging.Fate // as it was read
	attempt      int
	retryAt      time.Time
	err, handler string
	finished     bool
	sends        []uuid.UUID
	attemptID    *uuid.UUID
	early        bool
	forgotten    bool // its text was removed
	fresh, dirty bool
	conv         messaging.Conversation
}

// send is a row of sends with its attempts.
type send struct {
	messaging.Send
	seq          int64
	conversation int64
	status       messaging.Status
	reason       string
	settled      bool
	forgotten    bool
	byEvent      bool       // decided by the event that it answers
	attempts     []*attempt // by number
	fresh, dirty bool
}

func (s *send) newest() *attempt {
	if len(s.attempts) == 0 {
		return nil
	}
	return s.attempts[len(s.attempts)-1]
}

func (s *send) newestID() *uuid.UUID {
	if a := s.newest(); a != nil {
		return &a.ID
	}
	return nil
}

// ordinal is the last part of the key that the engine gives to a reply, if the send has
// that key: it follows from the event, which decides only once, and needs no place in an
// index.
func (s *send) ordinal() (n int, ok bool) {
	event, n, ok := replyKey(s.Key)
	return n, ok && s.byEvent && event == s.InReplyTo
}

// replyKey takes the engine's key of a reply apart: the event's id and the ordinal.
func replyKey(key string) (event string, ordinal int, ok bool) {
	i := strings.LastIndexByte(key, '#')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(key[i+1:], 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != key[i+1:] {
		return "", 0, false
	}
	return key[:i], int(n), true
}

// attempt is a row of attempts.
type attempt struct {
	messaging.Attempt
	send         *send
	outcome      messaging.AttemptOutcome
	doubtedAt    time.Time
	code, reason string
	messageID    string
	state        messaging.State
	fresh, dirty bool
}

type earlyState struct {
	seq     int64
	message string
	state   messaging.State
	at      time.Time
	attempt uuid.UUID // that took it
	event   *event    // of one that this batch brings
}

func newWorking(b *messaging.Batch) *working {
	return &working{
		batch: b, conversations: map[messaging.Conversation]*conversation{}, byID: map[int64]*conversation{}, events: map[string]*event{},
		sends: map[uuid.UUID]*send{}, attempts: map[uuid.UUID]*attempt{}, messages: map[string]*attempt{},
		keys: map[string]*send{}, early: map[string][]*earlyState{}, notify: map[uuid.UUID]bool{},
		stands: map[messaging.Number][]messaging.ConsentState{}, crossing: map[messaging.Number][]uuid.UUID{}, now: b.Now.UTC().Truncate(time.Millisecond),
	}
}

func (w *working) changedEvent(e *event) {
	if !e.fresh && !e.dirty {
		e.dirty = true
		w.changedEvents = append(w.changedEvents, e)
	}
}

func (w *working) changedSend(s *send) {
	if !s.fresh && !s.dirty {
		s.dirty = true
		w.changedSends = append(w.changedSends, s)
	}
}

func (w *working) changedAttempt(a *attempt) {
	if !a.fresh && !a.dirty {
		a.dirty = true
		w.changedAttempts = append(w.changedAttempts, a)
	}
}

// conversationOf is the conversation that an event waits in. A state that does not say
// whose message it speaks of stands for itself.
func conversationOf(ev *messaging.Event) messaging.Conversation {
	c := ev.Conversation()
	if c == (messaging.Conversation{}) {
		c.Theirs = messaging.Number(ev.MessageID)
	}
	return c
}

func final(o *messaging.Outcome) bool { return o != nil && o.Fate != messaging.FateRetry }
