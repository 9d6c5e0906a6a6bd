package messagingtest

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// Recorder is a messaging.Responder that remembers. Its zero value is ready for use, and
// its methods may be called concurrently.
type Recorder struct {
	mu      sync.Mutex
	replies []string
	sends   []messaging.Send
	changes []Change
	asked   []Asked
	pauses  []time.Time
	session map[string]remembered
	err     error
	sealed  bool
}

var _ messaging.Responder = (*Recorder)(nil)

// Reply implements messaging.Responder.
func (r *Recorder) Reply(text string) { r.ReplyMedia(text) }

// ReplyMedia implements messaging.Responder.
func (r *Recorder) ReplyMedia(text string, urls ...string) {
	r.add(messaging.Send{Body: text, Media: slices.Clone(urls), Category: messaging.CategoryReply}, true)
}

// Send implements messaging.Responder.
func (r *Recorder) Send(s messaging.Send) { r.add(s, false) }

// Change is a word about consent that a handler said.
type Change struct {
	Verb messaging.ConsentVerb
	Why  string
}

// OptOut implements messaging.Responder.
func (r *Recorder) OptOut(why string) { r.change(Change{messaging.ConsentStop, why}) }

// OptIn implements messaging.Responder.
func (r *Recorder) OptIn(why string) { r.change(Change{messaging.ConsentStart, why}) }

func (r *Recorder) change(c Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sealed {
		r.changes = append(r.changes, c)
	}
}

// Changes gives what was said about consent, in order.
func (r *Recorder) Changes() []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.changes)
}

func (r *Recorder) add(s messaging.Send, reply bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.sealed:
	case s.Body == "" && len(s.Media) == 0:
		r.err = errEmpty
	case s.Category == messaging.CategoryConsent:
		r.err = errConsent
	default:
		r.sends = append(r.sends, s)
		if reply {
			r.replies = append(r.replies, s.Body)
		}
	}
}

var (
	errEmpty   = errors.New("messagingtest: a send has neither text nor media")
	errConsent = errors.New("messagingtest: the category consent is the engine's own")
)

// Replies gives the texts of Reply and ReplyMedia, in order.
func (r *Recorder) Replies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.replies)
}

// Sends gives everything that was decided, replies included, in order and as the handler
// left it: what the engine completes is empty.
func (r *Recorder) Sends() []messaging.Send {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sends)
}

// Run gives an event to a handler as the engine does: a panic comes back as a
// *messaging.PanicError, a send without content as an error that drops the event, what was
// decided before an error is discarded, and what a handler says after it returned is
// ignored. The recorder is never nil.
func Run(h messaging.Handler, ev *messaging.Event) (*Recorder, error) {
	return RunContext(context.Background(), h, ev)
}

// RunContext is Run with a context for the handler.
func RunContext(ctx context.Context, h messaging.Handler, ev *messaging.Event) (*Recorder, error) {
	r := &Recorder{}
	return r, run(ctx, h, r, ev)
}

// run gives an event to a handler and seals the recorder.
func run(ctx context.Context, h messaging.Handler, r *Recorder, ev *messaging.Event) error {
	err := protect(ctx, h, r, ev)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
	if err == nil && r.err != nil {
		err = messaging.Drop(r.err)
	}
	if err != nil {
		r.replies, r.sends, r.changes, r.asked, r.pauses, r.session = nil, nil, nil, nil, nil, nil
	}
	return err
}

func protect(ctx context.Context, h messaging.Handler, r *Recorder, ev *messaging.Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &messaging.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return h.HandleEvent(ctx, r, ev)
}
