package daemon

import (
	"strings"

	"github.com/spf13/cobra"
)

// checked is what "signpost check --json" prints.
type checked struct {
	File     string   `json:"file,omitempty"`
	Contexts []string `json:"contexts"`
	Findings Findings `json:"findings"`
}

func (c *cli) checkCommand() *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration without running anything",
		Long: `Check the configuration and print everything that was found, one a line, as
FILE:LINE:COL: rule: message; mend.
With --store the journal is examined instead: that of the configuration, or with
--store=PATH another file, such as a backup, or with --store=postgres://... a database.
Nothing is changed. A file that a daemon has open is not touched: back it up and examine
the copy. A database may be in use.

Exit codes: 0 clean or nothing but warnings, 1 it works but breaks a rule of texting, or the journal is damaged,
78 unusable, or there is no journal to examine.`,
		Example: `  signpost check
  signpost check --config /etc/signpost/config.yaml --json
  signpost check --store=/var/backups/signpost.db`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("store") {
				return c.checkStore(cmd.Context(), store)
			}
			path, err := c.findConfig()
			if err != nil {
				return err
			}
			if path == "" && c.setup == nil {
				return noConfig()
			}
			cfg, findings := checkAll(Source{Path: path, Environ: c.environ(), ContextsInCode: c.setup != nil}, c.opts...)
			names := []string{}
			if cfg != nil {
				names = append(names, cfg.ContextNames()...)
			}
			if c.asJSON {
				if findings == nil {
					findings = Findings{}
				}
				if err := c.printJSON(checked{File: path, Contexts: names, Findings: findings}); err != nil {
					return err
				}
			} else {
				c.printf("%s", findings)
				if len(findings) > 0 {
					c.printf("%s\n", findings.tally())
				}
			}
			if code := findings.ExitCode(); code != ExitOK {
				return withExit(code, errSilent)
			}
			if !c.asJSON {
				c.printf("%s: ok, contexts: %s\n", path, strings.Join(names, ", "))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&store, "store", "", "examine the journal: that of the configuration, or --store=PATH, or --store=postgres://...")
	cmd.Flags().Lookup("store").NoOptDefVal = configuredStore
	c.jsonFlag(cmd)
	return cmd
}
