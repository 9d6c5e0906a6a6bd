package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// HandoverOptions describe how a conversation is handed to a person: the options of the
// handler handover, and in Go of [NewHandover].
//
// Whoever answers is told by a POST to URL, of the message that led to it and of every one
// while the conversation is paused, as {"event", "message_id", "from", "to", "body", "media",
// "timestamp", "until"}. The event is handover, message, or resumed once the daemon answers
// again. The rules of [ForwardOptions] about answers and errors hold; the answers of the
// person are sent through the local API.
//
// While a conversation is paused none of the context's handlers runs for it. STOP, START and
// HELP work all the same.
type HandoverOptions struct {
	// URL is the endpoint, http or https. Required.
	URL string `yaml:"url"`
	// Secret, Timeout and Patience are as in ForwardOptions.
	Secret   relay.Secret `yaml:"secret"`
	Timeout  Duration     `yaml:"timeout"`
	Patience Duration     `yaml:"patience"`
	// For is how long the daemon stays silent. Default: 1h; the most is [messaging.PauseMost].
	// Every message of the person begins it anew.
	For Duration `yaml:"for"`
	// Reply tells the person that somebody will answer: a text or a template over [Data].
	// Default: nothing is said.
	Reply string `yaml:"reply"`
	// Resume are words with which the person gets the daemon back at once.
	Resume []string `yaml:"resume"`
	// Resumed answers them. Default: nothing is said.
	Resumed string `yaml:"resumed"`
}

// SetScalar sets URL.
func (o *HandoverOptions) SetScalar(text string) error {
	o.URL = text
	return nil
}

// Handover hands conversations to a person; see [NewHandover].
type Handover struct {
	*endpoint
	silence        time.Duration
	reply, resumed *answer // nil for none
	resume         map[string]bool
	key            string // of the session's value that says whose the conversation is
}

// handedTo is the key of the session's value that tells which handover has a conversation.
const handedTo = "handover"

// NewHandover makes a handover. Register what sees the messages meanwhile with the context:
//
//	r.Context("support", func(r *contexts.Router) {
//		r.With(handlers.Keyword("AGENT", h.Hand())).OnMessage(bot)
//		r.Paused(h.Paused())
//	})
func NewHandover(o HandoverOptions) (*Handover, error) {
	return o.handover(Env{Where: "handlers.NewHandover"})
}

func (o *HandoverOptions) handover(env Env) (*Handover, error) {
	e, err := newEndpoint("handover", "url", o.URL, o.Secret, o.Timeout, o.Patience)
	if err != nil {
		return nil, err
	}
	if o.For < 0 || time.Duration(o.For) > messaging.PauseMost {
		return nil, fmt.Errorf("for: %v is no time to be silent for: write one of up to %v", time.Duration(o.For), messaging.PauseMost)
	}
	h := &Handover{endpoint: e, silence: orDuration(o.For, time.Hour), resume: map[string]bool{}, key: nameOf("", o.URL)}
	if o.Reply != "" {
		if h.reply, err = newAnswer("reply", o.Reply, nil, env); err != nil {
			return nil, err
		}
	}
	if o.Resumed != "" {
		if h.resumed, err = newAnswer("resumed", o.Resumed, nil, env); err != nil {
			return nil, err
		}
	}
	return h, foldWords("resume", o.Resume, h.resume)
}

// foldWords reads the option key, a list of words, into a set.
func foldWords(key string, words []string, into map[string]bool) error {
	for i, w := range words {
		folded := Fold(w)
		if folded == "" {
			return fmt.Errorf("%s[%d]: %q has nothing to match: write a word, a number or an emoji", key, i, w)
		}
		into[folded] = true
	}
	return nil
}

// Middleware makes a middleware that hands every message over that reaches it.
func (o *HandoverOptions) Middleware(env Env) (messaging.Middleware, error) {
	h, err := o.handover(env)
	if err != nil {
		return nil, err
	}
	if env.Routes == nil {
		return nil, errors.New("handover has no context to register with: in Go use handlers.NewHandover")
	}
	env.Routes.handovers = append(env.Routes.handovers, h)
	return func(next messaging.Handler) messaging.Handler {
		hand := h.Hand()
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind != messaging.KindMessage {
				return next.HandleEvent(ctx, w, ev)
			}
			return hand.HandleEvent(ctx, w, ev)
		})
	}, nil
}

// Hand is the handler that hands a conversation over.
func (h *Handover) Hand() messaging.Handler {
	return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		until := time.Now().Add(h.silence)
		if err := h.tell(ctx, "handover", ev, until); err != nil {
			return err
		}
		w.Pause(until)
		w.Session().Set(handedTo, h.key, h.silence)
		if h.reply != nil {
			return h.reply.give(w, ev, matchFrom(ctx))
		}
		return nil
	})
}

// Paused is the handler of messages that come while a conversation is paused.
func (h *Handover) Paused() messaging.Handler { return attendants{h} }

// handoverShape is what is posted.
type handoverShape struct {
	Event string `json:"event"`
	plainMessageShape
	Until *string `json:"until"` // null once the daemon answers again
}

// tell posts a message; until is zero once the daemon answers again.
func (h *Handover) tell(ctx context.Context, event string, ev *messaging.Event, until time.Time) error {
	p := handoverShape{Event: event, plainMessageShape: plainMessage(ev)}
	if !until.IsZero() {
		text := until.UTC().Format(time.RFC3339)
		p.Until = &text
	}
	body, err := json.Marshal(p)
	if err != nil {
		return messaging.Drop(fmt.Errorf("handover: encode the message: %w", err))
	}
	_, err = h.post(ctx, ev.ID+"/"+event, body, ev.ReceivedAt)
	return err
}

// attendants are the handovers of a context: each has the conversations that it took, and
// the first those that were paused in another way.
type attendants []*Handover

func (a attendants) HandleEvent(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	key, _, err := w.Session().Get(ctx, handedTo)
	if err != nil {
		return err
	}
	h := a[0]
	for _, other := range a {
		if other.key == key {
			h = other
			break
		}
	}
	if h.resume[Fold(ev.Body)] {
		if err := h.tell(ctx, "resumed", ev, time.Time{}); err != nil {
			return err
		}
		w.Resume()
		w.Session().Delete(handedTo)
		if h.resumed != nil {
			return h.resumed.give(w, ev, nil)
		}
		return nil
	}
	if key == "" { // somebody else paused it, until a time that is theirs
		return h.tell(ctx, "message", ev, time.Time{})
	}
	until := time.Now().Add(h.silence)
	if err := h.tell(ctx, "message", ev, until); err != nil {
		return err
	}
	w.Pause(until)
	w.Session().Set(handedTo, h.key, h.silence)
	return nil
}
