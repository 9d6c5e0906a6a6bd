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
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration without running anything",
		Long: `Check the configuration and print everything that was found, one a line, as
FILE:LINE:COL: rule: message; mend.
Exit codes: 0 clean, 1 it works but breaks a rule of texting, 78 unusable.`,
		Example: "  signpost check\n  signpost check --config /etc/signpost/config.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := c.findConfig()
			if err != nil {
				return err
			}
			if path == "" && c.setup == nil {
				return noConfig()
			}
			cfg, findings := LoadConfig(Source{Path: path, Environ: c.environ(), ContextsInCode: c.setup != nil}, c.opts...)
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
	c.jsonFlag(cmd)
	return cmd
}
