// Package rules is the sheet: every rule of texting that is in force, with its version, its
// date and where it comes from, in one list. It owns none of them; each package of rules
// contributes its own.
//
//	sheet := rules.Sheet(rules.InForce{Quiet: hours, Pace: pacer, Geo: gate})
//	entry, ok := sheet.Find("quiet.conservative")
//
// Nothing here is legal advice.
package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/messaging/geo"
	"github.com/signpost-sms/signpost/messaging/loop"
	"github.com/signpost-sms/signpost/messaging/media"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/quiet"
)

// Topic is the part of the sheet that an entry belongs to.
type Topic string

// The topics, in the order of the sheet.
const (
	Consent  Topic = "consent"
	Quiet    Topic = "quiet"
	Pace     Topic = "pace"
	Loop     Topic = "loop"
	Geo      Topic = "geography"
	Media    Topic = "media"
	Datasets Topic = "data"
)

// Entry is one rule.
type Entry struct {
	// ID is stable, and begins with the topic where the rule's own id does not say it. Of a
	// rule that is kept for each of several campaigns or brands, all entries have the same.
	ID      string `json:"id"`
	Topic   Topic  `json:"topic"`
	Text    string `json:"text"` // one line
	Version string `json:"version"`
	Date    string `json:"date,omitempty"` // ISO; when it was last held against its source
	Source  string `json:"source"`
}

// List is a sheet.
type List []Entry

// InForce is what the rules depend on. A nil field means the defaults.
type InForce struct {
	Quiet *quiet.Hours
	Pace  *pace.Pacer
	Geo   *geo.Gate
}

func (in InForce) withDefaults() InForce {
	var err error
	fail := func() {
		if err != nil {
			panic("rules: the defaults are refused: " + err.Error())
		}
	}
	if in.Quiet == nil {
		in.Quiet, err = quiet.New(quiet.Config{})
		fail()
	}
	if in.Pace == nil {
		in.Pace, err = pace.New(pace.Limits{}, pace.Alone{})
		fail()
	}
	if in.Geo == nil {
		in.Geo, err = geo.New(nil)
		fail()
	}
	return in
}

// Sheet lists every rule in force, by topic, within one in the order of its package.
func Sheet(in InForce) List {
	in = in.withDefaults()
	list := fromConsent(consent.Rules())
	for _, r := range in.Quiet.Rules() {
		text := r.Where + ": " + r.Week.String()
		if r.Exempt {
			text = r.Where + ": at any time"
		}
		list = append(list, Entry{r.ID, Quiet, text, r.Version, r.Date, r.Source})
	}
	for _, r := range in.Pace.Rules() {
		list = append(list, Entry{r.ID, Pace, r.Text, r.Version, r.Date, r.Source})
	}
	for _, r := range loop.Rules() {
		list = append(list, Entry{r.ID, Loop, r.Text, r.Version, r.Date, r.Source})
	}
	for _, r := range in.Geo.Rules() {
		list = append(list, Entry{r.ID, Geo, r.Text, r.Version, r.Date, r.Source})
	}
	for _, r := range media.Rules() {
		list = append(list, Entry{r.ID, Media, r.Text, r.Version, r.Date, r.Source})
	}
	for _, d := range quiet.Data() {
		id := "data." + strings.ReplaceAll(strings.ToLower(d.Name), " ", "_")
		list = append(list, Entry{id, Datasets, fmt.Sprintf("%s: %d entries", d.Name, d.Entries), d.Version, d.Date, d.Source})
	}
	return list
}

func fromConsent(sheet consent.Sheet) (list List) {
	version := strconv.Itoa(sheet.Version)
	for _, r := range sheet.Rules {
		text := r.Effect
		if len(r.Words) > 0 {
			text = strings.Join(r.Words, ", ") + ": " + text
		}
		if r.When != "" {
			text += "; when " + r.When
		}
		list = append(list, Entry{"consent." + r.ID, Consent, text, version, sheet.Date, r.Source})
	}
	for _, p := range sheet.Practice {
		list = append(list, Entry{"consent." + p.ID, Consent, p.Rule + "; here: " + p.Default, version, sheet.Date, p.Source})
	}
	return list
}

// Find gives the entry with that id, the first if there are several.
func (l List) Find(id string) (Entry, bool) {
	if i := slices.IndexFunc(l, func(e Entry) bool { return e.ID == id }); i >= 0 {
		return l[i], true
	}
	return Entry{}, false
}

// Under lists the entries whose id is the given one or begins with it and a dot.
func (l List) Under(id string) List {
	return slices.DeleteFunc(slices.Clone(l), func(e Entry) bool { return e.ID != id && !strings.HasPrefix(e.ID, id+".") })
}
