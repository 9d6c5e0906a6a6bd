package daemon

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/messaging/rules"
)

func (c *cli) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules [ID]",
		Short: "Show the rules of texting that are in force",
		Long: `Show every rule of texting that is in force under the configuration, with its version, the
day on which it was last held against its source, and the source. With an id, such as
quiet.conservative or pace, the rules of that id and below it. An id is what
"signpost explain" names for a text that did not leave.

Without a configuration file the defaults are shown. Nothing here is legal advice.
Exit codes: 0 shown, 1 no rule in force has the id, 78 the configuration is unusable.`,
		Example: `  signpost rules
  signpost rules quiet
  signpost rules pace.10dlc --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := c.load(Source{NoCredentials: true, ContextsInCode: true})
			if err != nil {
				return err
			}
			p, err := policy.New(cfg.policy())
			if err != nil {
				return withExit(ExitConfig, err)
			}
			list := p.Sheet()
			if len(args) == 1 {
				if list, err = findRules(list, args[0]); err != nil {
					return err
				}
			}
			if c.asJSON {
				return c.printJSON(list)
			}
			if len(args) == 1 {
				c.printRules(list)
			} else {
				c.printSheet(list)
			}
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// findRules gives the rules of an id and below it.
func findRules(sheet rules.List, id string) (rules.List, error) {
	found := sheet.Under(strings.ToLower(strings.TrimSuffix(id, ".")))
	if len(found) > 0 {
		return found, nil
	}
	var ids []string
	for _, e := range sheet {
		ids = append(ids, e.ID)
	}
	mend := "see signpost rules"
	if near := nearest(id, ids); near != "" {
		mend = "did you mean " + near + "?"
	}
	return nil, exitf(ExitFindings, "no rule in force has the id %s; %s", quote(id), mend)
}

// printSheet prints all rules, a line each, by topic.
func (c *cli) printSheet(list rules.List) {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	topic := rules.Topic("")
	for _, e := range list {
		if e.Topic != topic {
			if topic != "" {
				_, _ = fmt.Fprintln(w)
			}
			topic = e.Topic
			_, _ = fmt.Fprintln(w, strings.ToUpper(string(topic)))
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", e.ID, e.Text)
	}
	_ = w.Flush() // a closed pipe is the reader's choice
	c.printf("\nVersion, date and source of a rule:  signpost rules ID\nNothing here is legal advice.\n")
}

// printRules prints rules with where they come from.
func (c *cli) printRules(list rules.List) {
	for i, e := range list {
		if i > 0 {
			c.printf("\n")
		}
		c.printf("%s\n", e.ID)
		for _, line := range ruleLines(e) {
			c.printf("  %s\n", line)
		}
	}
}

// ruleLines are what a rule says and where it comes from.
func ruleLines(e rules.Entry) []string {
	origin := "version " + e.Version
	if e.Date != "" {
		origin += ", checked " + e.Date
	}
	return slices.DeleteFunc([]string{e.Text, origin, "source: " + e.Source}, func(s string) bool { return s == "" })
}
