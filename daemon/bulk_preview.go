package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/quiet"
	"github.com/signpost-sms/signpost/messaging/sms"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// foreseen is what "signpost bulk --dry-run --json" prints.
type foreseen struct {
	Job      string         `json:"job"` // under which it would run
	Rows     int            `json:"rows"`
	Send     int            `json:"send"` // that would be sent
	Example  string         `json:"example,omitempty"`
	Encoding sms.Encoding   `json:"encoding,omitempty"` // of the example
	Segments int            `json:"segments"`           // of all together
	Longest  int            `json:"longest_segments"`   // of the longest
	LongLine int            `json:"longest_line"`
	Held     int            `json:"quiet_hours"` // that would wait for the end of quiet hours
	HeldTill *time.Time     `json:"quiet_until,omitempty"`
	First    time.Time      `json:"first_at"`
	Last     time.Time      `json:"last_at"`
	LimitBy  string         `json:"limited_by,omitempty"` // the limit that most waited for
	Cost     *float64       `json:"cost,omitempty"`
	Withheld map[string]int `json:"withheld"` // by reason: consent
	Refused  []bulkFault    `json:"refused"`
	Bad      []bulkFault    `json:"bad"`
}

// previewPrefix begins the names of jobs that only --dry-run asks about; "bulk list" leaves
// them out.
const previewPrefix = "preview-"

// preview says what would become of the list. Consent and texts are the daemon's word; quiet
// hours and limits those of the configuration, which it shares with this command.
func (b *bulk) preview(ctx context.Context, d *remote, list *bulkList) error {
	cfg, err := b.c.load(Source{NoCredentials: true, ContextsInCode: true})
	if err != nil {
		return err
	}
	out := foreseen{
		Job: b.job.Name, Rows: len(list.rows) + len(list.bad), Withheld: map[string]int{},
		Refused: []bulkFault{}, Bad: append([]bulkFault{}, list.bad...),
	}
	// Nothing of the previewed job is kept under the name of the real one, whose text may
	// still change.
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", b.job))
	b.job.Name = previewPrefix + hex.EncodeToString(sum[:6])
	var job api.Job
	if err := d.post(ctx, "/v1/bulk", b.job, &job); err != nil {
		return err
	}
	bar := b.c.progress("rows looked at").withLines()
	var sends []forecastSend
	_, err = b.post(ctx, d, list, "?dry_run=true", func(of int) { bar.show(api.Progress{Done: int64(of), Total: int64(len(list.rows))}) }, func(r bulkRow, q api.RowResult) {
		switch q.Status {
		case "":
			out.Refused = append(out.Refused, bulkFault{Line: r.line, Column: 1, Row: r.Row.Row, Phone: r.To, Problem: q.Error})
			return
		case messaging.StatusQueued:
		default:
			out.Withheld[q.Error]++
			return
		}
		out.Segments += q.Segments
		if q.Segments > out.Longest {
			out.Longest, out.LongLine = q.Segments, r.line
		}
		sends = append(sends, forecastSend{to: r.To, segments: q.Segments})
	})
	bar.clear()
	if err != nil {
		return err
	}
	out.Send = len(sends)
	if err := b.forecast(cfg.Config, sends, &out); err != nil {
		return err
	}
	b.example(cfg.Config, list, &out)
	if b.price > 0 {
		cost := math.Round(float64(out.Segments)*b.price*100) / 100
		out.Cost = &cost
	}
	list.bad = append(list.bad, out.Refused...)
	b.printBad(list)
	if b.c.asJSON {
		err = b.c.printJSON(out)
	} else {
		b.c.printf("%s", out.String(b.price))
	}
	if err == nil && len(list.bad) > 0 {
		err = exitf(ExitFindings, "%s would not be sent to", plural(len(list.bad), "row", "rows"))
	}
	return err
}

// forecastSend is a send of the forecast.
type forecastSend struct {
	to       string
	segments int
	at       time.Time // the earliest
}

