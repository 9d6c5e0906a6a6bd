package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// Standing is where a number stands in one scope.
type Standing struct {
	Number   string    `json:"number"`
	Scope    string    `json:"scope"` // global, number:+15551234567 or context:support
	OptedOut bool      `json:"opted_out"`
	Review   bool      `json:"review"`         // somebody has to read what the person wrote
	Since    time.Time `json:"since,omitzero"` // when one of the two last changed
	Seq      int64     `json:"seq"`            // of the ledger's last line about it
}

// Standings is a part of where the numbers stand, those that changed last at the end.
type Standings struct {
	States []Standing `json:"states"`
	Cursor string     `json:"cursor,omitempty"` // for after, to go on
	More   bool       `json:"more"`             // there may be something behind it
}

// ConsentLine is a line of the ledger.
type ConsentLine struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"` // when it was written
	Number     string    `json:"number"`
	Scope      string    `json:"scope"`
	Change     string    `json:"change"`  // stop, start, review or keep
	Origin     string    `json:"origin"`  // message, handler, platform, operator or import
	Changed    bool      `json:"changed"` // it altered where the number stands
	EventID    string    `json:"event_id,omitempty"`
	Ours       string    `json:"ours,omitempty"`
	Context    string    `json:"context,omitempty"`
	SentAt     time.Time `json:"sent_at,omitzero"` // by the platform's clock; of an operator or a list, when it was said
	ReceivedAt time.Time `json:"received_at,omitzero"`
	Tier       string    `json:"tier,omitempty"`
	Word       string    `json:"word,omitempty"`
	Rule       string    `json:"rule,omitempty"`
	Actor      string    `json:"actor,omitempty"`
	Note       string    `json:"note,omitempty"`
	Crossing   []string  `json:"crossing,omitempty"` // attempts that were on the wire then
	Hash       string    `json:"hash"`
}

// ConsentOf is where a number stands, and why.
type ConsentOf struct {
	Number  string        `json:"number"`
	States  []Standing    `json:"states"`
	Entries []ConsentLine `json:"entries"` // oldest first
	More    bool          `json:"more"`    // there are newer ones; go on with after
}

// ReviewItem is something that a person has to read.
type ReviewItem struct {
	Standing

	Line    *ConsentLine `json:"line,omitempty"`    // why
	Message *Message     `json:"message,omitempty"` // what was written, if the journal has it
}

// Reviews is a part of what has to be read, the oldest first.
type Reviews struct {
	Reviews []ReviewItem `json:"reviews"`
	Cursor  string       `json:"cursor,omitempty"` // for after, to go on
	More    bool         `json:"more"`
}

// Change is what an operator says about a person's consent.
type Change struct {
	Number string `json:"number"`
	Change string `json:"change"` // stop, start or keep
	// Scope is where; without it a stop is global, and a start or a keep ends what holds the
	// number back in any scope.
	Scope  string    `json:"scope,omitempty"`
	Actor  string    `json:"actor"`            // who says so
	Note   string    `json:"note,omitempty"`   // on what ground
	SaidAt time.Time `json:"said_at,omitzero"` // when the person said it
	Source string    `json:"source,omitempty"` // operator, which it is without it, or import
}

// Changed says what a change did.
type Changed struct {
	Standing

	Changed bool `json:"changed"`
}

// ChangesDone is the answer to changes of consent.
type ChangesDone struct {
	Changed   int       `json:"changed"`   // how many altered where a number stands
	Unchanged int       `json:"unchanged"` // how many found it so
	Results   []Changed `json:"results"`
}

// LedgerWhole says whether the ledger is as it was written.
type LedgerWhole struct {
	OK      bool   `json:"ok"`
	Entries int64  `json:"entries"`          // that are right, from the first on
	Hash    string `json:"hash,omitempty"`   // of the last of these
	Detail  string `json:"detail,omitempty"` // what is wrong
}

