package daemon

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
)

func (c *cli) forgetCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "forget NUMBER",
		Short: "Remove every text to and from a person's number",
		Long: `Remove every text and media URL to and from a person's number from the journal, frames
included. It cannot be undone.
What remains as proof: the ids, numbers, times and outcomes of the messages, and whether
the number has opted out. What is not finished yet stays whole: forget it again later.
Backups made before keep the texts.`,
		Example: "  signpost consent forget \"+1 555 123 4567\"\n  signpost consent forget +15551234567 --yes --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := api.ParseNumber(args[0])
			if err != nil {
				return exitf(ExitUsage, "%w", err)
			}
			d, err := c.remote()
			if err != nil {
				return err
			}
			if !yes {
				if err := c.confirm("Remove every text to and from " + string(number) + "? It cannot be undone."); err != nil {
					return err
				}
			}
			var done api.Forgot
			if err := d.post(cmd.Context(), "/v1/consent/forget", map[string]string{"number": string(number)}, &done); err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(done)
			}
			c.printf("The texts of %d messages and delivery states are removed. As proof their ids, numbers, times and outcomes remain.\n", done.Changed)
			if done.Unfinished > 0 {
				c.printf("%d are not finished and were left whole; forget the number again once they are:\n  signpost messages --number %s\n", done.Unfinished, number)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.jsonFlag(cmd)
	return cmd
}

// confirm asks a person; whoever is none has to say --yes.
func (c *cli) confirm(question string) error {
	if !isTerminal(c.in) {
		return exitf(ExitUsage, "there is nobody to ask; add --yes")
	}
	_, _ = fmt.Fprintf(c.errw, "%s [y/N] ", question)
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && answer == "" {
		return exitf(ExitUsage, "no answer, nothing was done")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return exitf(ExitFindings, "nothing was done")
}

func (c *cli) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup PATH",
		Short: "Copy the journal of the running daemon to a new file",
		Long: `Copy the journal to a new file on the daemon's machine, while the daemon goes on. The copy
is of one moment and whole: put it in the place of the journal to go back to it, or look
at it with "signpost check --store=PATH". Nothing is overwritten. It holds texts and numbers.
Exit codes: 0 done, 1 the file exists, 69 no daemon answers or the copy failed, 78 the
store cannot do that.`,
		Example: "  signpost backup /var/backups/signpost-$(date +%F).db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return exitf(ExitUsage, "%w", err)
			}
			d, err := c.remote()
			if err != nil {
				return err
			}
			return c.backUp(cmd.Context(), d, path)
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) backUp(ctx context.Context, d *remote, path string) error {
	bar := c.progress("pages copied")
	began := time.Now()
	p, err := d.stream(ctx, "/v1/backup", map[string]string{"path": path}, bar.show)
	bar.clear()
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(p)
	}
	c.printf("backed up to %s: %d pages in %s\nlook at it with:  signpost check --store=%s\n", printable(p.Result), p.Total, span(time.Since(began)), shellWord(p.Result))
	return nil
}
