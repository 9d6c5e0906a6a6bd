package daemon

import (
	"context"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
)

func (c *cli) explainCommand() *cobra.Command {
	var number string
	cmd := &cobra.Command{
		Use:   "explain ID | last",
		Short: "Tell the whole life of a message, and why there was no reply",
		Long: `Tell the whole life of a message: when it came, was journaled and acknowledged, which
handler decided, what was sent, each attempt at it with its answer and delivery states;
and if there was no reply, why, and what can be done.

The id is that of a message in either direction, of an attempt or its tag, the platform's
id of a message, or the key of a send. "last" is the newest message, --number the newest
one from or to a number. The running daemon is asked.
Exit codes: 0 found, 1 the journal holds nothing of it, 69 no daemon answers.`,
		Example: `  signpost explain last
  signpost explain --number "+1 555 123 4567"
  signpost explain 643cff28-36d1-48e8-95f7-619aaa157a1f --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (number != "") {
				return exitf(ExitUsage, "explain takes an id, or last, or --number; see signpost explain --help")
			}
			d, err := c.remote()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), askWithin)
			defer cancel()
			var id string
			switch {
			case number != "":
				id, err = newest(ctx, d, number)
			case args[0] == "last":
				id, err = newest(ctx, d, "")
			default:
				id = args[0]
			}
			if err != nil {
				return err
			}
			var l api.Life
			if err := d.get(ctx, "/v1/messages/"+url.PathEscape(id), nil, &l); err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(l)
			}
			c.printf("%s", explain(&l, time.Now(), time.Local))
			return nil
		},
	}
	cmd.Flags().StringVar(&number, "number", "", "explain the newest message from or to this number")
	c.jsonFlag(cmd)
	return cmd
}

// newest finds the id of the newest message, of a number if one is given.
func newest(ctx context.Context, d *remote, number string) (string, error) {
	q := url.Values{"limit": {"1"}}
	if number != "" {
		n, err := api.ParseNumber(number)
		if err != nil {
			return "", exitf(ExitUsage, "--number: %w", err)
		}
		q.Set("number", string(n))
	}
	var p api.Page
	if err := d.get(ctx, "/v1/messages", q, &p); err != nil {
		return "", err
	}
	if len(p.Messages) == 0 && number != "" {
		return "", exitf(ExitFindings, "the journal holds no message from or to this number")
	}
	if len(p.Messages) == 0 {
		return "", exitf(ExitFindings, "the journal holds no message yet")
	}
	return p.Messages[0].ID, nil
}
