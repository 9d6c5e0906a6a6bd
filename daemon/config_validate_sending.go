package daemon

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/signpost-sms/signpost/messaging/geo"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/messaging/quiet"
)

// checkSending holds the limits against what the packages of rules take.
func (l *loader) checkSending() {
	s := &l.cfg.Sending
	for _, k := range keys() {
		if k.kind == reflect.TypeFor[Rate]() {
			v, _ := fieldAt(reflect.ValueOf(l.cfg).Elem(), k.path)
			l.checkRate(k.path, Rate(v.String()))
		}
	}
	l.checkCampaigns()
	if _, err := quiet.Location(s.Budget.Zone); err != nil {
		l.errorAt("sending.budget.zone", "bad-zone", "zone is no time zone", "write an IANA name such as America/Chicago, or UTC")
	}
	for i, c := range s.Caps {
		l.checkCap(fmt.Sprintf("sending.caps[%d]", i), c)
	}
	for i, c := range s.Countries {
		if _, err := geo.New([]string{c}); err != nil {
			l.errorAt(fmt.Sprintf("sending.countries[%d]", i), "bad-country", quote(c)+" is no country", `write ISO codes of two letters, such as US or GB, or "*" for all`)
		}
	}
	l.checkText("sending.trial_prefix", s.TrialPrefix)
}

func (l *loader) checkRate(key string, r Rate) {
	if l.reported(key) {
		return
	}
	rate, err := r.parse()
	if err == nil {
		_, err = pace.New(pace.Limits{Number: rate}, pace.Alone{})
	}
	if err != nil {
		l.errorAt(key, "bad-rate", lastOf(key)+" is "+quote(string(r)), "write segments per time, such as 4/s, 75/m or 10/5s, at most 100000 in 1ms to 1h; none is no limit")
	}
}

// checkCap holds an entry against the bounds that pace has.
func (l *loader) checkCap(key string, c CapConfig) {
	if l.reported(key) || slices.ContainsFunc([]string{".category", ".messages", ".window"}, func(k string) bool { return l.reported(key + k) }) {
		return
	}
	const most = 366 * day
	switch {
	case c.Category == "":
		l.errorAt(key, "missing-category", "an entry of caps has no category", "write category: and "+orList(c.Category.choices()))
	case c.Messages < 1 || c.Messages > 1000:
		l.errorAt(key+".messages", "out-of-range", fmt.Sprintf("messages is %d", c.Messages), "write 1 to 1000; to have no cap, remove the entry (caps: [] for none)")
	case c.Window < time.Second || c.Window > most:
		l.errorAt(key+".window", "out-of-range", "window is "+shortDuration(c.Window), "write 1s to 366d")
	}
}

