package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// The directions of a message.
const (
	DirectionIn  = "in"  // a person texted one of our numbers
	DirectionOut = "out" // a send of ours
	// DirectionState is a delivery state that no send is known for; only a look-up by its id
	// shows it.
	DirectionState = "state"
)

// Message is one text message as the journal has it. Times are in UTC; a zero time, an empty
// text or list is left out, except where the comment says otherwise.
type Message struct {
	ID        string    `json:"id"`        // of an inbound the event's id, of a send its own; always there
	Direction string    `json:"direction"` // in or out; always there
	At        time.Time `json:"at"`        // in: when the frame was read; out: when it was decided to send; always there
	Context   string    `json:"context"`   // always there
	From      string    `json:"from"`      // always there
	To        string    `json:"to"`        // always there
	Body      string    `json:"body"`      // always there; empty once it is forgotten
	Media     []string  `json:"media,omitempty"`
	Forgotten bool      `json:"forgotten,omitempty"` // the text was removed, by retention or by name

	// Of an inbound.
	Fate        Fate      `json:"fate,omitempty"`         // retry (unfinished), done, dead or dropped
	MessageID   string    `json:"message_id,omitempty"`   // the platform's; of a send that of its newest attempt
	SentAt      time.Time `json:"sent_at,omitzero"`       // by the platform's clock
	JournaledAt time.Time `json:"journaled_at,omitzero"`  // when its commit began; it was acknowledged after that
	FinishedAt  time.Time `json:"finished_at,omitzero"`   // when its fate was decided
	RetryAt     time.Time `json:"retry_at,omitzero"`      // when the chain runs again
	Runs        int       `json:"runs,omitempty"`         // of the chain that failed and counted
	Error       string    `json:"error,omitempty"`        // of the last run
	Handler     string    `json:"handler,omitempty"`      // which one decided
	Sends       []string  `json:"sends,omitempty"`        // ids of what it decided to send
	State       string    `json:"state,omitempty"`        // of a DirectionState
	StateReason string    `json:"state_reason,omitempty"` // of a DirectionState

	// Of a send.
	Status    messaging.Status   `json:"status,omitempty"`
	Reason    string             `json:"reason,omitempty"` // why it is suppressed, expired, deferred or failed
	Key       string             `json:"key,omitempty"`    // its idempotency key
	InReplyTo string             `json:"in_reply_to,omitempty"`
	Category  messaging.Category `json:"category,omitempty"`
	Priority  int                `json:"priority,omitempty"`
	NotBefore time.Time          `json:"not_before,omitzero"` // of a queued one
	ExpiresAt time.Time          `json:"expires_at,omitzero"`
	Attempts  []Attempt          `json:"attempts,omitempty"` // oldest first; in lists the newest only
	Doubt     *Doubt             `json:"doubt,omitempty"`    // of one in doubt
}

// Fate is what became of an inbound, in the words of messaging.Fate.
type Fate string

// Theirs is the person's number.
func (m *Message) Theirs() string {
	if m.Direction == DirectionOut {
		return m.To
	}
	return m.From
}

// Finished reports whether nothing more is to come of an inbound's chain.
func (m *Message) Finished() bool { return m.Fate != FateRetry }

// The fates of an inbound.
const (
	FateRetry   Fate = "retry"
	FateDone    Fate = "done"
	FateDead    Fate = "dead"
	FateDropped Fate = "dropped"
)

// Attempt is one try to put a send on the wire.
type Attempt struct {
	ID        string                   `json:"id"`
	Number    int                      `json:"number"` // 1 for the first
	ClaimedAt time.Time                `json:"claimed_at"`
	Outcome   messaging.AttemptOutcome `json:"outcome"`
	Since     time.Time                `json:"since,omitzero"` // of a doubt
	Code      string                   `json:"code,omitempty"` // of a refusal
	Reason    string                   `json:"reason,omitempty"`
	MessageID string                   `json:"message_id,omitempty"`
	States    []State                  `json:"states,omitempty"` // in arrival order; not in lists
}

// State is a delivery state that the platform reported.
type State struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"` // when the frame was read
	Reason string    `json:"reason,omitempty"`
}

