package daemon

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sms"
)

func (c *cli) consentImportCommand() *cobra.Command {
	var why evidence
	var dry bool
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Write down a list of opt-outs",
		Long: `Write down a list of opt-outs: CSV with the columns number, and if you have them date, note,
state and scope, in any order under a head line; or without one, number, date and note; or
numbers alone, one a line. With a column state, as in an export, only the rows that say
opted_out are taken. "-" is the standard input.

A row that cannot be read is named with its line and keeps no other from being taken. What
the ledger has already is not written again: after an interruption, or with the bad rows
mended, import the whole file once more.
Exit codes: 0 all of it is in the ledger, 1 there are rows that cannot be read, 64 the file
cannot be read, 69 no daemon answers.`,
		Example: `  signpost consent import stops.csv --dry-run
  signpost consent import stops.csv --note "exported from our former provider"
  grep -h . numbers-*.txt | signpost consent import -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := why.ready(); err != nil {
				return err
			}
			text, name, err := c.readList(args[0])
			if err != nil {
				return err
			}
			list, err := parseList(text, time.Now(), time.Local)
			if err != nil {
				return exitf(ExitUsage, "%s: %w", name, err)
			}
			return c.importList(cmd.Context(), list, name, why, dry)
		},
	}
	why.add(c, cmd)
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, "write nothing, only say what would be")
	c.jsonFlag(cmd)
	return cmd
}

// maxList bounds a list: some millions of numbers.
const maxList = 256 << 20

// readList reads a file, or the standard input, and gives the name that it is known by.
func (c *cli) readList(path string) (text []byte, name string, err error) {
	in := c.in
	if name = "standard input"; path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, "", exitf(ExitUsage, "read the list: %w; name a readable file, or - for the standard input", err)
		}
		defer f.Close()
		in, name = f, filepath.Base(path)
	}
	if text, err = io.ReadAll(io.LimitReader(in, maxList+1)); err != nil {
		return nil, "", exitf(ExitUsage, "read the list: %w; name a readable file, or - for the standard input", err)
	}
	if len(text) > maxList {
		return nil, "", exitf(ExitUsage, "the list has more than %d MiB; split it", maxList>>20)
	}
	return text, name, nil
}

// optOutList is a list of opt-outs as far as it can be read.
type optOutList struct {
	rows    []listRow
	bad     []badRow // rows that cannot be read
	odd     []badRow // rows that are taken although something in them cannot be read
	skipped int      // rows that say that the person did not opt out
	twice   int      // rows that repeat another
}

type listRow struct {
	number messaging.Number
	scope  string
	said   time.Time
	note   string
	line   int
}

// evidence is the note of a row: where it stands, and what is said about all of them and it.
func (r *listRow) evidence(list, note string) string {
	text := fmt.Sprintf("%s, line %d", evident(list, 100), r.line)
	for _, more := range []string{note, r.note} {
		if more != "" {
			text += "; " + more
		}
	}
	return evident(text, api.EvidenceMost)
}

// badRow says what is wrong with a row. It repeats no number.
type badRow struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

// The columns of a list, by the names that people give them.
var listColumns = map[string][]string{
	"number": {"number", "phone", "phone number", "phonenumber", "telephone", "mobile", "mobile number", "cell", "cell phone", "msisdn", "recipient", "to"},
	"date":   {"date", "since", "time", "timestamp", "datetime", "opted out at", "opt out date", "opted out on", "unsubscribed at", "created at"},
	"note":   {"note", "notes", "reason", "comment", "comments"},
	"state":  {"state", "status"},
	"scope":  {"scope"},
}

// columnOf is the column that a head means; empty for another.
func columnOf(head string) string {
	head = strings.Join(strings.FieldsFunc(strings.ToLower(head), func(r rune) bool { return r == '_' || r == '-' || unicode.IsSpace(r) }), " ")
	for column, names := range listColumns {
		if slices.Contains(names, head) {
			return column
		}
	}
	return ""
}

// listParser reads the rows of a list. A row is one line: a quotation mark that is not closed
// must not take the rows behind it with it.
type listParser struct {
	list   *optOutList
	comma  rune
	column map[string]int // where each column is
	seen   map[string]bool
	now    time.Time
	loc    *time.Location
}

// parseList reads a list. Times without a zone are in loc.
func parseList(text []byte, now time.Time, loc *time.Location) (*optOutList, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("the list is no text in UTF-8; save it as CSV in UTF-8")
	}
	p := &listParser{list: &optOutList{}, comma: ',', seen: make(map[string]bool), now: now, loc: loc}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		row := strings.TrimRight(string(line), "\r\n")
		if strings.TrimSpace(row) == "" || strings.HasPrefix(row, "#") {
			continue
		}
		if p.column == nil {
			p.comma = separator(row)
		}
		fields, err := p.split(row)
		switch {
		case err != nil:
			p.bad(n, "quotation marks do not match: close them, and keep the row on one line")
		case p.column != nil:
			p.row(n, fields)
		default:
			head, err := p.head(fields)
			if err != nil {
				return nil, err
			}
			if !head {
				p.row(n, fields)
			}
		}
	}
	return p.list, nil
}

// separator guesses what stands between the columns.
func separator(row string) rune {
	for _, r := range ";\t" {
		if strings.ContainsRune(row, r) && !strings.ContainsRune(row, ',') {
			return r
		}
	}
	return ','
}

func (p *listParser) split(row string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(row))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = p.comma, -1, p.comma != '\t'
	return r.Read()
}

// head learns the columns from the first row, and tells whether it is a head line.
func (p *listParser) head(fields []string) (bool, error) {
	p.column = map[string]int{"number": 0, "date": 1, "note": 2}
	if strings.ContainsAny(strings.Join(fields, ""), "0123456789") && columnOf(fields[0]) == "" {
		return false, nil
	}
	named := make(map[string]int)
	for i, f := range fields {
		if c := columnOf(f); c != "" {
			if _, twice := named[c]; twice {
				return false, fmt.Errorf("two columns are the %s; rename one of them in the head line", c)
			}
			named[c] = i
		}
	}
	if _, ok := named["number"]; !ok {
		return false, errors.New("no column of the head line is the number; name it number")
	}
	p.column = named
	return true, nil
}

func (p *listParser) bad(line int, problem string) {
	p.list.bad = append(p.list.bad, badRow{line, problem})
}

func (p *listParser) row(line int, fields []string) {
	cell := func(column string) string {
		if i, ok := p.column[column]; ok && i < len(fields) {
			return strings.TrimSpace(strings.ToValidUTF8(fields[i], "\ufffd"))
		}
		return ""
	}
	if _, has := p.column["state"]; has {
		out, known := saysOut(cell("state"))
		if !known {
			p.bad(line, "the state is none that is known: write opted_out or allowed")
			return
		}
		if !out {
			p.list.skipped++
			return
		}
	}
	number, err := sms.ParseNumber(cell("number"))
	switch {
	case err != nil:
		p.bad(line, err.Error())
		return
	case number.Class == sms.ShortCode:
		p.bad(line, "a number of 5 or 6 digits is no person's: write it with + and country code")
		return
	}
	r := listRow{number: messaging.Number(number.Number), scope: cell("scope"), note: evident(cell("note"), 500), line: line}
	if date := cell("date"); date != "" {
		if r.said, err = parseWhen(date, p.now, p.loc); err != nil || r.said.After(p.now) {
			r.said = time.Time{}
			r.note = strings.TrimSpace(r.note + " (date: " + evident(date, 50) + ")")
			p.list.odd = append(p.list.odd, badRow{line, "the date is no moment that has been; the row is taken, with the date as part of its note"})
		}
	}
	if r.scope != "" {
		if _, err := api.ParseScope(r.scope); err != nil {
			p.bad(line, err.Error())
			return
		}
	}
	key := string(r.number) + " " + r.scope
	if p.seen[key] {
		p.list.twice++
		return
	}
	p.seen[key] = true
	p.list.rows = append(p.list.rows, r)
}

// saysOut reports whether a state means that the person opted out, if it is known.
func saysOut(state string) (out, known bool) {
	switch strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(state)) {
	case "optedout", "optout", "out", "stop", "stopped", "unsubscribed", "unsubscribe", "revoked", "blocked":
		return true, true
	case "allowed", "review", "optedin", "optin", "in", "active", "subscribed":
		return false, true
	}
	return false, false
}

// evident makes a text fit to be evidence: on one line, and not longer than so many bytes.
func evident(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	for len(text) > most {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}

// imported says what came of a list.
type imported struct {
	Rows      int      `json:"rows"`      // that were read
	Stopped   int      `json:"stopped"`   // people who are opted out by it
	Unchanged int      `json:"unchanged"` // who were before, or stand in the list twice
	Skipped   int      `json:"skipped"`   // who did not opt out, as the list says
	Bad       []badRow `json:"bad"`
	Odd       []badRow `json:"odd"`
	DryRun    bool     `json:"dry_run,omitempty"`
}

// importList writes the rows down, a transaction after the other.
func (c *cli) importList(ctx context.Context, list *optOutList, name string, why evidence, dry bool) error {
	d, err := c.remote()
	if err != nil {
		return err
	}
	sum := imported{
		Rows: len(list.rows) + list.twice + list.skipped + len(list.bad), Unchanged: list.twice, Skipped: list.skipped,
		Bad: append([]badRow{}, list.bad...), Odd: append([]badRow{}, list.odd...), DryRun: dry,
	}
	bar := c.progress("rows written")
	at := 0
	for batch := range slices.Chunk(list.rows, api.ChangesMost) {
		changes := make([]api.Change, len(batch))
		for i, r := range batch {
			changes[i] = api.Change{
				Number: string(r.number), Change: string(messaging.ConsentStop), Scope: r.scope, Actor: why.actor, SaidAt: r.said, Source: string(messaging.OriginImport),
				Note: r.evidence(name, why.note),
			}
		}
		done, err := tellConsent(ctx, d, changes, dry)
		if err != nil {
			bar.clear()
			c.printBad(&sum)
			return withExit(ExitCode(err), fmt.Errorf("%d of %d rows are in the ledger: %w; import the list once more, what is written is not written again", at, len(list.rows), err))
		}
		at += len(batch)
		sum.Stopped, sum.Unchanged = sum.Stopped+done.Changed, sum.Unchanged+done.Unchanged
		bar.show(api.Progress{Done: int64(at), Total: int64(len(list.rows))})
	}
	bar.clear()
	return c.printImported(&sum)
}

func (c *cli) printBad(sum *imported) {
	for _, b := range slices.Concat(sum.Bad, sum.Odd) {
		_, _ = fmt.Fprintf(c.errw, "line %d: %s\n", b.Line, b.Problem)
	}
}

func (c *cli) printImported(sum *imported) error {
	if c.asJSON {
		if err := c.printJSON(sum); err != nil {
			return err
		}
	} else {
		c.printBad(sum)
		verb := "are opted out now"
		switch {
		case sum.DryRun:
			verb = "would be opted out (nothing was written)"
		case sum.Stopped == 1:
			verb = "is opted out now"
		}
		c.printf("%s: %d %s, %d known already", plural(sum.Rows, "row", "rows"), sum.Stopped, verb, sum.Unchanged)
		if sum.Skipped > 0 {
			c.printf(", %d did not opt out, as the list says", sum.Skipped)
		}
		if len(sum.Bad) > 0 {
			c.printf(", %d cannot be read", len(sum.Bad))
		}
		c.printf("\n")
	}
	if n := len(sum.Bad); n > 0 {
		return exitf(ExitFindings, "%s not in the ledger; mend what is named above, and import the list once more",
			plural(n, "row could not be read and is", "rows could not be read and are"))
	}
	return nil
}
