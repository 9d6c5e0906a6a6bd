package pace

// Rule is one row of the sheet.
type Rule struct {
	ID      string // stable; what Verdict.Rule names
	Text    string // one line, for people
	Version string
	Date    string // ISO; when it was last held against its source
	Source  string
}

var classRules = map[Class]string{
	TenDLC: "pace.10dlc", TollFree: "pace.tollfree", ShortCode: "pace.shortcode", Canada: "pace.canada", Local: "pace.local",
}

// Rules lists the rules in a fixed order, with their defaults.
func Rules() []Rule {
	const platform = "SignalWire rate limits: limits of the whole space, segments count"
	list := []Rule{
		{ID: "pace.10dlc", Text: "US long codes: 4 segments per second", Source: platform},
		{ID: "pace.tollfree", Text: "toll-free numbers: 3 segments per second", Source: platform},
		{ID: "pace.canada", Text: "Canadian long codes: 1 segment per second", Source: platform},
		{ID: "pace.shortcode", Text: "short codes: 10 segments per second", Source: platform},
		{ID: "pace.local", Text: "long codes of other countries: 1 segment per second, as the slowest that is documented", Source: platform},
		{ID: "pace.number", Text: "each number: no limit of its own unless configured", Source: "the operator's configuration"},
		{ID: "pace.space", Text: "all numbers together: no limit unless configured", Source: "the operator's configuration"},
		{ID: "pace.campaign", Text: "a campaign: no limit unless configured", Source: "the operator's configuration"},
		{
			ID: "pace.campaign.att", Text: "segments per minute to AT&T by tier, SMS/MMS: A, B 4500/2400; C, D 2400/1200; E, F 240/150; T 75/50",
			Source: "carrier table as published by Telnyx",
		},
		{
			ID: "daily_cap.tmobile", Text: "2000 segments of bulk a day and brand on 10DLC; 10000, 40000 or 200000 when vetted; until midnight Pacific time",
			Source: "SignalWire campaign registry FAQ; AWS and Bird on T-Mobile's caps",
		},
		{
			ID: "frequency_cap.marketing", Text: "3 marketing texts to a person in 24 hours",
			Source: "Fla. Stat. 501.616; Okla. Stat. tit. 15, 775C",
		},
		{ID: "budget.segments", Text: "segments a day: no limit unless configured", Source: "the operator's configuration"},
		{ID: "budget.messages", Text: "messages a day: no limit unless configured", Source: "the operator's configuration"},
	}
	for i := range list {
		list[i].Version, list[i].Date = Version, Date
	}
	return list
}
