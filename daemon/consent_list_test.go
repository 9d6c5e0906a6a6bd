package daemon

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
)

var readAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestLists(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"numbers alone":        {"+12025550101\r\n2025550102\n\n# no number\n(202) 555-0103", "+12025550101;+12025550102;+12025550103"},
		"byte order mark":      {"\ufeffnumber\n+12025550101\n", "+12025550101"},
		"without a head":       {"+12025550101,2026-11-23,\"by mail, twice\"\n", "+12025550101 on 2026-11-23 by mail, twice"},
		"columns in any order": {"Notes,opted_out_at,Phone\nby mail,2026-11-23 10:00,+12025550101\n", "+12025550101 on 2026-11-23 by mail"},
		"semicolons":           {"number;note\n+12025550101;a, b\n", "+12025550101 a, b"},
		"tabs":                 {"number\tdate\n+12025550101\t2026-11-23\n", "+12025550101 on 2026-11-23"},
		"other columns":        {"id,number,city\n7,+12025550101,Springfield\n", "+12025550101"},
		"twice":                {"+12025550101\n+1 202 555 0101\n", "+12025550101"},
		"a short row":          {"note,number\nby mail\n,+12025550101\n", "+12025550101"},
		"a quote left open":    {"number,note\n+12025550101,\"by\n+12025550102,mail\"\n+12025550103,\n", "+12025550103"},
		"a date to come":       {"+12025550101,2027-01-01\n", "+12025550101 (date: 2027-01-01)"},
		"no text":              {"+12025550101\x00\n", "unreadable"},
		"of a wide encoding":   {"\xff\xfe+\x001\x00", "unreadable"},
		"no number column":     {"name,city\nAnn,Springfield\n", "unreadable"},
		"two number columns":   {"phone,mobile\n+12025550101,+12025550102\n", "unreadable"},
		"nothing":              {"", ""},
	} {
		l, err := parseList([]byte(c.text), readAt, time.UTC)
		got := "unreadable"
		if err == nil {
			var rows []string
			for _, r := range l.rows {
				text := string(r.number)
				if !r.said.IsZero() {
					text += " on " + r.said.Format(time.DateOnly)
				}
				rows = append(rows, strings.TrimSpace(text+" "+r.note))
			}
			got = strings.Join(rows, ";")
		}
		if got != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// FuzzList: whatever the list, each of its rows is taken, named, or accounted for, and what
// is taken is fit for the ledger.
func FuzzList(f *testing.F) {
	f.Add([]byte("number,date,note,state,scope\n+12025550101,2024-02-03,x,opted_out,context:a\n"))
	f.Add([]byte("+12025550101\n\"+12025550102\n5550103\n"))
	f.Add([]byte("Date;Phone\n;\xff\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseList(text, readAt, time.UTC)
		if err != nil {
			return
		}
		want := 0
		for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
			if row := strings.TrimRight(string(line), "\r\n"); strings.TrimSpace(row) != "" && !strings.HasPrefix(row, "#") {
				want++
			}
		}
		if got := len(l.rows) + len(l.bad) + l.skipped + l.twice; got != want && got != want-1 { // a head line
			t.Errorf("%d rows of %d are accounted for", got, want)
		}
		for _, r := range l.rows {
			if n, err := api.ParseNumber(string(r.number)); err != nil || n != r.number {
				t.Errorf("the number of line %d is %q", r.line, r.number)
			}
			if note := r.evidence("a\nlist", strings.Repeat("ä", 600)); len(note) > api.EvidenceMost || strings.ContainsAny(note, "\n\x00") || !strings.HasPrefix(note, fmt.Sprintf("a list, line %d", r.line)) {
				t.Errorf("the note is %q", note)
			}
		}
	})
}
