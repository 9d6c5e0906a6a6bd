package daemon

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/signpost-sms/signpost/daemon/api"
)

// searchFlags are the flags of a search.
type searchFlags struct {
	number, context, direction, since, until, text string
	statuses, fates                                []string
	limit                                          int
}

// add adds those that restrict any list.
func (s *searchFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.number, "number", "", "from or to this number")
	f.StringVar(&s.context, "context", "", "of this context")
	f.StringVar(&s.since, "since", "", `from then on: how long ago (2h, 3d), a day, or "2026-11-24 15:04"`)
	f.StringVar(&s.until, "until", "", "before then")
	f.StringVar(&s.text, "text", "", "with this in the text, in upper or lower case")
	f.IntVar(&s.limit, "limit", 50, "at most so many, the newest")
}

// query is the query string for it.
func (s *searchFlags) query(now time.Time, loc *time.Location) (url.Values, error) {
	if s.limit < 1 {
		return nil, exitf(ExitUsage, "--limit %d: give 1 or more", s.limit)
	}
	q := url.Values{}
	if s.number != "" {
		n, err := api.ParseNumber(s.number)
		if err != nil {
			return nil, exitf(ExitUsage, "--number: %w", err)
		}
		q.Set("number", string(n))
	}
	for name, text := range map[string]string{"since": s.since, "until": s.until} {
		if text == "" {
			continue
		}
		t, err := parseWhen(text, now, loc)
		if err != nil {
			return nil, exitf(ExitUsage, "--%s: %w", name, err)
		}
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
	for name, text := range map[string]string{
		"context": s.context, "direction": s.direction, "text": s.text,
		"status": strings.Join(s.statuses, ","), "fate": strings.Join(s.fates, ","),
	} {
		if text != "" {
			q.Set(name, text)
		}
	}
	return q, nil
}

// pageMost is how many messages one request brings.
const pageMost = 1000

// listing is what a search of the running daemon found, oldest first.
type listing struct {
	d      *remote
	q      url.Values // as the last page was asked for
	found  []api.Message
	more   bool   // there are older ones
	newest string // the cursor of what was newest when it was asked
}

// find asks the running daemon for the newest messages that the flags want, page by page.
func (c *cli) find(ctx context.Context, s *searchFlags, path string) (*listing, error) {
	q, err := s.query(time.Now(), time.Local)
	if err != nil {
		return nil, err
	}
	l := &listing{q: q}
	if l.d, err = c.remote(); err != nil {
		return nil, err
	}
	for first := true; len(l.found) < s.limit; first = false {
		q.Set("limit", strconv.Itoa(min(s.limit-len(l.found), pageMost)))
		var p api.Page
		if err := l.d.get(ctx, path, q, &p); err != nil {
			return nil, err
		}
		if first {
			l.newest = p.Newest
		}
		l.found, l.more = append(l.found, p.Messages...), p.More
		if !p.More || len(p.Messages) == 0 {
			break
		}
		q.Set("before", p.Cursor)
	}
	slices.Reverse(l.found)
	return l, nil
}

func (c *cli) messagesCommand() *cobra.Command {
	var s searchFlags
	var follow bool
	cmd := &cobra.Command{
		Use:   "messages",
		Short: "List the messages of the journal",
		Long: `List the messages of the journal in both directions, the newest last: when, from whom (<)
or to whom (>), on which context, what became of it, the text and the id. What became of
an inbound is its fate (retry, done, dead, dropped), of a send its status.
"signpost explain ID" tells the whole life of one. The running daemon is asked.

With --follow it goes on until Ctrl+C. With --json each message is one line of JSON.`,
		Example: `  signpost messages --since 2h
  signpost messages --number "+1 555 123 4567" --follow
  signpost messages --status failed,undelivered --since 2026-11-24
  signpost messages --direction in --text refund --json | jq -r .body`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.find(cmd.Context(), &s, "/v1/messages")
			if err != nil {
				return err
			}
			t := &messageTable{c: c, loc: time.Local, width: c.width()}
			for i := range l.found {
				if err := t.print(&l.found[i]); err != nil {
					return err
				}
			}
			if follow {
				return t.follow(cmd.Context(), l.d, l.q, l.newest, l.found)
			}
			switch {
			case len(l.found) == 0 && !c.asJSON:
				_, _ = fmt.Fprintln(c.errw, "signpost: no messages")
			case l.more:
				_, _ = fmt.Fprintf(c.errw, "signpost: there are older ones; see more with --limit %d, or others with --until\n", s.limit*10)
			}
			return nil
		},
	}
	s.add(cmd)
	f := cmd.Flags()
	f.StringVar(&s.direction, "direction", "", "in: from people; out: from us (default: both)")
	f.StringSliceVar(&s.statuses, "status", nil, "sends with these statuses, such as failed,in_doubt")
	f.StringSliceVar(&s.fates, "fate", nil, "inbounds with these fates, such as retry,dead")
	f.BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	c.jsonFlag(cmd)
	return cmd
}

