package daemon

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// sentOne is what "signpost send --json" prints.
type sentOne struct {
	api.Message

	Segments int          `json:"segments"`
	Encoding sms.Encoding `json:"encoding,omitempty"` // of a text without media
}

// sendEvery is how often the daemon is asked what became of a send.
const sendEvery = 250 * time.Millisecond

func (c *cli) sendCommand() *cobra.Command {
	var n api.NewSend
	var at, expires string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "send --to NUMBER --from NUMBER --body TEXT",
		Short: "Send one text through the running daemon",
		Long: `Send one text through the running daemon, which journals it and keeps to consent, quiet
hours, rates and the other rules. It prints the id, how many segments the text takes and in
which encoding; with --wait also what became of it.

Without --category it is a reply, if the person wrote within the last hour, and otherwise a
notification, which may have to wait for the end of quiet hours. With --key the same command
sends once, however often it is run.
Exit codes: 0 taken, or with --wait delivered, or sent to a carrier that says no more; 1
refused by a rule, not delivered, or not known yet when --wait is over; 64 wrong flags, 69 no
daemon answers.`,
		Example: `  signpost send --from +15551234567 --to +15557654321 --body "Your table is ready." --wait 30s
  signpost send --from +15551234567 --to +15557654321 --body "See you at 3." --at "2026-11-25 09:00" --expires "2026-11-25 15:00"
  signpost send --from +15551234567 --to +15557654321 --media https://example.com/map.png --key map-42 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := readSend(&n, at, expires, time.Now()); err != nil {
				return err
			}
			return c.sendOne(cmd.Context(), n, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.To, "to", "", "the person's number")
	f.StringVar(&n.From, "from", "", "our number")
	f.StringVar(&n.Body, "body", "", "the text")
	f.StringArrayVar(&n.Media, "media", nil, "URL of a picture; once for each")
	f.StringVar(&n.Context, "context", "", "the context on which delivery states come back (default: where the person wrote last)")
	f.StringVar(&n.Category, "category", "", "reply, transactional, notification or marketing")
	f.StringVar(&at, "at", "", `not before then: in how long (2h), a day, or "2026-11-24 15:04"`)
	f.StringVar(&expires, "expires", "", "not after then")
	f.StringVar(&n.Key, "key", "", "of your choice: the same key sends once")
	f.DurationVar(&wait, "wait", 0, "wait so long for the last word about it")
	_ = cmd.RegisterFlagCompletionFunc("category", cobra.FixedCompletions([]string{"reply", "transactional", "notification", "marketing"}, cobra.ShellCompDirectiveNoFileComp))
	c.jsonFlag(cmd)
	return cmd
}

// readSend judges the flags of one send.
func readSend(n *api.NewSend, at, expires string, now time.Time) error {
	if n.Body == "" && len(n.Media) == 0 {
		return exitf(ExitUsage, "a text needs --body or --media")
	}
	for _, number := range []struct {
		flag string
		text *string
	}{{"to", &n.To}, {"from", &n.From}} {
		if *number.text == "" {
			return exitf(ExitUsage, "send needs --%s", number.flag)
		}
		p, err := api.ParseNumber(*number.text)
		if err != nil {
			return exitf(ExitUsage, "--%s: %w", number.flag, err)
		}
		*number.text = string(p)
	}
	var err error
	if n.NotBefore, err = parseAhead("at", at, now); err != nil {
		return err
	}
	n.ExpiresAt, err = parseAhead("expires", expires, now)
	return err
}

func (c *cli) sendOne(ctx context.Context, n api.NewSend, wait time.Duration) error {
	d, err := c.remote()
	if err != nil {
		return err
	}
	var m api.Message
	if err := d.post(ctx, "/v1/sends", n, &m); err != nil {
		return err
	}
	id := m.ID
	out := sentOne{Message: m, Segments: 1}
	if len(n.Media) == 0 {
		a := sms.Analyse(n.Body, sms.Options{})
		out.Segments, out.Encoding = sms.Segments(n.Body, sms.Options{}), a.Encoding
	}
	if !c.asJSON {
		what := "MMS"
		if out.Encoding != "" {
			what = fmt.Sprintf("%s, %s", plural(out.Segments, "segment", "segments"), out.Encoding)
		}
		c.printf("%s  %s\n", printable(id), what)
	}
	if wait > 0 && !m.Status.Terminal() {
		if m, err = c.lastWord(ctx, d, m, wait); err != nil {
			return err
		}
		out.Message = m
	}
	if c.asJSON {
		if err := c.printJSON(out); err != nil {
			return err
		}
	} else {
		c.printf("%s\n", printable(becameOf(&m)))
	}
	return verdictOf(&m, wait > 0)
}

// lastWord asks what became of a send until nothing more can follow or the time is up.
func (c *cli) lastWord(ctx context.Context, d *remote, m api.Message, wait time.Duration) (api.Message, error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-timeout.C:
			return m, nil
		case <-ctx.Done():
			return m, exitf(ExitUnavailable, "interrupted; the text is with the daemon:  signpost explain %s", m.ID)
		}
		var l api.Life
		if err := d.get(ctx, "/v1/messages/"+url.PathEscape(m.ID), nil, &l); err != nil {
			return m, err
		}
		for _, s := range l.Sends {
			if s.ID == m.ID {
				m = s
			}
		}
		if m.Status.Terminal() {
			return m, nil
		}
	}
}

// becameOf says in a line what became of a send, and why.
func becameOf(m *api.Message) string {
	line := string(m.Status)
	reason := m.Reason
	if a := lastAttempt(m); reason == "" && a != nil {
		reason = a.Reason
	}
	if reason != "" {
		line += ": " + reason
	}
	if m.Status == messaging.StatusQueued && m.NotBefore.After(time.Now()) {
		line += ", until " + m.NotBefore.Local().Format("2006-01-02 15:04:05")
	}
	return line
}

// verdictOf is the exit code for what became of a send.
func verdictOf(m *api.Message, waited bool) error {
	switch m.Status {
	case messaging.StatusUndelivered, messaging.StatusFailed, messaging.StatusSuppressed, messaging.StatusExpired, messaging.StatusCancelled:
		return exitf(ExitFindings, "the text did not reach the person (%s); see  signpost explain %s", m.Status, m.ID)
	case messaging.StatusDelivered, messaging.StatusSent, messaging.StatusUnknown:
		return nil
	}
	if waited {
		return exitf(ExitFindings, "nothing more is known of the text yet (%s); see  signpost explain %s", strings.ReplaceAll(string(m.Status), "_", " "), m.ID)
	}
	return nil
}