// ChangesMost is how many changes one request may have: those of one transaction.
const ChangesMost = 1000

// scopeGlobal is how the API writes messaging.ScopeAll.
const scopeGlobal = "global"

func scopeText(s messaging.Scope) string {
	if s == messaging.ScopeAll {
		return scopeGlobal
	}
	return string(s)
}

// ParseScope reads a scope as the API writes it.
func ParseScope(text string) (messaging.Scope, error) {
	kind, of, _ := strings.Cut(text, ":")
	switch {
	case text == scopeGlobal:
		return messaging.ScopeAll, nil
	case kind == "context" && of != "":
		return messaging.ContextScope(of), nil
	case kind == "number":
		if n, err := ParseConsentNumber(of); err == nil {
			return messaging.NumberScope(n), nil
		}
	}
	return "", errors.New("a scope is global, number: and one of our numbers, or context: and its name")
}

// ParseConsentNumber reads a number as lists and people have it; see sms.ParseNumber. Its
// error does not repeat the number.
func ParseConsentNumber(text string) (messaging.Number, error) {
	p, err := sms.ParseNumber(text)
	return messaging.Number(p.Number), err
}

func standingOf(st messaging.ConsentState) Standing {
	return Standing{string(st.Number), scopeText(st.Scope), st.OptedOut, st.Review, utc(st.Since), st.Seq}
}

func lineOf(e *messaging.ConsentEntry) ConsentLine {
	return ConsentLine{
		Seq: e.Seq, At: utc(e.At), Number: string(e.Number), Scope: scopeText(e.Scope), Change: string(e.Verb), Origin: string(e.Origin), Changed: e.Changed,
		EventID: e.EventID, Ours: string(e.Ours), Context: e.Context, SentAt: utc(e.SentAt), ReceivedAt: utc(e.ReceivedAt),
		Tier: e.Tier, Word: e.Word, Rule: e.Rule, Actor: e.Actor, Note: e.Note, Crossing: idTexts(e.Crossing), Hash: hex.EncodeToString(e.Hash[:]),
	}
}

// ledger is the store's ledger of consent.
func (a *API) ledger() (messaging.ConsentLedger, error) {
	if l, ok := a.cfg.Store.(messaging.ConsentLedger); ok {
		return l, nil
	}
	return nil, a.unsupported("answer questions about consent")
}

// consentQuery are the parameters of a list about consent.
type consentQuery struct {
	optedOut, review bool
	after            int64
	limit            int
}

// parseConsentQuery reads the parameters; those of flags are switches.
func parseConsentQuery(v url.Values, flags ...string) (q consentQuery, err error) {
	q.limit = limitUsual
	for name, values := range v {
		value := values[0]
		switch {
		case len(values) > 1:
			err = errors.New("it is given twice")
		case slices.Contains(flags, name):
			var on bool
			if on, err = strconv.ParseBool(value); err != nil {
				err = fmt.Errorf("%q is neither true nor false", value)
			}
			q.optedOut, q.review = q.optedOut || on && name == "opted_out", q.review || on && name == "review"
		case name == "limit":
			if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > limitMost {
				err = fmt.Errorf("%q is no number from 1 to %d", value, limitMost)
			}
		case name == "after":
			if q.after, err = strconv.ParseInt(value, 10, 64); err != nil || q.after < 0 {
				err = fmt.Errorf("%q is not the cursor of an answer; begin without one", value)
			}
		default:
			return q, &fault{"query." + name, errors.New("there is no such parameter; there are " + strings.Join(append(flags, "limit", "after"), ", "))}
		}
		if err != nil {
			return q, &fault{"query." + name, err}
		}
	}
	return q, nil
}

// wants reports whether a state is one of those asked for.
func (q consentQuery) wants(st *messaging.ConsentState) bool {
	return !q.optedOut && !q.review || q.optedOut && st.OptedOut || q.review && st.Review
}

