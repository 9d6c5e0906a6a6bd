package loop

import (
	"fmt"
	"strings"
	"time"
)

// Version is the version of the rules, and Date the day on which they were last considered.
const (
	Version = "2026-11"
	Date    = "2026-11-23"
)

// Rule is one row of the sheet.
type Rule struct {
	ID      string // stable; what Verdict.Rule names
	Text    string // one line, for people
	Version string
	Date    string // ISO
	Source  string
}

// Rules lists the rules in a fixed order.
func Rules() []Rule {
	const source = "practice: people are always answered, machines never for long"
	list := []Rule{
		{ID: "loop.turnaround", Text: fmt.Sprintf("no replies to who answers ours within %v %d times running", FastTurn, FastTurns)},
		{ID: "loop.echo", Text: fmt.Sprintf("no replies to who sends our own text back %d times running", Echoes)},
		{ID: "loop.repeat", Text: fmt.Sprintf("no reply to the same text %d times running, none %s after the one before", Repeats, span(RepeatGap))},
		{ID: "loop.own_number", Text: "no replies to our own numbers"},
		{ID: "loop.cap", Text: fmt.Sprintf("at most %d replies in %s in one conversation", MostReplies, span(CapWindow))},
		{ID: "duplicate_content", Text: DuplicateText(DuplicateWindow)},
	}
	for i := range list {
		list[i].Version, list[i].Date, list[i].Source = Version, Date, source
	}
	return list
}

// DuplicateText is the text of the rule of Duplicates with that window.
func DuplicateText(window time.Duration) string {
	return "what is no reply is not sent with the same text to the same number within " + span(window)
}

// span writes a duration without the zeros at its end: 10m, 1h.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
