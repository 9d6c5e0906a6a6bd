package daemon

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
)

func (c *cli) consentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "consent",
		Short: "Look after what people agreed to",
		Long: `Look after what people agreed to: who has opted out, why, and what somebody has to read.
What people text is acted on by itself; these commands are for what reaches you by other
ways, and for looking. Everything is written into a ledger that nothing is ever removed
from. The running daemon is asked.`,
		Example: `  signpost consent list --opted-out
  signpost consent stop "+1 555 123 4567" --note "by telephone"
  signpost consent import stops.csv --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		c.consentListCommand(), c.consentShowCommand(),
		c.consentChangeCommand(messaging.ConsentStop, "stop", "Write down that people want no more texts",
			"Write down that people want no more texts, as they told you by telephone, mail or in person.\nFrom then on nothing leaves for them, whoever wants to send it, until they text START."),
		c.consentChangeCommand(messaging.ConsentStart, "start", "Write down that people want texts again",
			"Write down that people want texts again. It needs their own word, which --note must tell\nof: who opted out must not be texted because somebody else thinks so."),
		c.reviewCommand(), c.consentImportCommand(), c.consentExportCommand(), c.consentVerifyCommand(), c.forgetCommand(),
	)
	return cmd
}

// standingsOf reads where the numbers stand, page by page. It calls page with each, also with
// one that is empty.
func standingsOf(ctx context.Context, d *remote, optedOut, review bool, page func([]api.Standing) error) error {
	q := url.Values{"limit": {strconv.Itoa(pageMost)}}
	if optedOut {
		q.Set("opted_out", "true")
	}
	if review {
		q.Set("review", "true")
	}
	for {
		var p api.Standings
		if err := d.get(ctx, "/v1/consent", q, &p); err != nil {
			return err
		}
		if err := page(p.States); err != nil {
			return err
		}
		if !p.More {
			return nil
		}
		q.Set("after", p.Cursor)
	}
}

func (c *cli) consentListCommand() *cobra.Command {
	var optedOut, review bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List where people stand, what changed last at the end",
		Long: `List where people stand who ever said something about consent: since when, and how. What
changed last stands at the end. With --json each is one line of JSON. For all of them use
"signpost consent export".`,
		Example: "  signpost consent list --opted-out\n  signpost consent list --review --json | jq -r .number",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return exitf(ExitUsage, "--limit %d: give 1 or more", limit)
			}
			d, err := c.remote()
			if err != nil {
				return err
			}
			var found []api.Standing
			more := 0
			err = standingsOf(cmd.Context(), d, optedOut, review, func(page []api.Standing) error {
				found = append(found, page...)
				if cut := len(found) - limit; cut > 0 { // the newest are wanted
					more += cut
					found = found[cut:]
				}
				return nil
			})
			if err != nil {
				return err
			}
			none := "Nobody has said anything about consent."
			switch {
			case optedOut && review:
				none = "Nobody has opted out, and there is nothing to read."
			case optedOut:
				none = "Nobody has opted out."
			case review:
				none = nothingToRead
			}
			return c.printStandings(found, more, none)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&optedOut, "opted-out", false, "those who opted out")
	f.BoolVar(&review, "review", false, "those about whom somebody has to read something")
	f.IntVar(&limit, "limit", 50, "at most so many, those that changed last")
	c.jsonFlag(cmd)
	return cmd
}

// nothingToRead is what is said when nobody's words wait for somebody.
const nothingToRead = "There is nothing to read."

// printStandings prints what was found, or else that there is none.
func (c *cli) printStandings(found []api.Standing, more int, none string) error {
	now := time.Now()
	k := clock{now: now, day: now, loc: time.Local}
	for _, s := range found {
		if c.asJSON {
			if err := c.printJSON(s); err != nil {
				return err
			}
			continue
		}
		c.printf("%s  %s  %s\n", cell(s.Number, 16), cell(k.onDay(s.Since), 17), printable(standsText(s)))
	}
	switch {
	case len(found) == 0 && !c.asJSON:
		_, _ = fmt.Fprintln(c.errw, none)
	case more > 0:
		_, _ = fmt.Fprintf(c.errw, "signpost: there are %d more; see them with --limit, or with signpost consent export\n", more)
	}
	return nil
}

// onDay is a time to the minute, with its day.
func (c clock) onDay(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(c.loc).Format("2006-01-02 15:04")
}

// standsText says where a number stands in a scope.
func standsText(s api.Standing) string {
	switch {
	case s.OptedOut:
		return "opted out of " + scopeWords(s.Scope)
	case s.Review:
		return "to be read; until then only answers go out, of " + scopeWords(s.Scope)
	}
	return "may be texted"
}

func scopeWords(scope string) string {
	kind, of, _ := strings.Cut(scope, ":")
	switch kind {
	case "number":
		return "what comes from " + of
	case "context":
		return "context " + of
	}
	return "everything"
}

func (c *cli) consentShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Tell where a person stands, and every line of the ledger about it",
		Long: `Tell where a person stands, and every line of the ledger that says why: what was texted,