// forecast plays the sending through in virtual time: when quiet hours let each go, and what
// the limits make of that. What else is sent meanwhile, and what people were sent before, it
// does not know.
func (b *bulk) forecast(cfg *Config, sends []forecastSend, out *foreseen) error {
	rules := cfg.policy()
	hours, err := quiet.New(rules.Quiet)
	if err != nil {
		return exitf(ExitConfig, "quiet_hours: %w", err)
	}
	pacer, err := pace.New(rules.Limits, pace.Alone{})
	if err != nil {
		return exitf(ExitConfig, "sending: %w", err)
	}
	start := time.Now()
	if b.job.NotBefore.After(start) {
		start = b.job.NotBefore
	}
	for i := range sends {
		v := hours.Ask(start, quiet.Class(b.job.Category), quiet.Recipient{Number: sends[i].to})
		sends[i].at = start
		if !v.Allowed {
			out.Held++
			sends[i].at = v.NextOpening
			if !v.NextOpening.IsZero() && (out.HeldTill == nil || v.NextOpening.After(*out.HeldTill)) {
				out.HeldTill = &v.NextOpening
			}
		}
	}
	slices.SortStableFunc(sends, func(x, y forecastSend) int { return x.at.Compare(y.at) })
	class := rules.Numbers[messaging.Number(b.job.From)]
	if class == "" {
		class = sms.ClassOf(b.job.From)
	}
	waited := map[pace.Reason]time.Duration{}
	at := start
	for i, s := range sends {
		if s.at.After(at) {
			at = s.at
		}
		ask := pace.Ask{
			From: b.job.From, To: s.to, Class: pace.Class(class), Segments: max(s.segments, 1),
			Priority: int(messaging.PriorityBulk), Category: b.job.Category,
		}
		// A wait ends at the time that it names, unless two limits take turns: of those there
		// are few.
		const turns = 100
		for range turns {
			v := pacer.Reserve(at, ask)
			if v.OK || rules.LimitsOff {
				break
			}
			next := v.At
			if !next.After(at) {
				next = at.Add(time.Millisecond)
			}
			waited[v.Reason] += next.Sub(at)
			at, ask.Promised = next, next
		}
		if i == 0 {
			out.First = at
		}
	}
	out.Last = at
	if len(sends) == 0 {
		out.First = at
	}
	longest := time.Duration(0)
	for _, r := range pace.Reasons() {
		if waited[r] > longest {
			longest, out.LimitBy = waited[r], string(r)
		}
	}
	return nil
}

// example fills in the text for the first row.
func (b *bulk) example(cfg *Config, list *bulkList, out *foreseen) {
	if len(list.rows) == 0 {
		return
	}
	r := list.rows[0]
	set, _ := cfg.texts()
	name := b.job.Template
	if b.job.Body != "" {
		name = "body"
		set, _ = texts.NewSet("", map[string]texts.Definition{name: {Text: b.job.Body, Brand: texts.BrandOff}})
	}
	t := set.Template(name)
	if t == nil {
		return // the daemon's configuration has it, and ours has not
	}
	locale := r.Locale
	if locale == "" {
		locale = b.job.Locale
	}
	if text, err := t.Render(locale, r.Variables); err == nil {
		out.Example = text.Body
		out.Encoding = text.Encoding
	}
}

// String is the preview as a person reads it.
func (f foreseen) String(price float64) string {
	var s strings.Builder
	if f.Example != "" {
		fmt.Fprintf(&s, "The first of them reads (%s):\n", f.Encoding)
		for line := range strings.SplitSeq(f.Example, "\n") {
			fmt.Fprintf(&s, "  %s\n", printable(line))
		}
	}
	fmt.Fprintf(&s, "%s, to %d of which a text would be sent\n", plural(f.Rows, "row", "rows"), f.Send)
	for _, reason := range slices.Sorted(maps.Keys(f.Withheld)) {
		fmt.Fprintf(&s, "  nothing is sent to %d: %s\n", f.Withheld[reason], reason)
	}
	if n := len(f.Bad); n > 0 {
		fmt.Fprintf(&s, "  %d cannot be read\n", n)
	}
	if n := len(f.Refused); n > 0 {
		fmt.Fprintf(&s, "  %d would be refused\n", n)
	}
	if f.Send > 0 {
		fmt.Fprintf(&s, "%s", plural(f.Segments, "segment", "segments"))
		if f.Longest > 1 {
			fmt.Fprintf(&s, ", at most %d for one person (line %d)", f.Longest, f.LongLine)
		}
		if f.Cost != nil {
			fmt.Fprintf(&s, "; %.2f at %g a segment", *f.Cost, price)
		}
		s.WriteString("\n")
		const form = "Mon 2 Jan 15:04"
		if f.Held > 0 {
			fmt.Fprintf(&s, "%d wait for the end of quiet hours", f.Held)
			if f.HeldTill != nil {
				fmt.Fprintf(&s, ", the last until %s", f.HeldTill.Local().Format(form))
			}
			s.WriteString("\n")
		}
		fmt.Fprintf(&s, "The last one leaves about %s, %s after the first", f.Last.Local().Format(form), span(f.Last.Sub(f.First)))
		if f.LimitBy != "" {
			fmt.Fprintf(&s, " (limit: %s)", f.LimitBy)
		}
		s.WriteString(", if nothing else is sent meanwhile\n")
	}
	s.WriteString("Nothing was sent. Without --dry-run it becomes the job " + f.Job + "\n")
	return s.String()
}