// checkCampaigns never repeats a number.
func (l *loader) checkCampaigns() {
	campaigns := l.cfg.Sending.Campaigns
	ids := make(map[string]bool)
	numbers := make(map[string]string) // to the id of the campaign
	daily := make(map[string]int)      // by brand
	for i, c := range campaigns {
		item := fmt.Sprintf("sending.campaigns[%d]", i)
		if l.reported(item) {
			continue
		}
		switch {
		case c.ID == "" && !l.reported(item+".id"):
			l.errorAt(item, "missing-id", "an entry of campaigns has no id", "write id: and the id that the campaign registry shows")
		case ids[c.ID]:
			l.errorAt(item+".id", "duplicate-campaign", "another campaign has the same id", "keep one of the two")
		}
		ids[c.ID] = true
		l.checkRate(item+".rate", c.Rate)
		if c.Daily < -1 {
			l.errorAt(item+".daily", "out-of-range", fmt.Sprintf("daily is %d", c.Daily), "write segments a day, 0 for the default of 2000, or -1 for no cap")
		}
		effective := c.Daily
		if effective == 0 {
			effective = pace.DailyDefault
		}
		if c.Brand == "" && effective != pace.DailyDefault {
			l.errorAt(item+".daily", "missing-brand", "a daily cap is a brand's, and the campaign names none", "write brand: and the brand's id")
		} else if before, ok := daily[c.Brand]; ok && before != effective {
			l.errorAt(item+".daily", "brand-conflict", fmt.Sprintf("the daily cap is the brand's, and another campaign of it has %d", before), "write the same figure in all of them")
		}
		daily[c.Brand] = effective
		for j, n := range c.Numbers {
			key := fmt.Sprintf("%s.numbers[%d]", item, j)
			if !ownNumber.MatchString(string(n)) {
				l.errorAt(key, "bad-number", fmt.Sprintf("the number, of %d characters, is neither a plus with 8 to 15 digits nor a short code of 5 or 6", len(n)), "write it with + and country code, without spaces")
				continue
			}
			if other, twice := numbers[string(n)]; twice {
				l.errorAt(key, "duplicate-number", "the number belongs to campaign "+quote(other)+" already", "keep it in one campaign")
				continue
			}
			numbers[string(n)] = c.ID
		}
	}
	for i, n := range l.cfg.Sending.Numbers {
		key := fmt.Sprintf("sending.numbers[%d].campaign", i)
		switch other, listed := numbers[string(n.Number)]; {
		case n.Campaign == "" || l.reported(key):
		case !ids[n.Campaign]:
			l.errorAt(key, "unknown-campaign", "there is no campaign "+quote(n.Campaign)+" under sending.campaigns", "add it there, or remove this key")
		case listed && other != n.Campaign:
			l.errorAt(key, "duplicate-number", "the number belongs to campaign "+quote(other)+" already", "keep it in one campaign")
		case listed:
			l.errorAt(key, "duplicate-number", "the campaign lists the number itself", "keep one of the two")
		}
	}
}

func (l *loader) checkQuietHours() {
	q := &l.cfg.QuietHours
	const key, example = "quiet_hours.windows", `write them like "mon-sat 09:00-20:00, sun 12:00-20:00"`
	if !l.reported("quiet_hours.preset") {
		switch own := q.Windows != "" || len(q.States) > 0; {
		case own && q.Preset != QuietCustom:
			where := key
			if q.Windows == "" {
				where = "quiet_hours.states"
			}
			l.errorAt(where, "windows-unused", fmt.Sprintf("windows of your own do nothing under the preset %s", q.Preset), "write preset: custom, or remove them")
		case q.Preset == QuietCustom && q.Windows == "" && !l.reported(key):
			l.errorAt("quiet_hours.preset", "missing-windows", "the preset custom needs windows", "add quiet_hours.windows; "+example)
		}
	}
	l.checkWeek(key, q.Windows, example)
	for _, state := range slices.Sorted(maps.Keys(q.States)) {
		at := "quiet_hours.states." + state
		if l.reported(at) {
			continue
		}
		if _, err := quiet.New(quiet.Config{Preset: quiet.Custom, Week: anyWeek, States: map[string]quiet.Week{state: anyWeek}}); err != nil {
			l.errorAt(at, "bad-state", quote(state)+" is no state", "write a postal abbreviation such as FL, or CA-ON for a province of Canada")
			continue
		}
		l.checkWeek(at, q.States[state], example)
	}
	if _, err := quiet.Location(q.UnknownZone); q.UnknownZone != "" && err != nil {
		l.errorAt("quiet_hours.unknown_zone", "bad-zone", "unknown_zone is no time zone", "write an IANA name such as America/Chicago")
	}
	if !l.findings.Unusable() {
		// What several keys make together; each by itself is right.
		if _, err := policy.New(l.cfg.policy()); err != nil {
			l.errorAt("sending", "bad-rules", err.Error(), "change one of the settings that it names")
		}
	}
}

var anyWeek = quiet.Week{time.Monday: {Open: 9 * 60, Close: 20 * 60}}

func (l *loader) checkWeek(key, windows, example string) {
	if windows == "" || l.reported(key) {
		return
	}
	if _, err := quiet.ParseWeek(windows); err != nil {
		l.errorAt(key, "bad-windows", err.Error(), example)
	}
}