on which message and by which rule it was understood; what the platform said; who of you
wrote something down, and on what ground. It is the proof, and no text is in it.`,
		Example: "  signpost consent show \"+1 555 123 4567\"\n  signpost consent show +15551234567 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := api.ParseConsentNumber(args[0])
			if err != nil {
				return exitf(ExitUsage, "%w", err)
			}
			d, err := c.remote()
			if err != nil {
				return err
			}
			of, err := consentOf(cmd.Context(), d, number)
			if err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(of)
			}
			now := time.Now()
			c.printf("%s", consentStory(of, clock{now: now, day: now, loc: time.Local}, c.actor() != ""))
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// consentOf reads everything about a number.
func consentOf(ctx context.Context, d *remote, number messaging.Number) (*api.ConsentOf, error) {
	all := &api.ConsentOf{}
	q := url.Values{"limit": {strconv.Itoa(pageMost)}}
	for {
		var p api.ConsentOf
		if err := d.get(ctx, "/v1/consent/"+url.PathEscape(string(number)), q, &p); err != nil {
			return nil, err
		}
		p.Entries = append(all.Entries, p.Entries...)
		if all = &p; !p.More || len(p.Entries) == 0 {
			return all, nil
		}
		q.Set("after", strconv.FormatInt(p.Entries[len(p.Entries)-1].Seq, 10))
	}
}

// consentStory tells where a number stands and how it came to that. known tells whether a
// command knows by itself who gives it.
func consentStory(of *api.ConsentOf, k clock, known bool) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(printable(fmt.Sprintf(format, args...)))
		b.WriteByte('\n')
	}
	if len(of.Entries) == 0 {
		line("%s has said nothing about consent, and may be texted.", of.Number)
		return b.String()
	}
	out, review := false, false
	for _, s := range of.States {
		out, review = out || s.OptedOut, review || s.Review
		if s.OptedOut || s.Review {
			line("%s: %s, since %s", of.Number, standsText(s), k.onDay(s.Since))
		}
	}
	switch {
	case out:
		line("  Nothing leaves for it but the answer to HELP. It comes back by texting START, or by:")
		who := ""
		if !known {
			who = " --actor NAME"
		}
		line("    signpost consent start %s --note \"...\"%s", of.Number, who)
	case review:
		line("  Read what was written:  signpost consent review")
	default:
		line("%s may be texted.", of.Number)
	}
	line("")
	line("The ledger, oldest line first. Times are of %s.", k.day.In(k.loc).Format("MST"))
	for i := range of.Entries {
		for j, l := range entryWords(&of.Entries[i], k) {
			if j > 0 {
				l = "      " + l
			}
			line("%s", l)
		}
	}
	return b.String()
}

// entryWords tells a line of the ledger: first what it did, then its evidence.
func entryWords(e *api.ConsentLine, k clock) (lines []string) {
	lines = []string{fmt.Sprintf("%5d %s  %s", e.Seq, k.onDay(e.At), changeWords(e))}
	switch messaging.ConsentOrigin(e.Origin) {
	case messaging.OriginMessage:
		lines = append(lines, fmt.Sprintf("texted to %s, context %s, and read as %q (%s, rule consent.%s)", e.Ours, e.Context, strings.ToUpper(e.Word), e.Tier, e.Rule))
	case messaging.OriginHandler:
		lines = append(lines, fmt.Sprintf("a handler read it out of a message to %s, context %s", e.Ours, e.Context))
	case messaging.OriginPlatform:
		lines = append(lines, "the platform refused a text because the person opted out there or with the carrier")
	case messaging.OriginImport:
		lines = append(lines, "from a list, by "+e.Actor+saidWords(e, k))
	default:
		lines = append(lines, "written down by "+cmp.Or(e.Actor, "somebody")+saidWords(e, k))
	}
	if e.Note != "" {
		lines = append(lines, "note: "+e.Note)
	}
	if e.EventID != "" {
		lines = append(lines, "see:  signpost explain "+shellWord(e.EventID))
	}
	if n := len(e.Crossing); n > 0 {
		lines = append(lines, plural(n, "text was", "texts were")+" on the wire when it was written: "+strings.Join(e.Crossing, ", "))
	}
	return lines
}

func saidWords(e *api.ConsentLine, k clock) string {
	if e.SentAt.IsZero() {
		return ""
	}
	return "; the person said so on " + k.onDay(e.SentAt)
}

// changeWords says what a line of the ledger did.
func changeWords(e *api.ConsentLine) string {
	of := ""
	if e.Scope != "global" {
		of = " of " + scopeWords(e.Scope)
	}
	switch messaging.ConsentVerb(e.Change) {
	case messaging.ConsentStop:
		if !e.Changed {
			return "opted out" + of + " once more"
		}
		return "opted out" + of
	case messaging.ConsentStart:
		if !e.Changed {
			return "opted in" + of + ", and had not opted out"
		}
		return "opted in again" + of
	case messaging.ConsentReview:
		return "said something that somebody has to read"
	case messaging.ConsentKeep:
		return "was read: no opt-out"
	}
	return e.Change
}

// evidence are the flags that say who changes something and why.
type evidence struct{ actor, note string }

// actor is who gives the commands, as far as the environment tells.
func (c *cli) actor() string {
	return cmp.Or(c.getenv("SUDO_USER"), c.getenv("USER"), c.getenv("LOGNAME"))
}

func (e *evidence) add(c *cli, cmd *cobra.Command) {
	cmd.Flags().StringVar(&e.actor, "actor", c.actor(), "who says so")
	cmd.Flags().StringVar(&e.note, "note", "", "on what ground; it is kept as proof")
}

// ready checks the flags.
func (e *evidence) ready() error {
	if strings.TrimSpace(e.actor) == "" {
		return exitf(ExitUsage, "the ledger wants to know who says so: add --actor NAME")
	}
	return nil
}

func (c *cli) consentChangeCommand(verb messaging.ConsentVerb, name, short, long string) *cobra.Command {
	var why evidence
	cmd := &cobra.Command{
		Use:   name + " NUMBER...",
		Short: short,
		Long:  long + "\nIt is written into the ledger with --actor and --note, all of it or nothing.",
		Example: fmt.Sprintf("  signpost consent %s \"+1 555 123 4567\" --note \"by telephone, 2 pm\"\n  signpost consent %s +15551234567 +15551234568 --note \"by mail of May 3\" --actor ann --json",
			name, name),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeConsent(cmd.Context(), verb, args, why)
		},
	}
	why.add(c, cmd)
	c.jsonFlag(cmd)
	return cmd
}

// changeConsent tells the daemon about people's consent.
func (c *cli) changeConsent(ctx context.Context, verb messaging.ConsentVerb, numbers []string, why evidence) error {
	if err := why.ready(); err != nil {
		return err
	}
	if verb == messaging.ConsentStart && strings.TrimSpace(why.note) == "" {
		return exitf(ExitUsage, `who opted out comes back by their own word alone: add --note with when and how they gave it, such as --note "asked for texts again by telephone, May 3, 2 pm"`)
	}
	if len(numbers) > api.ChangesMost {
		return exitf(ExitUsage, "these are %d numbers, and %d are the most at once; use signpost consent import", len(numbers), api.ChangesMost)
	}
	changes := make([]api.Change, len(numbers))
	for i, text := range numbers {
		n, err := api.ParseConsentNumber(text)
		if err != nil {
			return exitf(ExitUsage, "number %d: %w", i+1, err)
		}
		changes[i] = api.Change{Number: string(n), Change: string(verb), Actor: why.actor, Note: why.note}
	}
	d, err := c.remote()
	if err != nil {
		return err
	}
	done, err := tellConsent(ctx, d, changes, false)
	if err != nil {
		return err
	}
	for _, r := range done.Results {
		if c.asJSON {
			if err := c.printJSON(r); err != nil {
				return err
			}
			continue
		}
		was := ""
		if !r.Changed {
			was = ", as before"
		}
		c.printf("%s  %s%s\n", r.Number, printable(standsText(r.Standing)), was)
	}
	return nil
}

// tellConsent writes changes, at most api.ChangesMost.
func tellConsent(ctx context.Context, d *remote, changes []api.Change, dry bool) (done api.ChangesDone, err error) {
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	path := "/v1/consent"
	if dry {
		path += "?dry_run=true"
	}
	err = d.post(ctx, path, changes, &done)
	return done, err
}

func (c *cli) reviewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "review",
		Short: "List what somebody has to read: did the person opt out?",
		Long: `List what people wrote with an opt-out word in a longer sentence, the oldest first. Until
