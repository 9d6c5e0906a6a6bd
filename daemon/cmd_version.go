package daemon

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func (c *cli) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go version",
		Example: "  signpost version\n  signpost version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := buildInfo()
			if c.asJSON {
				return c.printJSON(b)
			}
			c.printf("signpost %s (commit %s, %s)\n", b.Version, b.Commit, b.Go)
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Example: `  source <(signpost completion bash)
  signpost completion zsh > "${fpath[1]}/_signpost"`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			default:
				return root.GenPowerShellCompletionWithDesc(c.out)
			}
		},
	}
}

// jsonFlag gives a command that prints data the flag --json.
func (c *cli) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "print JSON, for programs")
}

// printJSON prints v as one line of JSON.
func (c *cli) printJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	c.printf("%s\n", line)
	return nil
}
