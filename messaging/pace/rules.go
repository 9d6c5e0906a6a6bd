package pace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

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

// Sources of the rules.
const (
	platform = "SignalWire rate limits: limits of the whole space, segments count"
	carriers = "SignalWire campaign registry FAQ; AWS and Bird on T-Mobile's caps"
	operator = "the operator's configuration"
)

// Rules lists the rules that the Pacer keeps, in a fixed order.
func (p *Pacer) Rules() []Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Rule
	add := func(id, text, source string) {
		list = append(list, Rule{ID: id, Text: text, Version: Version, Date: Date, Source: source})
	}
	l := &p.limits
	for _, c := range []struct {
		class Class
		name  string
	}{
		{TenDLC, "US long codes"},
		{TollFree, "toll-free numbers"},
		{Canada, "Canadian long codes"},
		{ShortCode, "short codes"},
		{Local, "long codes of other countries, as slow as the slowest documented"},
	} {
		add(classRules[c.class], fmt.Sprintf("%s: %s", c.name, segments(l.Classes[c.class])), origin(l.Classes[c.class] == classRates[c.class], platform))
	}
	if l.Number != (Rate{}) {
		add("pace.number", "each number: "+segments(l.Number), operator)
	}
	if l.Space != (Rate{}) {
		add("pace.space", "all numbers together: "+segments(l.Space), operator)
	}
	for _, c := range l.Campaigns {
		if c.Rate != (Rate{}) {
			add("pace.campaign", fmt.Sprintf("campaign %s: %s", c.ID, segments(c.Rate)), operator)
		}
		if t, ok := attTiers[c.Tier]; ok {
			add("pace.campaign.att", fmt.Sprintf("campaign %s of tier %s, to AT&T: %s of SMS, %s of MMS", c.ID, c.Tier, segments(t.sms), segments(t.mms)),
				"carrier table as published by Telnyx")
		}
	}
	p.dailyRules(add)
	for _, c := range l.Caps {
		def := slices.Contains(DefaultCaps(), c)
		add("frequency_cap."+c.Category, fmt.Sprintf("%d %s texts to a person in %s", c.N, c.Category, span(c.Window)),
			origin(def, "Fla. Stat. 501.616; Okla. Stat. tit. 15, 775C"))
	}
	if l.Budget.Segments > 0 {
		add("budget.segments", fmt.Sprintf("%d segments a day, %s time", l.Budget.Segments, l.Budget.Zone), operator)
	}
	if l.Budget.Messages > 0 {
		add("budget.messages", fmt.Sprintf("%d messages a day, %s time", l.Budget.Messages, l.Budget.Zone), operator)
	}
	return list
}

func (p *Pacer) dailyRules(add func(id, text, source string)) {
	brands := map[string]int{"": p.limits.Daily}
	for _, c := range p.limits.Campaigns {
		brands[c.Brand] = c.Daily
	}
	type brand struct {
		name  string
		daily int
	}
	var list []brand
	for name, daily := range brands {
		list = append(list, brand{name, daily})
	}
	slices.SortFunc(list, func(a, b brand) int { return cmp.Compare(a.name, b.name) })
	for _, b := range list {
		if b.daily <= 0 {
			continue
		}
		whose := "10DLC numbers in no campaign"
		if b.name != "" {
			whose = "brand " + b.name
		}
		add("daily_cap.tmobile", fmt.Sprintf("%s: %d segments of bulk a day, until midnight of %s", whose, b.daily, p.limits.DailyZone),
			origin(b.daily == DailyDefault, carriers))
	}
}

func origin(isDefault bool, source string) string {
	if isDefault {
		return source
	}
	return operator
}

func segments(r Rate) string {
	unit := span(r.Per)
	switch r.Per {
	case time.Second:
		unit = "second"
	case time.Minute:
		unit = "minute"
	}
	if r.Segments == 1 {
		return "1 segment per " + unit
	}
	return fmt.Sprintf("%d segments per %s", r.Segments, unit)
}

// span writes a duration without the zeros at its end: 24h, 90s.
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