somebody has read it, only answers go to them. Then say what it means:
  signpost consent review keep NUMBER...  they did not opt out
  signpost consent review stop NUMBER...  they did
With --json each is one line of JSON.`,
		Example: "  signpost consent review\n  signpost consent review keep \"+1 555 123 4567\" --note \"it was about a bus stop\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			return c.printReviews(cmd.Context(), d)
		},
	}
	cmd.AddCommand(
		c.consentChangeCommand(messaging.ConsentKeep, "review keep", "They did not opt out: everything may go to them again", "Say that what people wrote was no opt-out: everything may go to them again."),
		c.consentChangeCommand(messaging.ConsentStop, "review stop", "They did opt out: nothing goes to them any more", "Say that what people wrote was an opt-out: nothing goes to them any more."),
	)
	for _, sub := range cmd.Commands() {
		sub.Use = strings.TrimPrefix(sub.Use, "review ")
	}
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) printReviews(ctx context.Context, d *remote) error {
	q := url.Values{"limit": {"200"}}
	now := time.Now()
	k := clock{now: now, day: now, loc: time.Local}
	found := 0
	for {
		var p api.Reviews
		if err := d.get(ctx, "/v1/consent/reviews", q, &p); err != nil {
			return err
		}
		for i := range p.Reviews {
			found++
			if c.asJSON {
				if err := c.printJSON(&p.Reviews[i]); err != nil {
					return err
				}
				continue
			}
			for _, line := range reviewWords(&p.Reviews[i], k) {
				c.printf("%s\n", printable(line))
			}
		}
		if !p.More {
			break
		}
		q.Set("after", p.Cursor)
	}
	switch {
	case c.asJSON:
	case found == 0:
		_, _ = fmt.Fprintln(c.errw, nothingToRead)
	default:
		c.printf("Say what they mean:  signpost consent review keep NUMBER...   or   signpost consent review stop NUMBER...\n")
	}
	return nil
}

func reviewWords(r *api.ReviewItem, k clock) (lines []string) {
	lines = []string{fmt.Sprintf("%s  %s", r.Number, k.onDay(r.Since))}
	if m := r.Message; m != nil {
		text := quoted(m)
		if m.Forgotten {
			text = "(its text was removed)"
		}
		lines = append(lines, "    "+text, fmt.Sprintf("    to %s, context %s; signpost explain %s", m.To, m.Context, shellWord(m.ID)))
	} else {
		lines = append(lines, "    the journal has its text no more")
	}
	if r.Line != nil && r.Line.Word != "" {
		lines = append(lines, fmt.Sprintf("    with %q in it", strings.ToUpper(r.Line.Word)))
	}
	return lines
}

func (c *cli) consentExportCommand() *cobra.Command {
	var optedOut, review bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write where everybody stands, as CSV or JSON lines",
		Long: `Write where everybody stands who ever said something about consent, as CSV with a head line
