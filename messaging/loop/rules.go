package loop

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
		{ID: "loop.turnaround", Text: "no replies to who answers ours within 2 seconds 5 times running"},
		{ID: "loop.echo", Text: "no replies to who sends our own text back 3 times running"},
		{ID: "loop.repeat", Text: "no reply to the same text the 6th time running, none 10 minutes after the one before"},
		{ID: "loop.own_number", Text: "no replies to our own numbers"},
		{ID: "loop.cap", Text: "at most 30 replies in 60 seconds in one conversation"},
		{ID: "duplicate_content", Text: "what is no reply is not sent with the same text to the same number within 10 minutes"},
	}
	for i := range list {
		list[i].Version, list[i].Date, list[i].Source = Version, Date, source
	}
	return list
}
