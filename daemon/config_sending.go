package daemon

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/messaging/quiet"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// CampaignConfig is a registered 10DLC campaign of ours.
type CampaignConfig struct {
	ID      string             `yaml:"id"`
	Brand   string             `yaml:"brand"`   // campaigns of one brand share its daily cap
	Tier    CampaignTier       `yaml:"tier"`    // AT&T's message class; empty if it is not known
	Daily   int                `yaml:"daily"`   // the brand's cap in segments a day; 0: 2,000, -1: none
	Rate    Rate               `yaml:"rate"`    // kept towards every carrier; empty: none of its own
	Numbers []messaging.Number `yaml:"numbers"` // of ours, that belong to it
}

// CampaignTier is AT&T's message class of a campaign.
type CampaignTier string

func (CampaignTier) choices() []string { return []string{"A", "B", "C", "D", "E", "F", "T"} }

// Rate is a number of segments in a time, such as 4/s, 75/m or 10/5s; "none" is no limit.
type Rate string

// parse reads the rate. An empty one is none too.
func (r Rate) parse() (pace.Rate, error) {
	if r == "" || r == "none" {
		return pace.Rate{}, nil
	}
	count, per, ok := strings.Cut(string(r), "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if !ok || err != nil || n < 1 {
		return pace.Rate{}, errors.New("not segments per time")
	}
	per = strings.TrimSpace(per)
	if per != "" && strings.Trim(per, "smh") == "" {
		per = "1" + per
	}
	d, err := parseDuration(per)
	if err != nil || d <= 0 {
		return pace.Rate{}, errors.New("not segments per time")
	}
	return pace.Rate{Segments: n, Per: d}, nil
}

// rate is the parsed rate of a valid configuration.
func (r Rate) rate() pace.Rate {
	p, err := r.parse()
	if err != nil {
		return pace.Rate{Segments: -1} // which pace refuses, should nobody have looked before
	}
	return p
}

// rateOf writes a rate as a configuration does.
func rateOf(r pace.Rate) Rate {
	if r == (pace.Rate{}) {
		return "none"
	}
	per := shortDuration(r.Per)
	switch r.Per {
	case time.Second, time.Minute, time.Hour:
		per = strings.TrimPrefix(per, "1")
	}
	return Rate(fmt.Sprintf("%d/%s", r.Segments, per))
}

// RatesConfig are the rates at which numbers may send: of the whole space by class of
// number, of each number, and of all numbers together.
type RatesConfig struct {
	TenDLC    Rate `yaml:"10dlc"`
	TollFree  Rate `yaml:"tollfree"`
	ShortCode Rate `yaml:"shortcode"`
	Canada    Rate `yaml:"canada"`
	Local     Rate `yaml:"local"`
	Number    Rate `yaml:"number"`
	Space     Rate `yaml:"space"`
}

func defaultRates() RatesConfig {
	c := pace.DefaultClasses()
	return RatesConfig{
		TenDLC: rateOf(c[pace.TenDLC]), TollFree: rateOf(c[pace.TollFree]), ShortCode: rateOf(c[pace.ShortCode]),
		Canada: rateOf(c[pace.Canada]), Local: rateOf(c[pace.Local]), Number: "none", Space: "none",
	}
}

// BudgetConfig is the operator's own limit of a day, of all numbers together. Consent
// messages are not held by it.
type BudgetConfig struct {
	Segments int    `yaml:"segments" range:"0.."` // 0: no limit
	Messages int    `yaml:"messages" range:"0.."` // 0: no limit
	Zone     string `yaml:"zone"`                 // whose midnight begins a day; an IANA name
}

// CapConfig bounds how many messages of a category one person is sent in a rolling time.
type CapConfig struct {
	Category CapCategory   `yaml:"category"`
	Messages int           `yaml:"messages"`
	Window   time.Duration `yaml:"window"`
}

// CapCategory is a category of messages that can be capped.
type CapCategory string

func (CapCategory) choices() []string {
	return []string{string(messaging.CategoryMarketing), string(messaging.CategoryNotification)}
}

func defaultCaps() (caps []CapConfig) {
	for _, c := range pace.DefaultCaps() {
		caps = append(caps, CapConfig{CapCategory(c.Category), c.N, c.Window})
	}
	return caps
}

// DuplicatesConfig says what counts as sent twice by mistake.
type DuplicatesConfig struct {
	Window time.Duration `yaml:"window" range:"0s..24h"` // 0: nothing does
}

