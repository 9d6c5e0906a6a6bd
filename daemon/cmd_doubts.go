package daemon

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
)

func (c *cli) doubtsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doubts",
		Short: "Look after sends that may or may not have left",
		Long: `Look after sends in doubt: their frame may have left, and the answer never came. They end by
a delivery state, by the platform's message log, or by sending.in_doubt.then; or by you.
The running daemon is asked.`,
		Example: "  signpost doubts list\n  signpost doubts resolve 01980a3e-5c1f-7000-8000-000000000001 --as failed",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.doubtsListCommand(), c.doubtsResolveCommand())
	return cmd
}

func (c *cli) doubtsListCommand() *cobra.Command {
	var s searchFlags
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the sends in doubt, the newest last, and how each will end",
		Example: "  signpost doubts list\n  signpost doubts list --json | jq -r .id",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.find(cmd.Context(), &s, "/v1/doubts")
			if err != nil {
				return err
			}
			return c.printList(l.found, l.more, "nothing is in doubt", func(m *api.Message, k clock) []string {
				lines := []string{
					fmt.Sprintf("%s  to %s from %s, %s  %s", k.at(m.At), m.To, m.From, m.Context, m.ID),
					"    " + quoted(m),
				}
				what, why := (&explainer{clock: k}).doubt(m, lastAttempt(m))
				for _, w := range append([]string{what}, why...) {
					lines = append(lines, "    "+w)
				}
				return lines
			})
		},
	}
	s.add(cmd)
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) doubtsResolveCommand() *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "resolve ID --as accepted|resend|failed",
		Short: "Say what became of a send in doubt",
		Long: `Say what became of a send in doubt:
  accepted  the person has it
  resend    the person does not have it: send it again, if the rules still allow it
  failed    the person does not have it, and need not
A delivery state that still comes corrects a wrong word, but a second text cannot be taken
back.
Exit codes: 0 resolved, 1 nothing is in doubt under this id, 69 no daemon answers.`,
		Example: "  signpost doubts resolve 01980a3e-5c1f-7000-8000-000000000001 --as accepted",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch messaging.Resolution(as) {
			case messaging.ResolveAccepted, messaging.ResolveResend, messaging.ResolveFailed:
			case "":
				return exitf(ExitUsage, "resolve needs --as: accepted, resend or failed; see signpost doubts resolve --help")
			default:
				return exitf(ExitUsage, "--as %q is none of accepted, resend, failed", as)
			}
			d, err := c.remote()
			if err != nil {
				return err
			}
			return c.change(cmd.Context(), d, "/v1/doubts/"+url.PathEscape(args[0])+"/resolve", map[string]string{"as": as},
				"%s is not in doubt any more; see what becomes of it:  signpost explain %[1]s")
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "accepted, resend or failed")
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) cancelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Take back a send that has not left",
		Long: `Take back a send that waits: for its time, its turn or the session. What has left, or may
have, cannot be taken back.
Exit codes: 0 taken back, 1 too late or unknown, 69 no daemon answers.`,
		Example: "  signpost messages --status queued\n  signpost cancel 01980a3e-5c1f-7000-8000-000000000001",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			return c.change(cmd.Context(), d, "/v1/sends/"+url.PathEscape(args[0])+"/cancel", nil, "%s is taken back")
		},
	}
	c.jsonFlag(cmd)
	return cmd
}