// Doubt says how the doubt about a send ends, unless a delivery state or an operator ends it
// before.
type Doubt struct {
	Since     time.Time `json:"since"`
	AskLogAt  time.Time `json:"ask_log_at,omitzero"` // the platform's message log is asked from then on; absent without one
	SettleAt  time.Time `json:"settle_at"`           // what nothing has settled until then goes by then
	Then      string    `json:"then"`                // hold or resend
	ReleaseAt time.Time `json:"release_at,omitzero"` // under hold: when the conversation goes on
}

// Life is everything about one message.
type Life struct {
	Outcome string    `json:"outcome"` // see the Outcome constants; of a send that nothing asked for, its status
	Inbound *Message  `json:"inbound,omitempty"`
	Sends   []Message `json:"sends"`
	// Consent are the lines of the ledger that bear on it, oldest first: what it said, why its
	// chain was not asked or a send was suppressed, and what its attempts crossed. Only where
	// one message is asked for.
	Consent []ConsentLine `json:"consent,omitempty"`
}

// Page is a part of what a search found.
type Page struct {
	Messages []Message `json:"messages"`
	Cursor   string    `json:"cursor,omitempty"` // for before, or after, to go on behind the last message
	More     bool      `json:"more"`             // there is something behind it
	Newest   string    `json:"newest,omitempty"` // for after: what is newer than this answer; only without before and after
}

// Done is the answer to a request that changed something.
type Done struct {
	ID     string `json:"id"`
	Result string `json:"result"` // replayed, dropped, accepted, resend, failed or cancelled
}

// Forgot is the answer to a request to forget a number.
type Forgot struct {
	Number     string `json:"number"`
	Changed    int64  `json:"changed"`    // messages whose text was removed
	Unfinished int64  `json:"unfinished"` // messages left whole until they are finished
}

// Progress is one line of the answer to something long. The last one has a Result or a Problem.
type Progress struct {
	Done    int64    `json:"done"`
	Total   int64    `json:"total"`
	Result  string   `json:"result,omitempty"`  // of a backup the path, of a replay "replayed"
	Skipped []string `json:"skipped,omitempty"` // dead letters that could not be replayed
	Problem *Problem `json:"problem,omitempty"`
}

// utc makes a time of the journal one of the API.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func idTexts(ids []uuid.UUID) []string {
	var s []string
	for _, id := range ids {
		s = append(s, id.String())
	}
	return s
}

func inboundOf(r *messaging.EventRecord) Message {
	ev := r.Event
	m := Message{
		ID: ev.ID, Direction: DirectionIn, At: utc(ev.ReceivedAt), Context: ev.Context, From: string(ev.From), To: string(ev.To),
		Body: ev.Body, Media: ev.Media, Forgotten: r.Forgotten,
		Fate: Fate(r.Fate.String()), MessageID: ev.MessageID, SentAt: utc(ev.SentAt), JournaledAt: utc(r.JournaledAt),
		FinishedAt: utc(r.FinishedAt), RetryAt: utc(r.RetryAt), Runs: r.Attempt, Error: r.Err, Handler: r.Handler, Sends: idTexts(r.Sends),
	}
	if ev.Kind == messaging.KindState {
		m.Direction, m.State, m.StateReason = DirectionState, string(ev.State), ev.Reason
	}
	if r.Finished {
		m.RetryAt = time.Time{}
	}
	return m
}

func sendOf(r *messaging.SendRecord, p Doubts) Message {
	s := &r.Send
	m := Message{
		ID: s.ID.String(), Direction: DirectionOut, At: utc(s.CreatedAt), Context: s.Context, From: string(s.From), To: string(s.To),
		Body: s.Body, Media: s.Media, Forgotten: r.Forgotten,
		Status: r.Status, Reason: r.Reason, Key: s.Key, InReplyTo: s.InReplyTo, Category: s.Category, Priority: int(s.Priority), ExpiresAt: utc(s.ExpiresAt),
	}
	if r.Status == messaging.StatusQueued {
		m.NotBefore = utc(s.NotBefore)
	}
	for _, a := range r.Attempts {
		m.Attempts = append(m.Attempts, attemptOf(a))
		m.MessageID = a.MessageID
	}
	if r.Status == messaging.StatusInDoubt && len(r.Attempts) > 0 {
		m.Doubt = p.of(r.Attempts[len(r.Attempts)-1].Since)
	}
	return m
}

