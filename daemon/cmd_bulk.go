package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// bulk is what "signpost bulk" was told.
type bulk struct {
	c   *cli
	job api.NewJob

	at, expires string
	column      string
	dry, skip   bool
	wait        bool
	results     string // path
	price       float64
}

func (c *cli) bulkCommand() *cobra.Command {
	b := &bulk{c: c}
	cmd := &cobra.Command{
		Use:   "bulk FILE.csv|- --from NUMBER (--template NAME | --body TEXT)",
		Short: "Send a text to everybody on a list",
		Long: `Send a text to everybody on a list: CSV whose first line names the columns. One is the
phone number, one may be locale, the others are variables of the text: {{.name}} is the
column name. The running daemon takes the rows as a job, keeps to consent, quiet hours, rates
and caps, and lets answers go first.

First look with --dry-run: what the text becomes, who opted out, what has to wait, and how
long it takes. After an interruption run the same command again: a row that was taken is not
taken twice. The job's name, --key, is by default made of the file's name and of what is sent
to whom; a list that shall be sent once more needs another one.

With --results it waits for the last word about each row and writes a CSV with phone,
success, message_id and error.
Exit codes: 0 all rows are taken, 1 some were not, 64 the list or the text cannot be used,
69 no daemon answers.`,
		Example: `  signpost bulk patients.csv --from +15551234567 --template appointment --dry-run
  signpost bulk patients.csv --from +15551234567 --template appointment --results sent.csv
  signpost bulk buyers.csv --from +15551234567 --category marketing --body "Joe's: {{.first_name}}, two for one tonight. Reply STOP to end."
  signpost bulk status buyers-3f9a0c21b7de`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&b.job.From, "from", "", "our number")
	f.StringVar(&b.job.Template, "template", "", "a template of the configuration")
	f.StringVar(&b.job.Body, "body", "", "the text, with {{.column}} for variables")
	f.StringVar(&b.job.Locale, "locale", "", "the language of rows that name none, for a template")
	f.StringVar(&b.job.Context, "context", "", "the context on which delivery states come back")
	f.StringVar(&b.job.Category, "category", string(messaging.CategoryNotification), "notification, marketing or transactional")
	f.StringVar(&b.job.Name, "key", "", "the job's name: the same one goes on with the same job")
	f.StringVar(&b.column, "column", "", "the column with the phone number (default: phone, number, to, mobile, ...)")
	f.StringVar(&b.at, "at", "", `not before then: in how long (2h), a day, or "2026-11-24 15:04"`)
	f.StringVar(&b.expires, "expires", "", "not after then")
	f.BoolVarP(&b.dry, "dry-run", "n", false, "send nothing, only say what would become of it")
	f.BoolVar(&b.skip, "skip-bad", false, "send to the good rows although others cannot be read")
	f.BoolVar(&b.wait, "wait", false, "wait until every row has left")
	f.StringVar(&b.results, "results", "", "wait for the last word about each row, and write it to this new file")
	f.Float64Var(&b.price, "price", 0, "what a segment costs you, for --dry-run")
	_ = cmd.RegisterFlagCompletionFunc("category", cobra.FixedCompletions([]string{"notification", "marketing", "transactional"}, cobra.ShellCompDirectiveNoFileComp))
	c.jsonFlag(cmd)
	cmd.AddCommand(c.bulkListCommand(), c.bulkStatusCommand(), c.bulkResultsCommand(),
		c.bulkTurnCommand("pause", "Let nothing more of a job leave for now", "%s is paused; what has left cannot be taken back. Go on with:  signpost bulk resume %[1]s"),
		c.bulkTurnCommand("resume", "Let a paused job go on", "%s goes on"),
		c.bulkTurnCommand("cancel", "Take back what of a job has not left, for good", "%s is cancelled; what has left cannot be taken back"))
	return cmd
}

// run reads the list and has it sent.
func (b *bulk) run(ctx context.Context, path string) error {
	if err := b.check(); err != nil {
		return err
	}
	text, name, err := b.c.readList(path)
	if err != nil {
		return err
	}
	list, err := parseBulk(name, text, b.column)
	if err != nil {
		return exitf(ExitUsage, "%w", err)
	}
	if err := b.fill(list); err != nil {
		return err
	}
	if len(list.bad) > 0 && !b.skip && !b.dry {
		b.printBad(list)
		return exitf(ExitUsage, "%s cannot be used and nothing was sent; mend what is named above, or send to the others with --skip-bad",
			plural(len(list.bad), "row", "rows"))
	}
	if len(list.rows) == 0 {
		b.printBad(list)
		return exitf(ExitUsage, "%s: there is nobody on the list", name)
	}
	d, err := b.c.remote()
	if err != nil {
		return err
	}
	if b.job.Name == "" {
		b.job.Name = b.keyOf(path, text)
	}
	if b.dry {
		return b.preview(ctx, d, list)
	}
	return b.send(ctx, d, list)
}

