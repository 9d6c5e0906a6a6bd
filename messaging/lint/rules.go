package lint

import "slices"

// Version is the version of the rules, and Date the day on which they were last held
// against their sources.
const (
	Version = "2026-11"
	Date    = "2026-11-24"
)

// Severity says what a finding means.
type Severity string

// The severities.
const (
	Warning Severity = "warning" // worth a look
	Error   Severity = "error"   // breaks a rule of texting
)

// Rule is one row of the sheet.
type Rule struct {
	ID       string // stable kebab-case name
	Severity Severity
	Text     string // one line, for people
	Version  string
	Date     string // ISO
	Source   string
}

// Rules lists the rules in a fixed order. It is a copy.
func Rules() []Rule { return slices.Clone(rules) }

const (
	revoke   = "47 CFR 64.1200(a)(10), words that revoke consent per se; CTIA Messaging Principles and Best Practices (May 2023), 5.1.3"
	confirm  = "47 CFR 64.1200(a)(12); CTIA short-code handbook"
	practice = "SignalWire, messaging best practices"
	ctia     = "CTIA Messaging Principles and Best Practices (May 2023)"
	gsm      = "GSM 03.38 and 03.40: one character beyond the alphabet makes a segment 70 characters instead of 160"
	campaign = "the campaign's own entry in the registry: embedded_link, embedded_phone"
)

var rules = func() []Rule {
	list := []Rule{
		{ID: protectedWord, Severity: Error, Text: "opt-out and opt-in words are never commands, menu words or expected answers, in any language", Source: revoke},
		{ID: protectedReply, Severity: Error, Text: "no text asks people to reply with an opt-out or opt-in word for anything but that", Source: revoke},
		{ID: reviewCommand, Severity: Warning, Text: "a command with an opt-out word in it makes a person look at each use, and holds other texts meanwhile", Source: "47 CFR 64.1200(a)(10), totality of the circumstances"},
		{ID: helpAnswer, Severity: Error, Text: "the answer to HELP names the brand and a way to reach a person", Source: ctia},
		{ID: stopLength, Severity: Error, Text: "the confirmation of STOP is one segment", Source: confirm},
		{ID: stopBrand, Severity: Error, Text: "the confirmation of STOP names the brand", Source: confirm},
		{ID: stopPromotion, Severity: Error, Text: "the confirmation of STOP promotes nothing", Source: confirm},
		{ID: startParts, Severity: Warning, Text: "the confirmation of START names the brand, the frequency, HELP, STOP and that rates may apply", Source: ctia + ", 5.1.2.1"},
		{ID: brandLength, Severity: Error, Text: "with the brand in it, the built-in confirmation of STOP is still one segment", Source: confirm},
		{ID: publicShortener, Severity: Error, Text: "no links of the public shorteners that the platform names", Source: practice + "; CTIA 5.3.2"},
		{ID: otherShortener, Severity: Warning, Text: "no links of other public shorteners", Source: "CTIA 5.3.2, of the same kind as those that the platform names"},
		{ID: missingBrand, Severity: Warning, Text: "each message of a programme names its sender", Source: practice + "; " + ctia},
		{ID: missingOptOut, Severity: Warning, Text: "each message of a programme says how to opt out", Source: practice + "; " + ctia},
		{ID: tooLong, Severity: Error, Text: "no text has more characters than the platform takes in one message", Source: "SignalWire, 1,600 characters"},
		{ID: manySegments, Severity: Warning, Text: "a text takes a few segments at most, each of which is paid for", Source: gsm},
		{ID: curableUCS2, Severity: Warning, Text: "no text is UCS-2 for a character that has a plain equivalent", Source: gsm},
		{ID: shaft, Severity: Warning, Text: "no template is about sex, hate, alcohol, firearms or tobacco", Source: practice + "; " + ctia},
		{ID: barredSector, Severity: Warning, Text: "no template is of a sector that the platform bars", Source: practice},
		{ID: campaignLink, Severity: Error, Text: "no link where the campaign says that there are none", Source: campaign},
		{ID: campaignPhone, Severity: Error, Text: "no telephone number where the campaign says that there are none", Source: campaign},
		{ID: hoursShut, Severity: Error, Text: "quiet hours leave a window in which messages can be sent", Source: "a message that is held for ever was never meant"},
	}
	for i := range list {
		list[i].Version, list[i].Date = Version, Date
	}
	return list
}()

// The ids.
const (
	protectedWord   = "protected-word"
	protectedReply  = "protected-reply"
	reviewCommand   = "review-command"
	helpAnswer      = "help-answer"
	stopLength      = "stop-confirmation-length"
	stopBrand       = "stop-confirmation-brand"
	stopPromotion   = "stop-confirmation-promotion"
	startParts      = "start-confirmation"
	brandLength     = "brand-length"
	publicShortener = "public-shortener"
	otherShortener  = "other-shortener"
	missingBrand    = "missing-brand"
	missingOptOut   = "missing-opt-out"
	tooLong         = "text-too-long"
	manySegments    = "many-segments"
	curableUCS2     = "curable-ucs2"
	shaft           = "shaft"
	barredSector    = "barred-sector"
	campaignLink    = "campaign-link"
	campaignPhone   = "campaign-phone"
	hoursShut       = "quiet-hours-shut"
)

func severityOf(id string) Severity {
	return rules[slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })].Severity
}

// barredShorteners are the public shorteners that SignalWire's best practices name.
var barredShorteners = []string{"bit.ly", "goo.gl", "tinyurl.com", "tiny.cc", "lc.chat", "is.gd", "soo.gd", "s2r.co", "budurl.com", "bc.vc"}

// doubtfulShorteners are others of the same kind.
var doubtfulShorteners = []string{"t.co", "ow.ly", "buff.ly", "rebrand.ly", "cutt.ly", "t.ly", "shorturl.at"}