// standsPage is how many states are looked through at once.
const standsPage = 10_000

// stands finds where numbers stand. The cursor is the last line that was looked at.
func stands(ctx context.Context, l messaging.ConsentLedger, q consentQuery) (found []messaging.ConsentState, cursor int64, more bool, err error) {
	cursor = q.after
	size := q.limit + 1
	if q.optedOut || q.review {
		size = standsPage
	}
	for {
		page, err := l.Consents(ctx, cursor, size)
		if err != nil {
			return nil, 0, false, err
		}
		for _, st := range page {
			if !q.wants(&st) {
				cursor = st.Seq
				continue
			}
			if len(found) == q.limit {
				return found, cursor, true, nil
			}
			found, cursor = append(found, st), st.Seq
		}
		if len(page) < size {
			return found, cursor, false, nil
		}
	}
}

func cursorText(seq int64) string {
	if seq == 0 {
		return ""
	}
	return strconv.FormatInt(seq, 10)
}

// consents is GET /v1/consent.
func (a *API) consents(w http.ResponseWriter, r *http.Request) error {
	q, err := parseConsentQuery(r.URL.Query(), "opted_out", "review")
	if err != nil {
		return badQuery(err, "")
	}
	ledger, err := a.ledger()
	if err != nil {
		return err
	}
	found, cursor, more, err := stands(r.Context(), ledger, q)
	if err != nil {
		return err
	}
	p := Standings{States: []Standing{}, Cursor: cursorText(cursor), More: more}
	for _, st := range found {
		p.States = append(p.States, standingOf(st))
	}
	return write(w, p)
}

// consentOf is GET /v1/consent/{number}.
func (a *API) consentOf(w http.ResponseWriter, r *http.Request) error {
	number, err := ParseConsentNumber(r.PathValue("number"))
	if err != nil {
		return badQuery(&fault{"path.number", err}, "")
	}
	q, err := parseConsentQuery(r.URL.Query())
	if err != nil {
		return badQuery(err, "")
	}
	ledger, err := a.ledger()
	if err != nil {
		return err
	}
	of := ConsentOf{Number: string(number), States: []Standing{}, Entries: []ConsentLine{}}
	states, err := ledger.ConsentOf(r.Context(), number)
	if err != nil {
		return err
	}
	for _, st := range states {
		of.States = append(of.States, standingOf(st))
	}
	entries, err := ledger.Entries(r.Context(), messaging.LedgerQuery{Number: number, After: q.after, Limit: q.limit + 1})
	if err != nil {
		return err
	}
	of.More = len(entries) > q.limit
	for i := range entries[:min(len(entries), q.limit)] {
		of.Entries = append(of.Entries, lineOf(&entries[i]))
	}
	return write(w, of)
}

// reviews is GET /v1/consent/reviews.
func (a *API) reviews(w http.ResponseWriter, r *http.Request) error {
	q, err := parseConsentQuery(r.URL.Query())
	if err != nil {
		return badQuery(err, "")
	}
	q.review = true
	ledger, err := a.ledger()
	if err != nil {
		return err
	}
	found, cursor, more, err := stands(r.Context(), ledger, q)
	if err != nil {
		return err
	}
	p := Reviews{Reviews: []ReviewItem{}, Cursor: cursorText(cursor), More: more}
	for _, st := range found {
		item := ReviewItem{Standing: standingOf(st)}
		if item.Line, err = lineAt(r.Context(), ledger, st); err != nil {
			return err
		}
		if item.Line != nil && item.Line.EventID != "" {
			switch l, err := a.life(r.Context(), item.Line.EventID); {
			case errors.Is(err, messaging.ErrUnknown): // retention took it
			case err != nil:
				return err
			default:
				item.Message = l.Inbound
			}
		}
		p.Reviews = append(p.Reviews, item)
	}
	return write(w, p)
}