// QuietHoursConfig says when a message that answers nobody may not arrive, by the time where
// the person is.
type QuietHoursConfig struct {
	Preset QuietPreset `yaml:"preset"`
	// Windows are the hours in which messages may arrive under the preset custom, such as
	// "mon-sat 09:00-20:00, sun 12:00-20:00", and States those of some states instead.
	Windows string            `yaml:"windows" keep:"yes"`
	States  map[string]string `yaml:"states"`
	Ported  Ported            `yaml:"ported"`
	// UnknownZone is the zone of people whose number tells nothing; empty: all of the states.
	UnknownZone string `yaml:"unknown_zone" keep:"yes"`
}

// QuietPreset chooses the windows.
type QuietPreset string

// The presets.
const (
	QuietFederal      QuietPreset = "federal"
	QuietConservative QuietPreset = "conservative"
	QuietStrict       QuietPreset = "strict"
	QuietCustom       QuietPreset = "custom"
)

func (QuietPreset) choices() []string { return []string{"federal", "conservative", "strict", "custom"} }

// Ported says how much an area code proves about where a person is.
type Ported string

// The values of Ported.
const (
	PortedTrust  Ported = "trust"
	PortedStrict Ported = "strict"
)

func (Ported) choices() []string { return []string{"trust", "strict"} }

// policy is the configuration of the gate's rules.
func (c *Config) policy() policy.Config {
	s := &c.Sending
	numbers := make(map[messaging.Number]sms.Class)
	inCampaign := make(map[string][]string)
	for _, n := range s.Numbers {
		numbers[n.Number] = sms.Class(n.Class)
		if n.Campaign != "" {
			inCampaign[n.Campaign] = append(inCampaign[n.Campaign], string(n.Number))
		}
	}
	limits := pace.Limits{
		Classes: map[pace.Class]pace.Rate{
			pace.TenDLC: s.Rates.TenDLC.rate(), pace.TollFree: s.Rates.TollFree.rate(), pace.ShortCode: s.Rates.ShortCode.rate(),
			pace.Canada: s.Rates.Canada.rate(), pace.Local: s.Rates.Local.rate(),
		},
		Number: s.Rates.Number.rate(),
		Space:  s.Rates.Space.rate(),
		Budget: pace.Budget{Segments: s.Budget.Segments, Messages: s.Budget.Messages},
		Caps:   []pace.Cap{}, // an empty list is no caps
	}
	limits.Budget.Zone, _ = quiet.Location(s.Budget.Zone)
	for _, c := range s.Campaigns {
		all := inCampaign[c.ID]
		for _, n := range c.Numbers {
			all = append(all, string(n))
			if _, known := numbers[n]; !known {
				numbers[n] = ""
			}
		}
		limits.Campaigns = append(limits.Campaigns, pace.Campaign{
			ID: c.ID, Brand: c.Brand, Tier: string(c.Tier), Daily: c.Daily, Rate: c.Rate.rate(), Numbers: all,
		})
	}
	for _, c := range s.Caps {
		limits.Caps = append(limits.Caps, pace.Cap{Category: string(c.Category), N: c.Messages, Window: c.Window})
	}
	window := s.Duplicates.Window
	if window == 0 {
		window = -1
	}
	return policy.Config{
		LimitsOff:     !s.Limits,
		Numbers:       numbers,
		Countries:     s.Countries,
		Duplicates:    window,
		Quiet:         c.QuietHours.quiet(),
		Limits:        limits,
		Replicas:      s.Replicas,
		SmartEncoding: s.SmartEncoding,
		Prefix:        s.TrialPrefix,
	}
}

// quiet is the configuration of the quiet hours. What does not parse is left out; validation
// has reported it.
func (q *QuietHoursConfig) quiet() quiet.Config {
	cfg := quiet.Config{Preset: quiet.Preset(q.Preset), Ported: quiet.Ported(q.Ported), UnknownZone: q.UnknownZone}
	if q.Windows != "" {
		cfg.Week, _ = quiet.ParseWeek(q.Windows)
	}
	for state, windows := range q.States {
		if week, err := quiet.ParseWeek(windows); err == nil {
			if cfg.States == nil {
				cfg.States = make(map[string]quiet.Week)
			}
			cfg.States[state] = week
		}
	}
	return cfg
}