// check judges the flags.
func (b *bulk) check() error {
	switch {
	case b.job.From == "":
		return exitf(ExitUsage, "bulk needs --from with one of your numbers")
	case (b.job.Template == "") == (b.job.Body == ""):
		return exitf(ExitUsage, "bulk needs either --template or --body")
	case b.dry && (b.results != "" || b.wait):
		return exitf(ExitUsage, "--dry-run sends nothing that --results or --wait could wait for")
	case b.price < 0:
		return exitf(ExitUsage, "--price is what a segment costs you, and not negative")
	case !slices.Contains([]messaging.Category{messaging.CategoryNotification, messaging.CategoryMarketing, messaging.CategoryTransactional}, messaging.Category(b.job.Category)):
		return exitf(ExitUsage, "--category %q is none of notification, marketing, transactional", b.job.Category)
	}
	from, err := api.ParseNumber(b.job.From)
	if err != nil {
		return exitf(ExitUsage, "--from: %w", err)
	}
	b.job.From = string(from)
	now := time.Now()
	if b.job.NotBefore, err = parseAhead("at", b.at, now); err != nil {
		return err
	}
	if b.job.ExpiresAt, err = parseAhead("expires", b.expires, now); err != nil {
		return err
	}
	if b.results != "" {
		if _, err := os.Lstat(b.results); err == nil {
			return exitf(ExitUsage, "--results: %s is there already, and nothing is overwritten; name a new file", b.results)
		}
	}
	return nil
}

// parseAhead reads a moment that is to come: in how long, or when.
func parseAhead(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if in, err := parseDuration(text); err == nil && in >= 0 {
		return now.Add(in).UTC().Truncate(time.Second), nil
	}
	t, err := parseWhen(text, now, time.Local)
	switch {
	case err != nil:
		return t, exitf(ExitUsage, "--%s: %q is no moment; write in how long (2h, 3d), a day (2026-11-24), a day and a time (\"2026-11-24 15:04\"), or RFC 3339", flag, text)
	case t.Before(now):
		return t, exitf(ExitUsage, "--%s: %s has passed", flag, t.Format(time.DateTime))
	}
	return t.UTC().Truncate(time.Second), nil
}

// fill makes each text of --body, so that a row without a variable is found before anything
// is sent. Texts of templates are the daemon's to make.
func (b *bulk) fill(list *bulkList) error {
	if b.job.Body == "" {
		return nil
	}
	set, problems := texts.NewSet("", map[string]texts.Definition{"body": {Text: b.job.Body, Brand: texts.BrandOff}})
	if len(problems) > 0 {
		return exitf(ExitUsage, "--body: %s; %s", problems[0].Message, problems[0].Mend)
	}
	body := set.Template("body")
	for _, v := range body.Variables() {
		if !slices.Contains(list.columns, v) {
			return exitf(ExitUsage, "--body uses {{.%s}}, and %s has no such column; its variables are: %s", v, list.name, strings.Join(list.variables(), ", "))
		}
	}
	list.rows = slices.DeleteFunc(list.rows, func(r bulkRow) bool {
		_, err := body.Render("", r.Variables)
		if err != nil {
			list.bad = append(list.bad, bulkFault{Line: r.line, Column: 1, Row: r.Row.Row, Phone: r.To, Problem: err.Error()})
		}
		return err != nil
	})
	return nil
}

// badMost is how many faults are printed; all of them are among the results.
const badMost = 20

func (b *bulk) printBad(list *bulkList) {
	slices.SortStableFunc(list.bad, func(f, g bulkFault) int { return cmp.Compare(f.Line, g.Line) })
	for i, f := range list.bad {
		if i == badMost {
			_, _ = fmt.Fprintf(b.c.errw, "... and %d more\n", len(list.bad)-i)
			break
		}
		_, _ = fmt.Fprintf(b.c.errw, "%s: %s\n", list.where(f), printable(f.Problem))
	}
}