func attemptOf(r *messaging.AttemptRecord) Attempt {
	a := Attempt{
		ID: r.Attempt.ID.String(), Number: r.Attempt.Number, ClaimedAt: utc(r.Attempt.ClaimedAt), Outcome: r.Outcome,
		Since: utc(r.Since), Code: r.Code, Reason: r.Reason, MessageID: r.MessageID,
	}
	for _, st := range r.States {
		a.States = append(a.States, State{State: string(st.Event.State), At: utc(st.Event.ReceivedAt), Reason: st.Event.Reason})
	}
	return a
}

// Doubts is how the daemon ends doubts.
type Doubts struct {
	Log                   bool // there is a message log to ask
	Wait, Settle, Release time.Duration
	Then                  string // hold or resend
}

func (p Doubts) of(since time.Time) *Doubt {
	d := &Doubt{Since: utc(since), SettleAt: utc(since.Add(p.Wait)), Then: p.Then}
	if p.Log {
		d.AskLogAt, d.SettleAt = utc(since.Add(p.Wait)), utc(since.Add(p.Settle))
	}
	if p.Then == "hold" {
		d.ReleaseAt = utc(since.Add(p.Release))
	}
	return d
}

func lifeOf(l *messaging.Life, p Doubts) *Life {
	life := &Life{Sends: []Message{}}
	if l.Inbound != nil {
		in := inboundOf(l.Inbound)
		life.Inbound = &in
	}
	for _, s := range l.Sends {
		life.Sends = append(life.Sends, sendOf(s, p))
	}
	life.Outcome = outcome(life)
	return life
}

// The outcomes of an inbound, as it is accounted for.
const (
	OutcomeAnswered      = "answered"       // the platform took at least one reply
	OutcomeNothingWanted = "nothing_wanted" // the chain decided to send nothing
	OutcomeSuppressed    = "suppressed"     // a rule or an operator kept the reply from leaving
	OutcomeExpired       = "expired"        // the reply could not leave in time
	OutcomeFailed        = "failed"         // the platform refused the reply
	OutcomeInDoubt       = "in_doubt"       // the reply may or may not have left
	OutcomeWaiting       = "waiting"        // the chain or the reply has yet to come
	OutcomeDead          = "dead"           // the chain failed for good; it can be replayed
	OutcomeDropped       = "dropped"        // a dead letter that an operator let go
	OutcomeForgotten     = "forgotten"      // its replies are no longer in the journal
)

func outcome(l *Life) string {
	in := l.Inbound
	switch {
	case in == nil && len(l.Sends) > 0:
		return string(l.Sends[0].Status)
	case in == nil:
		return ""
	case in.Fate == FateDead:
		return OutcomeDead
	case in.Fate == FateDropped:
		return OutcomeDropped
	case !in.Finished():
		return OutcomeWaiting
	case len(l.Sends) == 0 && len(in.Sends) > 0:
		return OutcomeForgotten
	case len(l.Sends) == 0:
		return OutcomeNothingWanted
	}
	return OutcomeOf(l.Sends)
}

// Answers are those of the sends that an inbound led to which answer it: replies, if there
// are any, since what else was decided with them, such as a reminder, leaves in its own time.
func Answers(sends []Message) []Message {
	var answers []Message
	for _, s := range sends {
		if s.Category == messaging.CategoryReply || s.Category == messaging.CategoryConsent {
			answers = append(answers, s)
		}
	}
	if len(answers) == 0 {
		return sends
	}
	return answers
}

// OutcomeOf is the outcome of an inbound that led to the sends: that of the answer that got
// furthest.
func OutcomeOf(sends []Message) string {
	best, rank := OutcomeFailed, 0
	for _, s := range Answers(sends) {
		got, r := OutcomeFailed, 1
		switch {
		case s.Status.Accepted() || s.Status == messaging.StatusFailed && s.MessageID != "":
			got, r = OutcomeAnswered, 6
		case s.Status == messaging.StatusInDoubt:
			got, r = OutcomeInDoubt, 5
		case !s.Status.Terminal():
			got, r = OutcomeWaiting, 4
		case s.Status == messaging.StatusExpired:
			got, r = OutcomeExpired, 3
		case s.Status == messaging.StatusSuppressed || s.Status == messaging.StatusCancelled:
			got, r = OutcomeSuppressed, 2
		}
		if r > rank {
			best, rank = got, r
		}
	}
	return best
}
