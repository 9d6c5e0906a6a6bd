package messaging

import (
	"errors"
	"fmt"
	"sync"
)

var (
	errPriority = errors.New("a send's Priority is 1 to 4, or 0 for its category's")
	errCallback = fmt.Errorf("a send's Callback has at most %d bytes", MaxCallback)
	errCustom   = fmt.Errorf("a send's Custom has at most %d names and %d bytes in all", MaxCustomNames, MaxCustom)
)

var (
	errNobody     = errors.New("OptOut and OptIn are for an event that says whom it is about")
	errOwnConsent = errors.New("the category consent is the engine's own: opt people out with OptOut, which confirms it, and answer as a reply")
)

var errEmptySend = errors.New("a send needs text or media: give Reply a text, or ReplyMedia a URL")

// responder collects what one run of a chain decides. It is sealed when the run is over,
// so that a handler that was given up cannot add to what a later run decided.
type responder struct {
	mu       sync.Mutex
	ev       *Event
	sends    []Send
	consents []*ConsentChange
	err      error
	values   []*ValueChange
	by       string // the handler that was entered last, and so the one that decided
	told     bool   // the person is answered in another way than through the responder
	sealed   bool

	reader ValueReader       // of the session
	stored map[string]string // the session, once it was read
	early  bool              // a run before the event's append
	late   bool              // it needs more than an early run can give
}

// Entered tells the journal that the handler of this name has the event now. A chain calls
// it before each of its handlers; the last one entered is the one that decided, and explain
// shows its name. An empty name says that the end was reached and nobody decided.
func Entered(w Responder, name string) {
	if r, ok := w.(*responder); ok {
		r.mu.Lock()
		r.by = name
		r.mu.Unlock()
	}
}

// Answered says that the person has been answered in another way than through w: by a send
// that was enqueued meanwhile, say. What the engine answers when nobody else does, such as
// to HELP, is then left out.
func Answered(w Responder) {
	if r, ok := w.(*responder); ok {
		r.mu.Lock()
		r.told = true
		r.mu.Unlock()
	}
}

func (r *responder) Reply(text string) {
	r.Send(Send{Body: text, Category: CategoryReply})
}

func (r *responder) ReplyMedia(text string, urls ...string) {
	r.Send(Send{Body: text, Media: urls, Category: CategoryReply})
}

func (r *responder) Send(s Send) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return
	}
	if err := s.Check(); err != nil {
		r.err = err
		return
	}
	r.sends = append(r.sends, s)
}

func (r *responder) OptOut(why string) { r.change(ConsentStop, why) }
func (r *responder) OptIn(why string)  { r.change(ConsentStart, why) }

func (r *responder) change(v ConsentVerb, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return
	}
	c := evidence(r.ev, v, OriginHandler)
	if c.Number == "" {
		r.err = errNobody
		return
	}
	c.Note = clean(why)
	r.consents = append(r.consents, c)
}

// decision is what a run of a chain decided.
type decision struct {
	sends    []Send
	consents []*ConsentChange
	values   []*ValueChange
	by       string // which handler
	answered bool   // in another way
	misuse   error
	late     bool // it cannot be decided before the event's turn
}

// seal ends the run and gives what it decided.
func (r *responder) seal() decision {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
	return decision{r.sends, r.consents, r.values, r.by, r.told, r.err, r.late}
}