// lineAt gives the line by which a number stands; nil if the store has it no more.
func lineAt(ctx context.Context, l messaging.ConsentLedger, st messaging.ConsentState) (*ConsentLine, error) {
	entries, err := l.Entries(ctx, messaging.LedgerQuery{Number: st.Number, After: st.Seq - 1, Limit: 1})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	line := lineOf(&entries[0])
	return &line, nil
}

const changeExample = `{"number": "+15551234567", "change": "stop", "actor": "ann", "note": "by telephone"}, with start or keep instead of stop, or a list of these`

// readChanges reads one change or a list.
func (a *API) readChanges(r *http.Request) (changes []Change, err error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		err = a.take(body, &changes, changeExample)
	} else {
		changes = make([]Change, 1)
		err = a.take(body, &changes[0], changeExample)
	}
	switch {
	case err != nil:
		return nil, err
	case len(changes) == 0 || len(changes) > ChangesMost:
		return nil, BadRequest.Problem(fmt.Sprintf("the list has %d changes", len(changes)), fmt.Sprintf("send 1 to %d at once", ChangesMost)).at("body")
	}
	return changes, nil
}

// EvidenceMost bounds an actor and a note, in bytes.
const EvidenceMost = 1000

func badEvidence(text string) bool {
	return len(text) > EvidenceMost || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl)
}

// change checks a change and makes it one of the engine's. Its error says which member is
// wrong, without numbers.
func (c *Change) change() (*messaging.ConsentChange, error) {
	out := &messaging.ConsentChange{Verb: messaging.ConsentVerb(c.Change), Origin: messaging.OriginOperator, Actor: c.Actor, Note: c.Note, SentAt: c.SaidAt}
	var err error
	if out.Number, err = ParseConsentNumber(c.Number); err != nil {
		return nil, &fault{"body.number", err}
	}
	switch out.Verb {
	case messaging.ConsentStop, messaging.ConsentStart, messaging.ConsentKeep:
	default:
		return nil, &fault{"body.change", errors.New("it is none of stop, start and keep")}
	}
	switch c.Source {
	case "", string(messaging.OriginOperator):
	case string(messaging.OriginImport):
		out.Origin = messaging.OriginImport
	default:
		return nil, &fault{"body.source", errors.New("it is neither operator nor import")}
	}
	if c.Scope != "" {
		if out.Scope, err = ParseScope(c.Scope); err != nil {
			return nil, &fault{"body.scope", err}
		}
	}
	switch {
	case strings.TrimSpace(c.Actor) == "":
		return nil, &fault{"body.actor", errors.New("the ledger wants to know who says so")}
	case badEvidence(c.Actor):
		return nil, &fault{"body.actor", fmt.Errorf("it is longer than %d bytes, or has a line break or another control character in it", EvidenceMost)}
	case badEvidence(c.Note):
		return nil, &fault{"body.note", fmt.Errorf("it is longer than %d bytes, or has a line break or another control character in it", EvidenceMost)}
	}
	return out, nil
}

// setConsent is POST /v1/consent.
func (a *API) setConsent(w http.ResponseWriter, r *http.Request) error {
	for name := range r.URL.Query() {
		if name != "dry_run" {
			return badQuery(&fault{"query." + name, errors.New("there is no such parameter; there is dry_run")}, "")
		}
	}
	dry, err := strconv.ParseBool(cmp.Or(r.URL.Query().Get("dry_run"), "false"))
	if err != nil {
		return badQuery(&fault{"query.dry_run", errors.New("it is neither true nor false")}, "")
	}
	asked, err := a.readChanges(r)
	if err != nil {
		return err
	}
	ledger, err := a.ledger()
	if err != nil {
		return err
	}
	plan := make([]*messaging.ConsentChange, len(asked))
	numbers := make([]messaging.Number, len(asked))
	for i := range asked {
		if plan[i], err = asked[i].change(); err != nil {
			if f := (*fault)(nil); len(asked) > 1 && errors.As(err, &f) {
				f.location = fmt.Sprintf("body[%d].%s", i, strings.TrimPrefix(f.location, "body."))
				err = fmt.Errorf("change %d of the list: %w", i+1, err)
			}
			return badQuery(err, "nothing was changed; send "+changeExample)
		}
		numbers[i] = plan[i].Number
	}
	states, err := ledger.ConsentOf(r.Context(), numbers...)
	if err != nil {
		return err
	}
	return a.applyChanges(w, r, asked, plan, states, dry)
}