(number, state, date, scope) or with --json as lines of JSON. The states are opted_out,
review and allowed. "signpost consent import" reads the CSV and takes the opt-outs from it.`,
		Example: "  signpost consent export > consent.csv\n  signpost consent export --opted-out --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			if c.asJSON {
				return standingsOf(cmd.Context(), d, optedOut, review, c.exportJSON)
			}
			w := csv.NewWriter(c.out)
			first := true
			return standingsOf(cmd.Context(), d, optedOut, review, func(page []api.Standing) error {
				if first { // an empty list is what a daemon said, and not what none did
					_ = w.Write([]string{"number", "state", "date", "scope"}) // Error tells
					first = false
				}
				return exportCSV(w, page)
			})
		},
	}
	cmd.Flags().BoolVar(&optedOut, "opted-out", false, "those who opted out")
	cmd.Flags().BoolVar(&review, "review", false, "those about whom somebody has to read something")
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) exportJSON(page []api.Standing) error {
	for _, s := range page {
		if err := c.printJSON(s); err != nil {
			return err
		}
	}
	return nil
}

func exportCSV(w *csv.Writer, page []api.Standing) error {
	for _, s := range page {
		since := ""
		if !s.Since.IsZero() {
			since = s.Since.Format(time.RFC3339)
		}
		_ = w.Write([]string{s.Number, stateWord(s), since, s.Scope}) // Error tells
	}
	w.Flush()
	return w.Error()
}

// stateOptedOut is how an export writes that somebody opted out.
const stateOptedOut = "opted_out"

func stateWord(s api.Standing) string {
	switch {
	case s.OptedOut:
		return stateOptedOut
	case s.Review:
		return "review"
	}
	return "allowed"
}

func (c *cli) consentVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that the ledger is as it was written",
		Long: `Check that the ledger is as it was written: each line holds the hash of the one before it,
so that none can be altered, removed or put in between without a trace. Keep the number
of lines and the last hash somewhere else: they prove later that nothing before was changed.
Exit codes: 0 it is whole, 1 it is not, 69 no daemon answers.`,
		Example: "  signpost consent verify\n  signpost consent verify --json >> proofs.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			var whole api.LedgerWhole
			if err := d.get(cmd.Context(), "/v1/consent/verify", nil, &whole); err != nil {
				return err
			}
			if c.asJSON {
				if err := c.printJSON(whole); err != nil {
					return err
				}
			}
			if !whole.OK {
				return exitf(ExitFindings, "%s; %s before it are right", whole.Detail, plural(int(whole.Entries), "line", "lines"))
			}
			if !c.asJSON {
				c.printf("the ledger is whole: %s, the last hash is %s\n", plural(int(whole.Entries), "line", "lines"), cmp.Or(whole.Hash, "none yet"))
			}
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}
