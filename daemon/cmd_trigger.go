package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// simControl is where "signpost sim" serves its control API if the port is free, and so
// where "signpost trigger" looks for it.
const simControl = "127.0.0.1:8379"

func (c *cli) triggerCommand() *cobra.Command {
	t := &trigger{c: c}
	cmd := &cobra.Command{
		Use:   "trigger",
		Short: "Make something happen in a simulated space: a text, a delivery state",
		Long: `Make something happen in a simulated space that "signpost sim" or "signpost dev --control"
runs: a person texts one of our numbers, or the carrier reports on a text of ours. For
tests and for trying out handlers; it cannot reach the platform.`,
		Example: "  signpost trigger inbound --context support --body HOURS --wait 5s\n  signpost trigger state --state undelivered --reason unreachable",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&t.control, "control", "http://"+simControl, "address of the simulator's control API")
	cmd.AddCommand(t.inboundCommand(), t.stateCommand())
	return cmd
}

// trigger is what its commands share.
type trigger struct {
	c       *cli
	control string
}

// triggered is what a simulator answers to a text.
type triggered struct {
	MessageID  string `json:"message_id"`
	Context    string `json:"context"`
	Deliveries int    `json:"deliveries"`
	Acked      bool   `json:"acked"`

	Replies []relaytest.Text `json:"replies,omitempty"` // with --wait
}

// ackWithin is how long a text may take to be acknowledged, which waits for a commit.
const ackWithin = 10 * time.Second

func (t *trigger) inboundCommand() *cobra.Command {
	var m relaytest.SMS
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "inbound",
		Short: "A person texts one of our numbers",
		Long: `A person texts one of our numbers. The command ends when the text is acknowledged, that is,
journaled; with --wait when an answer has reached the telephone, which it prints.
Exit codes: 0 done, 1 nobody took it, or no answer came in time, 69 no simulator answers.`,
		Example: `  signpost trigger inbound --context support --body HOURS --wait 5s
  signpost trigger inbound --from +12025550111 --to +12025550101 --body "two of these" --media https://example.com/1.jpg`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for flag, number := range map[string]string{"from": m.From, "to": m.To} {
				if number != "" && !ownNumber.MatchString(number) {
					return exitf(ExitUsage, "--%s is no phone number; write it with + and country code, without spaces, such as %s", flag, devHandset)
				}
			}
			switch {
			case m.Body == "" && len(m.Media) == 0:
				return exitf(ExitUsage, "a text needs --body or --media")
			case m.To == "" && m.Context == "":
				return exitf(ExitUsage, "say who is texted: --context, or --to with a number of the simulator")
			}
			return t.inbound(cmd.Context(), m, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.From, "from", devHandset, "the person's number")
	f.StringVar(&m.To, "to", "", "our number (default: one that is bound to the context)")
	f.StringVar(&m.Context, "context", "", "the context it arrives on (default: the one that --to is bound to)")
	f.StringVar(&m.Body, "body", "", "the text")
	f.StringArrayVar(&m.Media, "media", nil, "URL of a picture; once for each")
	f.DurationVar(&wait, "wait", 0, "wait so long for an answer and print it")
	t.c.jsonFlag(cmd)
	return cmd
}

func (t *trigger) inbound(ctx context.Context, m relaytest.SMS, wait time.Duration) error {
	seen, err := t.texts(ctx, m.From, 0, 0)
	if err != nil {
		return err
	}
	last := uint64(0)
	for _, text := range seen {
		last = text.Seq
	}
	var got triggered
	if err := t.ask(ctx, http.MethodPost, "/control/inject", struct {
		relaytest.SMS
		Wait string `json:"wait"`
	}{m, ackWithin.String()}, &got); err != nil {
		return err
	}
	for until := time.Now().Add(wait); got.Acked && len(got.Replies) == 0 && time.Until(until) > 0; {
		if got.Replies, err = t.texts(ctx, m.From, last, time.Until(until)); err != nil {
			return err
		}
	}
	if t.c.asJSON {
		if err := t.c.printJSON(got); err != nil {
			return err
		}
	} else {
		t.c.printf("%s  %s\n", got.MessageID, printable(got.Context))
		for _, text := range got.Replies {
			t.c.printf("< %s\n", printable(text.Body))
			for _, u := range text.Media {
				t.c.printf("  %s\n", printable(u))
			}
		}
	}
	switch {
	case got.Deliveries == 0:
		return exitf(ExitFindings, "nobody is subscribed to %q, so the text is lost, as on the platform; start a daemon with that context, pointed at the simulator", got.Context)
	case !got.Acked:
		return exitf(ExitFindings, "the daemon did not acknowledge the text within %s; its log and \"signpost health\" say why", span(ackWithin))
	case wait > 0 && len(got.Replies) == 0:
		return exitf(ExitFindings, "no answer within %s; \"signpost explain %s\" says why", span(wait), got.MessageID)
	}
	return nil
}

