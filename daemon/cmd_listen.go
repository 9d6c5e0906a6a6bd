package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// listening is what "signpost listen" was told.
type listening struct {
	names    []string // contexts
	to       string   // where messages go
	statesTo string   // where states go; empty for nowhere
	secret   string
	address  string // of the local API; empty for the configuration's
}

func (c *cli) listenCommand() *cobra.Command {
	var l listening
	cmd := &cobra.Command{
		Use:   "listen --forward-to URL",
		Short: "Forward messages to a program of yours and show each (for development)",
		Long: `Run a daemon that forwards every message of your contexts to a webhook handler of yours,
at an address that only this machine can reach, and print each message, what became of it,
and what is sent. The handler answers with {"reply": "..."} or through the local API, whose
address is printed; see "forward" in the README for what is posted.

It is for development: nothing is kept when it ends, and beside another daemon of the same
contexts both may answer. Configuration and environment are those of "run", the contexts those
of the configuration unless --context names others; their handlers are not used.`,
		Example: `  signpost listen --forward-to http://127.0.0.1:5000/incoming-sms
  signpost listen --context support --forward-to http://127.0.0.1:5000/incoming-sms --states-to http://127.0.0.1:5000/message-status`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.to == "" {
				return exitf(ExitUsage, "listen needs --forward-to with the address of your webhook handler, such as http://127.0.0.1:5000/incoming-sms")
			}
			return c.listen(cmd.Context(), l)
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.to, "forward-to", "", "where messages are posted")
	f.StringVar(&l.statesTo, "states-to", "", "where delivery states are posted (default: nowhere)")
	f.StringArrayVar(&l.names, "context", nil, "a context to listen on; once for each (default: those of the configuration)")
	f.StringVar(&l.secret, "secret", "", "sign what is posted with this secret, in the header "+handlers.SignatureHeader)
	f.StringVar(&l.address, "listen", "", "address of the local API (default: http.listen of the configuration)")
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) listen(ctx context.Context, l listening) error {
	routes, err := l.routes()
	if err != nil {
		return err
	}
	src := Source{ContextsInCode: true, Flags: map[string]string{"store": "memory:", "shutdown.budget": listenBudget}}
	if l.address != "" {
		src.Flags["http.listen"] = l.address
	}
	loaded, err := c.load(src)
	if err != nil {
		return err
	}
	cfg := *loaded.Config
	if len(l.names) == 0 {
		l.names = cfg.ContextNames()
	}
	if len(l.names) == 0 {
		return exitf(ExitUsage, "say on which contexts to listen: --context, once for each, or a configuration that has some")
	}
	cfg.Contexts = nil
	setup := func(r *contexts.Router) {
		for _, name := range l.names {
			r.Context(name, routes)
		}
	}
	feed := make(chan messaging.Trace, listenBuffer)
	d, err := New(cfg, setup, append(c.opts[:len(c.opts):len(c.opts)],
		WithLogger(slog.New(newLogHandler(c.errw, LogAuto, slog.LevelWarn))),
		withTrace(func(tr messaging.Trace) {
			select {
			case feed <- tr:
			default: // whoever looks on must not hold anybody up
			}
		}),
	)...)
	if err != nil {
		return err
	}
	err = c.withDaemon(ctx, d, func(ctx context.Context) error {
		c.printListening(d, l)
		var last messaging.SendTrace
		for {
			select {
			case tr := <-feed:
				if tr.Send != nil {
					if *tr.Send == last { // queued and initiated, say, are one status to us
						continue
					}
					last = *tr.Send
				}
				if err := c.printTrace(tr, time.Now()); err != nil {
					return err
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	if ExitCode(err) == ExitDrain {
		_, _ = fmt.Fprintln(c.errw, "signpost: what was not finished is lost; \"signpost run\" keeps it")
		return nil
	}
	return err
}

// listenBudget is how long a stop may take: whoever develops does not wait for messages that
// nobody takes.
const listenBudget = "2s"

// listenBuffer is how much may wait to be printed; what is more is not shown.
const listenBuffer = 1024

// routes is one context of the daemon.
func (l listening) routes() (func(*contexts.Router), error) {
	forward := func(flag, to string) (messaging.Middleware, error) {
		mw, err := (&handlers.ForwardOptions{URL: to, Secret: relay.Secret(l.secret)}).Middleware(handlers.Env{Where: "listen"})
		if err != nil {
			return nil, exitf(ExitUsage, "%s: %s", flag, strings.TrimPrefix(err.Error(), "url: "))
		}
		return mw, nil
	}
	messages, err := forward("--forward-to", l.to)
	if err != nil || l.statesTo == "" {
		return func(r *contexts.Router) { r.With(messages).OnMessage(handlers.Ignore()) }, err
	}
	states, err := forward("--states-to", l.statesTo)
	return func(r *contexts.Router) {
		r.With(messages).OnMessage(handlers.Ignore())
		r.With(states).OnState(handlers.Ignore())
	}, err
}

// printListening says where everything is.
func (c *cli) printListening(d *Daemon, l listening) {
	if c.asJSON {
		return
	}
	c.printf("Listening on %s. Messages go to %s", strings.Join(l.names, ", "), l.to)
	if l.statesTo != "" {
		c.printf(", delivery states to %s", l.statesTo)
	}
	c.printf(".\n")
	if addr := d.listening.Load(); addr != nil {
		c.printf("Your handler answers with {\"reply\": \"...\"}, or with this in the place of the platform's address:\n  SIGNALWIRE_SPACE_URL=http://%s\n", addr)
	}
	c.printf("Nothing is kept. Ctrl+C ends it.\n\n")
}

// heard is a line of "signpost listen --json".
type heard struct {
	At    time.Time `json:"at"`
	Event string    `json:"event"` // message, state or send

	ID        string           `json:"id"` // of the message; of a state or send that of the send
	Context   string           `json:"context,omitempty"`
	From      messaging.Number `json:"from,omitempty"`
	To        messaging.Number `json:"to,omitempty"`
	Body      string           `json:"body,omitempty"`
	Media     []string         `json:"media,omitempty"`
	State     messaging.State  `json:"state,omitempty"`
	Status    messaging.Status `json:"status,omitempty"`
	InReplyTo string           `json:"in_reply_to,omitempty"`
	Fate      string           `json:"fate,omitempty"`    // of a message or state: done, retry or dead
	Handler   string           `json:"handler,omitempty"` // that decided; consent, of a word that is not forwarded
	Duplicate bool             `json:"duplicate,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	RetryAt   *time.Time       `json:"retry_at,omitempty"`
}

func newHeard(tr messaging.Trace, now time.Time) heard {
	if s := tr.Send; s != nil {
		return heard{At: now, Event: "send", ID: s.ID.String(), Status: s.Status, InReplyTo: s.InReplyTo, Reason: s.Reason}
	}
	ev := tr.Inbound.Event
	h := heard{
		At: now, Event: ev.Kind.String(), ID: ev.ID, Context: ev.Context, From: ev.From, To: ev.To,
		Body: ev.Body, Media: ev.Media, State: ev.State, Duplicate: tr.Inbound.Duplicate,
	}
	if ev.Send != nil {
		h.ID = ev.Send.ID.String()
	}
	if o := tr.Inbound.Outcome; o != nil {
		h.Fate, h.Handler, h.Reason = o.Fate.String(), o.Handler, o.Err
		if o.Fate == messaging.FateRetry && !o.RetryAt.IsZero() {
			h.RetryAt = &o.RetryAt
		}
	}
	return h
}

// printTrace prints what happened, a line each.
func (c *cli) printTrace(tr messaging.Trace, now time.Time) error {
	if tr.Send == nil && tr.Inbound == nil {
		return nil
	}
	h := newHeard(tr, now)
	if c.asJSON {
		return c.printJSON(h)
	}
	if line := h.String(); line != "" {
		c.printf("%s %s\n", now.Format(time.TimeOnly), printable(line))
	}
	return nil
}

// String is the line that a person reads; empty for what a person need not see.
func (h heard) String() string {
	switch {
	case h.Event == messaging.KindState.String():
		if h.Fate == messaging.FateDone.String() {
			return "" // the send tells the same
		}
		return fmt.Sprintf("  state %s of %s: %s", h.State, h.ID, h.fate())
	case h.Event == "send":
		line := fmt.Sprintf("> %s %s", h.ID, h.Status)
		if h.Reason != "" {
			line += ": " + h.Reason
		}
		return line
	case h.Duplicate:
		return fmt.Sprintf("< %s %s: delivered again, ignored", h.From, h.Context)
	}
	text := fmt.Sprintf("%q", h.Body)
	if n := len(h.Media); n > 0 {
		text += " and " + plural(n, "medium", "media")
	}
	return fmt.Sprintf("< %s %s %s: %s", h.From, h.Context, text, h.fate())
}

// fate says what became of an event.
func (h heard) fate() string {
	switch {
	case h.Handler == api.HandlerConsent:
		return "dealt with by the daemon, since it is about consent"
	case h.Fate == messaging.FateDone.String():
		return "forwarded"
	case h.RetryAt != nil:
		return fmt.Sprintf("again in %s: %s", span(max(h.RetryAt.Sub(h.At), 0)), h.Reason)
	}
	return fmt.Sprintf("%s: %s", h.Fate, h.Reason)
}
