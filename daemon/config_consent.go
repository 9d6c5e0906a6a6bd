package daemon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/messaging/lint"
)

// ConsentConfig is what an operator may choose about STOP, START and HELP. The words
// themselves, and that they are acted on, cannot be configured.
type ConsentConfig struct {
	Scope      ConsentScope `yaml:"scope"`
	RepeatStop RepeatStop   `yaml:"repeat_stop"`
	// Contact is how a person is reached, in the built-in answer to HELP: a telephone number,
	// a mail address or a web page.
	Contact string `yaml:"contact" reload:"yes" keep:"yes"`
	// Language is that of the built-in texts for who writes an English word. Who writes a
	// word of another language is answered in that.
	Language ConsentLanguage `yaml:"language" reload:"yes"`
	// The texts, each instead of the built-in one in every language; empty for that.
	// {{.Brand}} and {{.Contact}} stand for what is configured.
	OptOutMessage string `yaml:"opt_out_message" reload:"yes" keep:"yes"`
	OptInMessage  string `yaml:"opt_in_message" reload:"yes" keep:"yes"`
	HelpMessage   string `yaml:"help_message" reload:"yes" keep:"yes"`
}

// ConsentScope is how far a STOP reaches.
type ConsentScope string

func (ConsentScope) choices() []string {
	return []string{string(messaging.ReachAll), string(messaging.ReachNumber), string(messaging.ReachContext)}
}

// RepeatStop says what a second STOP of the same person is answered with.
type RepeatStop string

func (RepeatStop) choices() []string {
	return []string{string(consent.RepeatSilent), string(consent.RepeatDaily)}
}

// ConsentLanguage is a language of the built-in texts.
type ConsentLanguage string

func (ConsentLanguage) choices() []string {
	return []string{string(consent.English), string(consent.Spanish), string(consent.French)}
}

// OptedOut says whether a context is shown what people write who opted out.
type OptedOut string

// The values of OptedOut. The empty one, which is the default, means OptedOutIgnore.
const (
	OptedOutIgnore  OptedOut = "ignore"  // its chain does not run
	OptedOutObserve OptedOut = "observe" // its chain runs, and what it answers is suppressed
)

func (OptedOut) choices() []string { return []string{string(OptedOutIgnore), string(OptedOutObserve)} }

func defaultConsent() ConsentConfig {
	return ConsentConfig{
		Scope: ConsentScope(messaging.ReachAll), RepeatStop: RepeatStop(consent.RepeatSilent), Language: ConsentLanguage(consent.English),
	}
}

// wording gives the texts about consent in a language.
func (c *Config) wording(lang consent.Language) consent.Texts {
	if lang == consent.English {
		lang = consent.Language(c.Consent.Language)
	}
	texts := consent.Wording(c.Brand, c.Consent.Contact, lang)
	for _, own := range c.consentTexts() {
		if own.text != "" {
			*own.of(&texts) = c.filled(own.text)
		}
	}
	return texts
}

// consentText is a text about consent of the operator's own.
type consentText struct {
	key, text string
	role      lint.Role
	of        func(*consent.Texts) *string
}

func (c *Config) consentTexts() []consentText {
	return []consentText{
		{"consent.opt_out_message", c.Consent.OptOutMessage, lint.Stop, func(t *consent.Texts) *string { return &t.Stop }},
		{"consent.opt_in_message", c.Consent.OptInMessage, lint.Start, func(t *consent.Texts) *string { return &t.Start }},
		{"consent.help_message", c.Consent.HelpMessage, lint.Help, func(t *consent.Texts) *string { return &t.Help }},
	}
}

// filled puts brand and contact into a text.
func (c *Config) filled(text string) string {
	return strings.NewReplacer("{{.Brand}}", c.Brand, "{{.Contact}}", c.Consent.Contact).Replace(text)
}

// checkConsent holds the texts about consent against what can be filled into them.
func (l *loader) checkConsent() {
	l.checkText("consent.contact", l.cfg.Consent.Contact)
	for _, own := range l.cfg.consentTexts() {
		name := lastOf(own.key)
		switch {
		case l.reported(own.key):
		case own.text != "" && strings.TrimSpace(own.text) == "":
			l.errorAt(own.key, "bad-text", name+" is nothing but spaces", `write a text, or "" for the built-in one`)
		case strings.Contains(own.text, "{{.Brand}}") && l.cfg.Brand == "":
			l.errorAt(own.key, "missing-brand", name+" names {{.Brand}}, and there is none", "set brand")
		case strings.Contains(own.text, "{{.Contact}}") && l.cfg.Consent.Contact == "":
			l.errorAt(own.key, "missing-contact", name+" names {{.Contact}}, and there is none", "set consent.contact")
		case strings.Contains(strings.NewReplacer("{{.Brand}}", "", "{{.Contact}}", "").Replace(own.text), "{{"):
			l.errorAt(own.key, "bad-template", name+" has other braces in it than {{.Brand}} and {{.Contact}}", "write those exactly so, and everything else as people are to read it")
		}
	}
}

// lintConsent judges what the operator chose about consent by the rules of texting.
func (c *contentLinter) lintConsent() {
	cfg := c.loader.cfg
	if cfg.Consent.Scope != ConsentScope(messaging.ReachAll) {
		const key = "consent.scope"
		sheet := consent.Rules().Practice
		rule := sheet[slices.IndexFunc(sheet, func(p consent.Practice) bool { return p.ID == "revoke-all" })]
		c.loader.warnAt(key, "narrow-scope", fmt.Sprintf("a STOP reaches less than everything you send, but by the rule %s, %s (%s)", quote(rule.ID), rule.Rule, rule.Source),
			"write scope: global, or watch for the rule to come into force")
	}
	for _, own := range cfg.consentTexts() {
		for _, f := range lint.Judge(cfg.filled(own.text), own.role, c.options) {
			if own.text != "" {
				c.say(f, c.loader.placeOf(own.key), own.key)
			}
		}
	}
}