// texts asks for what reached a telephone after a number, waiting for it.
func (t *trigger) texts(ctx context.Context, number string, after uint64, wait time.Duration) ([]relaytest.Text, error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}}
	if wait > 0 {
		q.Set("wait", min(wait, pollMost).String())
	}
	var texts []relaytest.Text
	err := t.ask(ctx, http.MethodGet, "/control/handsets/"+url.PathEscape(number)+"/messages?"+q.Encode(), nil, &texts)
	return texts, err
}

// pollMost is the longest that the simulator lets one request wait.
const pollMost = time.Minute

func (t *trigger) stateCommand() *cobra.Command {
	var in struct {
		MessageID string `json:"message_id,omitempty"`
		To        string `json:"to,omitempty"`
		State     string `json:"state"`
		Reason    string `json:"reason,omitempty"`
		ErrorCode string `json:"error_code,omitempty"`
	}
	cmd := &cobra.Command{
		Use:   "state",
		Short: "The carrier reports on a text of ours",
		Long: `The carrier reports one more delivery state of a text of ours: of the newest, or of the one
that --message-id or --to names. States after a last word come from carriers too.
Exit codes: 0 reported, 1 there is no such text, 69 no simulator answers.`,
		Example: "  signpost trigger state --state undelivered --reason unreachable\n  signpost trigger state --to +12025550111 --state delivered",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.State == "" {
				return exitf(ExitUsage, "state needs --state, such as delivered, undelivered or failed")
			}
			var sent relaytest.Send
			if err := t.ask(cmd.Context(), http.MethodPost, "/control/states", in, &sent); err != nil {
				return err
			}
			if t.c.asJSON {
				return t.c.printJSON(map[string]any{"message_id": sent.MessageID, "to": sent.To, "context": sent.Context, "states": sent.States})
			}
			t.c.printf("%s  to %s: %s\n", sent.MessageID, printable(sent.To), printable(strings.Join(sent.States, ", ")))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.State, "state", "", "the state: "+strings.Join(carrierStates, ", "))
	f.StringVar(&in.Reason, "reason", "", "why, such as unreachable")
	f.StringVar(&in.ErrorCode, "error-code", "", "the code that the message log and status callbacks show")
	f.StringVar(&in.To, "to", "", "of the newest text to this number")
	f.StringVar(&in.MessageID, "message-id", "", "of the text with this platform id")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(carrierStates, cobra.ShellCompDirectiveNoFileComp))
	t.c.jsonFlag(cmd)
	return cmd
}

// carrierStates are the states that a carrier reports, as the platform names them.
var carrierStates = []string{
	string(messaging.StateQueued), string(messaging.StateInitiated), string(messaging.StateSent),
	string(messaging.StateDelivered), string(messaging.StateUndelivered), string(messaging.StateFailed),
}

// ask asks the simulator's control API.
func (t *trigger) ask(ctx context.Context, method, path string, body, into any) error {
	base := strings.TrimSuffix(t.control, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return exitf(ExitInternal, "encode the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, content)
	if err != nil {
		return exitf(ExitUsage, "--control is no address: %w; write it as http://%s", err, simControl)
	}
	client := &http.Client{Transport: &http.Transport{}} // no proxy: it is on this machine
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return exitf(ExitUnavailable, "interrupted")
		}
		return exitf(ExitUnavailable, "no simulator answers on %s: %w; start one with \"signpost sim\", and name its control address with --control", base, err)
	}
	defer resp.Body.Close()
	text, err := readAnswer(resp)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return t.refused(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return exitf(ExitUnavailable, "read the answer of %s: %w; is it the control API of a simulator of this version?", base, err)
	}
	return nil
}

// refused is the error of what a simulator did not do.
func (t *trigger) refused(status int, text []byte) error {
	var answer struct {
		Error struct{ Field, Message string }
	}
	if json.Unmarshal(text, &answer) != nil || answer.Error.Message == "" {
		return exitf(ExitUnavailable, "what answers on %s is no simulator: status %d; name the control address of one with --control", t.control, status)
	}
	what := answer.Error.Message
	if answer.Error.Field != "" {
		what = fmt.Sprintf("%s: %s", answer.Error.Field, what)
	}
	code := ExitUsage
	if status == http.StatusNotFound {
		code = ExitFindings
	}
	return exitf(code, "the simulator says: %s", printable(what))
}
