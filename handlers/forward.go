package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// Forward posts every message, and as a handler of states every delivery state, to an
// endpoint of yours; see [ForwardOptions]. It panics if the address is wrong.
func Forward(url string) messaging.Middleware {
	mw, err := (&ForwardOptions{URL: url}).Middleware(Env{Where: "handlers.Forward"})
	if err != nil {
		panic("handlers: Forward: " + err.Error())
	}
	return mw
}

// Shape is what a forwarded event looks like.
type Shape string

// The shapes.
const (
	// ShapePlain is {"message_id","from","to","body","media","timestamp"} for a message and
	// {"message_id","status","timestamp"} for a state.
	ShapePlain Shape = "plain"
	// ShapePlatform is the platform's own: {"message":{...}} of its message webhook, and the
	// fields of its status callback.
	ShapePlatform Shape = "platform"
)

// ForwardOptions are the options of [Forward].
//
// The endpoint needs no address that the world can reach. A message is posted in the order
// of its conversation until the endpoint answers with success, status 200 to 299: at least
// once, with its event id as Idempotency-Key. A success ends the chain. It may carry a reply:
//
//	{"reply": "We're open Mon-Fri 9am-5pm", "media": ["https://example.com/map.png"]}
//
// Any other answer is no reply. A reply that is longer than [MaxReply] is cut.
//
// While nothing answers there, or what does says 429, 502, 503 or 504, the message waits, as
// long as Patience lasts; a Retry-After is honoured up to 10 minutes. A timeout and other
// errors of the server are tried again as errors of any handler are. Other refusals, 400 to
// 499, and redirects make the message a dead letter, which can be replayed.
//
// The message_id of a state is that of the send: the id that the local API gave for it. Of
// states only those are forwarded that have a name there: queued, sending (the platform says
// initiated), sent, delivered, undelivered and failed.
type ForwardOptions struct {
	// URL is the endpoint, http or https. Required.
	URL string `yaml:"url"`
	// Secret signs what is posted, in the header Signpost-Signature; see [Sign] and [Verify].
	Secret relay.Secret `yaml:"secret"`
	// Timeout is how long the endpoint may take with one message. Default: 10s.
	Timeout Duration `yaml:"timeout"`
	// Patience is how long a message waits for an endpoint that cannot be reached, from its
	// arrival; then it is a dead letter. Default: 1h, when its reply would come too late.
	Patience Duration `yaml:"patience"`
	// Shape is plain or platform. Default: plain.
	Shape Shape `yaml:"shape"`
	// Continue gives the event to the handlers after it too, once it is forwarded.
	Continue bool `yaml:"continue"`
}

// SetScalar sets URL.
func (o *ForwardOptions) SetScalar(text string) error {
	o.URL = text
	return nil
}

// Middleware makes the middleware.
func (o *ForwardOptions) Middleware(env Env) (messaging.Middleware, error) {
	e, err := newEndpoint("forward", "url", o.URL, o.Secret, o.Timeout, o.Patience)
	if err != nil {
		return nil, err
	}
	f := &forward{endpoint: e, env: env, platform: o.Shape == ShapePlatform, goOn: o.Continue}
	switch o.Shape {
	case "", ShapePlain, ShapePlatform:
	default:
		return nil, fmt.Errorf("shape: %q is not a shape: use plain or platform", o.Shape)
	}
	return func(next messaging.Handler) messaging.Handler {
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			return f.handle(ctx, w, ev, next)
		})
	}, nil
}

// newEndpoint makes an endpoint of options; key is what the option of its address is called.
func newEndpoint(what, key, address string, secret relay.Secret, timeout, patience Duration) (*endpoint, error) {
	host, err := checkURL(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", key, err)
	case timeout < 0:
		return nil, fmt.Errorf("timeout: %v leaves no time: give it a positive duration such as 10s", time.Duration(timeout))
	case patience < 0:
		return nil, fmt.Errorf("patience: %v is negative: give it a positive duration such as 1h", time.Duration(patience))
	}
	return &endpoint{
		url: address, host: host, secret: secret, what: what,
		timeout: orDuration(timeout, 10*time.Second), patience: orDuration(patience, time.Hour),
	}, nil
}

