package daemon

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
)

func (c *cli) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look after inbounds whose handlers failed for good",
		Long: `Look after dead letters: inbounds whose handlers failed for good. They are kept until they
are run again or let go. The running daemon is asked.`,
		Example: "  signpost deadletters list\n  signpost deadletters replay --all --context support",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.deadLettersListCommand(), c.deadLettersShowCommand(), c.deadLettersReplayCommand(), c.deadLettersDropCommand())
	return cmd
}

func (c *cli) deadLettersListCommand() *cobra.Command {
	var s searchFlags
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the dead letters, the newest last",
		Example: "  signpost deadletters list --context support --since 1d\n  signpost deadletters list --json | jq -r .id",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.find(cmd.Context(), &s, "/v1/deadletters")
			if err != nil {
				return err
			}
			return c.printList(l.found, l.more, "no dead letters", func(m *api.Message, k clock) []string {
				return []string{
					fmt.Sprintf("%s  %s to %s, %s  %s", k.at(m.At), m.From, m.To, m.Context, m.ID),
					"    " + quoted(m),
					fmt.Sprintf("    failed%s: %s", after(m.Runs), orNothing(m.Error)),
				}
			})
		},
	}
	s.add(cmd)
	c.jsonFlag(cmd)
	return cmd
}

// quoted is a message's text in quotes, or what stands for it.
func quoted(m *api.Message) string {
	if m.Forgotten || m.Body == "" && len(m.Media) > 0 {
		return textOf(m)
	}
	return strconv.Quote(m.Body)
}

func (c *cli) deadLettersShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Tell the whole life of a dead letter",
		Example: "  signpost deadletters show 643cff28-36d1-48e8-95f7-619aaa157a1f",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			var l api.Life
			if err := d.get(cmd.Context(), "/v1/deadletters/"+url.PathEscape(args[0]), nil, &l); err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(l)
			}
			c.printf("%s", explain(&l, time.Now(), time.Local))
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) deadLettersReplayCommand() *cobra.Command {
	var all bool
	var label string
	cmd := &cobra.Command{
		Use:   "replay ID | --all --context NAME",
		Short: "Run the handlers of dead letters again",
		Long: `Run the handlers of a dead letter again, as the handlers are now; or of all dead letters of
a context, oldest first. Mend the cause first. What fails again is a dead letter again.
Exit codes: 0 replayed, 1 there is no such dead letter or some were skipped, 69 no daemon
answers.`,
		Example: "  signpost deadletters replay 643cff28-36d1-48e8-95f7-619aaa157a1f\n  signpost deadletters replay --all --context support",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) == 1, !all && len(args) == 0, !all && label != "":
				return exitf(ExitUsage, "replay takes an id, or --all with --context; see signpost deadletters replay --help")
			case all && label == "":
				return exitf(ExitUsage, "--all needs --context: which context's dead letters are to be run again?")
			}
			d, err := c.remote()
			if err != nil {
				return err
			}
			if all {
				return c.replayAll(cmd.Context(), d, label)
			}
			return c.change(cmd.Context(), d, "/v1/deadletters/"+url.PathEscape(args[0])+"/replay", nil,
				"%s is run again; see what becomes of it:  signpost explain %[1]s")
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "replay all dead letters of --context")
	cmd.Flags().StringVar(&label, "context", "", "the context, for --all")
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) replayAll(ctx context.Context, d *remote, label string) error {
	bar := c.progress("replayed")
	p, err := d.stream(ctx, "/v1/deadletters/replay", map[string]string{"context": label}, bar.show)
	bar.clear()
	if c.asJSON {
		if print := c.printJSON(p); print != nil {
			return print
		}
	}
	switch {
	case err != nil && p.Total > 0:
		return withExit(ExitCode(err), fmt.Errorf("%d of %d dead letters are run again, then: %w", p.Done, p.Total, err))
	case err != nil:
		return err
	case !c.asJSON && p.Total == 0:
		c.printf("there is no dead letter in context %s\n", printable(label))
	case !c.asJSON:
		c.printf("%d of %d dead letters are run again\n", p.Done, p.Total)
	}
	if len(p.Skipped) > 0 {
		if !c.asJSON {
			for _, id := range p.Skipped {
				c.printf("skipped %s: its text was removed, or it is no dead letter any more\n", printable(id))
			}
		}
		return withExit(ExitFindings, errSilent)
	}
	return nil
}

func (c *cli) deadLettersDropCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "drop ID",
		Short:   "Let a dead letter go",
		Long:    "Let a dead letter go: it is not run again and not listed any more. It stays in the journal\nas long as others.",
		Example: "  signpost deadletters drop 643cff28-36d1-48e8-95f7-619aaa157a1f",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			return c.change(cmd.Context(), d, "/v1/deadletters/"+url.PathEscape(args[0])+"/drop", nil, "%s is let go")
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// change tells the daemon to change something and says that it was done.
func (c *cli) change(ctx context.Context, d *remote, path string, body any, said string) error {
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	var done api.Done
	if err := d.post(ctx, path, body, &done); err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(done)
	}
	c.printf(said+"\n", printable(done.ID))
	return nil
}

// changeWithin bounds a change, which waits for a commit; the daemon itself gives up before.
const changeWithin = 45 * time.Second