var notInKey = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// keyOf names the job for what is sent to whom, so that the same command goes on with it.
func (b *bulk) keyOf(path string, text []byte) string {
	named := b.job
	named.Name = ""
	what, _ := json.Marshal(named) // of strings and times
	sum := sha256.Sum256(append(what, text...))
	base := "list"
	if path != "-" {
		base = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	base = strings.Trim(notInKey.ReplaceAllString(base, "-"), "-.")
	return cmp.Or(base[:min(len(base), 60)], "list") + "-" + hex.EncodeToString(sum[:6])
}

// sent is what "signpost bulk --json" prints.
type sent struct {
	Job        string      `json:"job"`
	Rows       int         `json:"rows"`
	Taken      int         `json:"taken"`
	Repeated   int         `json:"repeated"`   // taken before
	Suppressed int         `json:"suppressed"` // of the taken: nothing is sent to them, by consent or another rule
	Refused    []bulkFault `json:"refused"`    // by the daemon
	Bad        []bulkFault `json:"bad"`        // cannot be read
	Results    string      `json:"results,omitempty"`
}

// send has the daemon take the rows.
func (b *bulk) send(ctx context.Context, d *remote, list *bulkList) error {
	var job api.Job
	if err := d.post(ctx, "/v1/bulk", b.job, &job); err != nil {
		return err
	}
	sum := sent{Job: job.Name, Rows: len(list.rows) + len(list.bad), Refused: []bulkFault{}, Bad: append([]bulkFault{}, list.bad...)}
	bar := b.c.progress("rows taken").withLines()
	done, err := b.post(ctx, d, list, "", func(of int) { bar.show(api.Progress{Done: int64(of), Total: int64(len(list.rows))}) }, func(r bulkRow, q api.RowResult) {
		switch {
		case q.Status == "":
			sum.Refused = append(sum.Refused, bulkFault{Line: r.line, Column: 1, Row: r.Row.Row, Phone: r.To, Problem: q.Error})
		case q.Repeated:
			sum.Repeated++
		default:
			sum.Taken++
		}
		if q.Status == messaging.StatusSuppressed {
			sum.Suppressed++
		}
	})
	bar.clear()
	if err != nil {
		return withExit(ExitCode(err), fmt.Errorf("%d of %d rows are taken as the job %s: %w; run the same command again, what is taken is not taken twice", done, len(list.rows), job.Name, err))
	}
	list.bad = append(list.bad, sum.Refused...)
	if b.wait || b.results != "" {
		if err := b.follow(ctx, d, &sum, list); err != nil {
			return err
		}
	}
	return b.printSent(&sum, list)
}

// post posts the rows of a list, a request for each thousand, and gives what became of each.
// It returns how many of them the daemon has answered for.
func (b *bulk) post(ctx context.Context, d *remote, list *bulkList, query string, progress func(of int), each func(bulkRow, api.RowResult)) (done int, err error) {
	path := "/v1/bulk/" + url.PathEscape(b.job.Name) + "/rows" + query
	for rows := range slices.Chunk(list.rows, api.RowsMost) {
		request := api.Rows{Rows: make([]api.Row, len(rows))}
		for i, r := range rows {
			request.Rows[i] = r.Row
		}
		var answer api.RowsDone
		if err := d.post(ctx, path, request, &answer); err != nil {
			return done, err
		}
		if len(answer.Results) != len(rows) {
			return done, exitf(ExitUnavailable, "the daemon answered for %d rows of %d; is it the same version as this command?", len(answer.Results), len(rows))
		}
		for i, q := range answer.Results {
			each(rows[i], q)
		}
		done += len(rows)
		progress(done)
	}
	return done, nil
}

func (b *bulk) printSent(sum *sent, list *bulkList) error {
	b.printBad(list)
	if b.c.asJSON {
		if err := b.c.printJSON(sum); err != nil {
			return err
		}
	} else {
		b.c.printf("%s: %s taken", sum.Job, plural(sum.Taken, "row is", "rows are"))
		if sum.Repeated > 0 {
			b.c.printf(", %d were before", sum.Repeated)
		}
		if sum.Suppressed > 0 {
			b.c.printf("; nothing is sent to %d of them, who opted out or whom a rule keeps from it", sum.Suppressed)
		}
		b.c.printf("\n")
		if sum.Results != "" {
			b.c.printf("What became of each row is in %s\n", printable(sum.Results))
		} else {
			b.c.printf("See how far it is:  signpost bulk status %s\nStop it for a while, or for good:  signpost bulk pause %[1]s, signpost bulk cancel %[1]s\n", sum.Job)
		}
	}
	if n := len(list.bad); n > 0 {
		return exitf(ExitFindings, "%s not taken", plural(n, "row was", "rows were"))
	}
	return nil
}