type forward struct {
	*endpoint
	env      Env
	platform bool
	goOn     bool
}

func (f *forward) handle(ctx context.Context, w messaging.Responder, ev *messaging.Event, next messaging.Handler) error {
	var payload any
	switch {
	case ev.Kind == messaging.KindMessage && f.platform:
		payload = platformMessage(ev)
	case ev.Kind == messaging.KindMessage:
		payload = plainMessage(ev)
	case forwardedStatus(ev.State) == "":
		return next.HandleEvent(ctx, w, ev)
	case f.platform:
		payload = platformState(ev)
	default:
		payload = plainState(ev)
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return messaging.Drop(fmt.Errorf("forward: encode the event: %w", err))
	}
	if ev.Kind == messaging.KindState {
		if _, err = f.post(ctx, ev.ID, body, ev.ReceivedAt); err != nil || !f.goOn {
			return err
		}
		return next.HandleEvent(ctx, w, ev)
	}
	forwards := forwardsFrom(ctx)
	open := forwards.begin(ev)
	err = f.message(ctx, w, ev, body)
	if forwards.answered(open) {
		messaging.Answered(w)
	}
	_, lost := errors.AsType[unanswered](err)
	if err == nil && f.goOn {
		err = next.HandleEvent(ctx, w, ev)
	}
	forwards.end(open, !lost, err == nil)
	return err
}

// message posts a message and takes the reply of the answer.
func (f *forward) message(ctx context.Context, w messaging.Responder, ev *messaging.Event, body []byte) error {
	answer, err := f.post(ctx, ev.ID, body, ev.ReceivedAt)
	if err != nil {
		return err
	}
	r, err := readReply(answer)
	if err != nil {
		return messaging.Drop(fmt.Errorf("forward: %s took it, but %w", f.host, err))
	}
	r.give(w, f.env)
	return nil
}

// outsideReply is the reply that an endpoint or a program answers with.
type outsideReply struct {
	text  string
	media []string
}

// readReply reads an answer: a JSON object with a reply, or anything else, which is none.
func readReply(answer []byte) (outsideReply, error) {
	answer = bytes.TrimSpace(answer)
	if len(answer) == 0 || answer[0] != '{' {
		return outsideReply{}, nil
	}
	if len(answer) > maxAnswer {
		return outsideReply{}, fmt.Errorf("its answer has more than %d bytes: answer with the reply alone", maxAnswer)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(answer, &fields); err != nil {
		return outsideReply{}, errors.New(`its answer begins like JSON and is none: answer {"reply": "..."}, or nothing`)
	}
	text, ok := fields["reply"]
	if !ok {
		return outsideReply{}, nil // such as {"status": "received"}
	}
	var r struct {
		text  *string
		media []string
	}
	if json.Unmarshal(text, &r.text) != nil {
		return outsideReply{}, errors.New(`the reply of its answer is not a text: answer {"reply": "..."}`)
	}
	if media, ok := fields["media"]; ok && json.Unmarshal(media, &r.media) != nil {
		return outsideReply{}, errors.New(`the media of its answer are not a list of addresses: answer {"reply": "...", "media": ["https://..."]}`)
	}
	for _, m := range r.media {
		if u, err := url.Parse(m); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return outsideReply{}, errors.New("one of the media of its answer is not a web address: give the full http or https URL")
		}
	}
	out := outsideReply{media: r.media}
	if r.text != nil {
		out.text = strings.ReplaceAll(strings.ToValidUTF8(*r.text, "\uFFFD"), "\x00", "")
	}
	return out, nil
}

// give decides the reply, if there is one.
func (r outsideReply) give(w messaging.Responder, env Env) {
	text := r.text
	if n := utf8.RuneCountInString(text); n > MaxReply {
		text = cut(text, MaxReply)
		env.logger().Warn("a reply is longer than the platform takes and was cut; make it shorter where it is made",
			"component", "handlers", "handler", where(env), "characters", n, "limit", MaxReply)
	}
	switch blank := strings.TrimSpace(text) == ""; {
	case len(r.media) > 0 && blank:
		w.ReplyMedia("", r.media...)
	case len(r.media) > 0:
		w.ReplyMedia(text, r.media...)
	case !blank:
		w.Reply(text)
	}
}