// applyChanges writes the changes, given where their numbers stand. What a list repeats is
// not written again.
func (a *API) applyChanges(w http.ResponseWriter, r *http.Request, asked []Change, plan []*messaging.ConsentChange, states []messaging.ConsentState, dry bool) error {
	stood := make(map[messaging.Number][]messaging.ConsentState)
	for _, st := range states {
		stood[st.Number] = append(stood[st.Number], st)
	}
	var changes []*messaging.ConsentChange
	done := ChangesDone{Results: []Changed{}}
	for i, c := range plan {
		for _, scope := range scopesOf(&asked[i], c, stood[c.Number]) {
			one := *c
			one.Scope = scope
			was := stateIn(stood[c.Number], c.Number, scope)
			next := was.After(c.Verb, time.Now())
			alters := next.OptedOut != was.OptedOut || next.Review != was.Review
			if dry || c.Origin == messaging.OriginImport && !alters {
				one.Changed, one.State = alters, next
				done.add(&one)
				continue
			}
			changes = append(changes, &one)
		}
	}
	if len(changes) > 0 {
		if err := a.tell(r.Context(), func(ctx context.Context) error { return a.cfg.Engine.SetConsent(ctx, changes...) }); err != nil {
			return err
		}
	}
	for _, c := range changes {
		done.add(c)
	}
	return write(w, done)
}

func (d *ChangesDone) add(c *messaging.ConsentChange) {
	if c.Changed {
		d.Changed++
	} else {
		d.Unchanged++
	}
	d.Results = append(d.Results, Changed{standingOf(c.State), c.Changed})
}

// scopesOf are the scopes that a change is for.
func scopesOf(asked *Change, c *messaging.ConsentChange, states []messaging.ConsentState) (scopes []messaging.Scope) {
	if asked.Scope != "" || c.Verb == messaging.ConsentStop {
		return []messaging.Scope{c.Scope}
	}
	for _, st := range states {
		if st.Review || st.OptedOut && c.Verb == messaging.ConsentStart {
			scopes = append(scopes, st.Scope)
		}
	}
	if len(scopes) == 0 {
		scopes = []messaging.Scope{messaging.ScopeAll}
	}
	return scopes
}

func stateIn(states []messaging.ConsentState, n messaging.Number, scope messaging.Scope) messaging.ConsentState {
	for _, st := range states {
		if st.Scope == scope {
			return st
		}
	}
	return messaging.ConsentState{Number: n, Scope: scope}
}

// verifyConsent is GET /v1/consent/verify.
func (a *API) verifyConsent(w http.ResponseWriter, r *http.Request) error {
	ledger, err := a.ledger()
	if err != nil {
		return err
	}
	endless(w) // all of it is read
	n, err := messaging.VerifyLedger(r.Context(), ledger, nil)
	if err != nil && !errors.Is(err, messaging.ErrLedger) {
		return err
	}
	whole := LedgerWhole{OK: err == nil, Entries: n}
	if err != nil {
		whole.Detail = err.Error()
	}
	if n > 0 {
		last, err := ledger.Entries(r.Context(), messaging.LedgerQuery{After: n - 1, Limit: 1})
		if err != nil {
			return err
		}
		if len(last) == 1 {
			whole.Hash = hex.EncodeToString(last[0].Hash[:])
		}
	}
	return write(w, whole)
}