// width is how wide a table may be: as the terminal, or what fits on one.
func (c *cli) width() int {
	const usual = 100
	f, ok := c.out.(*os.File)
	if !ok {
		return usual
	}
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > usual {
		return w
	}
	return usual
}

// messageTable prints messages as they come, a line each.
type messageTable struct {
	c     *cli
	loc   *time.Location
	width int
	day   string // that was printed last
}

func (t *messageTable) print(m *api.Message) error {
	if t.c.asJSON {
		return t.c.printJSON(m)
	}
	if day := m.At.In(t.loc).Format("Mon 2 Jan 2006, MST"); day != t.day {
		t.day = day
		t.c.printf("%s\n", day)
	}
	t.c.printf("%s\n", t.row(m))
	return nil
}

// row is one message in a line of the table's width.
func (t *messageTable) row(m *api.Message) string {
	arrow := "<"
	if m.Direction == api.DirectionOut {
		arrow = ">"
	}
	const fixed = 8 + 1 + 1 + 1 + 13 + 1 + 10 + 1 + 11 + 1 + 1 + 36
	return fmt.Sprintf("%s %s %s %s %s %s %s", m.At.In(t.loc).Format(time.TimeOnly), arrow, cell(m.Theirs(), 13), cell(m.Context, 10),
		cell(statusWord(m), 11), cell(textOf(m), t.width-fixed), printable(m.ID))
}

// statusWord says what became of a message, as far as a list knows.
func statusWord(m *api.Message) string {
	switch {
	case m.Direction == api.DirectionOut:
		return string(m.Status)
	case m.Fate == api.FateDone && len(m.Sends) == 0:
		return "no reply"
	}
	return string(m.Fate)
}

// textOf is what stands in a list for a message's text.
func textOf(m *api.Message) string {
	switch {
	case m.Forgotten:
		return "(removed)"
	case m.Body == "" && len(m.Media) > 0:
		return fmt.Sprintf("(%s)", plural(len(m.Media), "medium", "media"))
	}
	return m.Body
}

// cell fits a text into so many columns.
func cell(text string, columns int) string {
	text = ansi.Truncate(printable(strings.Join(strings.Fields(text), " ")), columns, "…")
	return text + strings.Repeat(" ", max(columns-ansi.StringWidth(text), 0))
}

// followEvery is how often what is new is asked for.
const followEvery = time.Second

// follow prints what comes until ctx ends.
func (t *messageTable) follow(ctx context.Context, d *remote, q url.Values, at string, shown []api.Message) error {
	seen := make(map[string]bool, len(shown)) // what came between two questions is answered twice
	for _, m := range shown {
		seen[m.ID] = true
	}
	q.Del("before")
	q.Set("limit", strconv.Itoa(pageMost))
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		q.Set("after", at)
		var p api.Page
		if err := d.get(ctx, "/v1/messages", q, &p); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		for i := range p.Messages {
			if m := &p.Messages[i]; !seen[m.ID] {
				if err := t.print(m); err != nil {
					return err
				}
			}
		}
		if len(p.Messages) > 0 {
			clear(seen)
			for _, m := range p.Messages {
				seen[m.ID] = true
			}
		}
		if p.Cursor != "" {
			at = p.Cursor
		}
		if p.More {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// printList prints dead letters or doubts, some lines each.
func (c *cli) printList(found []api.Message, more bool, none string, each func(m *api.Message, k clock) []string) error {
	now := time.Now()
	for i := range found {
		m := &found[i]
		if c.asJSON {
			if err := c.printJSON(m); err != nil {
				return err
			}
			continue
		}
		for _, line := range each(m, clock{now: now, day: now, loc: time.Local}) {
			c.printf("%s\n", printable(line))
		}
	}
	switch {
	case len(found) == 0 && !c.asJSON:
		_, _ = fmt.Fprintln(c.errw, "signpost: "+none)
	case more:
		_, _ = fmt.Fprintln(c.errw, "signpost: there are older ones; see them with --limit or --until")
	}
	return nil
}
