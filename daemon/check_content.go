package daemon

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/signpost-sms/signpost/messaging/lint"
)

// contentRoles say what the texts and words are for that a configuration has, by the name
// of the option that holds them, in the options of any handler. What is not named here is
// no text that people get.
var contentRoles = map[string]lint.Role{
	"reply":    lint.Reply,
	"text":     lint.Reply,
	"body":     lint.Reply,
	"greeting": lint.Reply,

	"question": lint.Question,
	"reminder": lint.Question,

	"template":     lint.Template,
	"notification": lint.Notification,
	"marketing":    lint.Marketing,

	// As the registry of campaigns calls them.
	"help_message":    lint.Help,
	"opt_out_message": lint.Stop,
	"opt_in_message":  lint.Start,

	wordsKey:  lint.Keyword,
	"choices": lint.Menu, // a list, or a mapping from each word to its answer
	"answers": lint.Answer,
}

// wordsKey is the option that holds the words of a keyword, or with match: regexp its
// expressions.
const wordsKey = "words"

// lint judges every text and word that the configuration has, and the quiet hours. Nothing at run time is
// blocked by it.
func (l *loader) lint() {
	c := &contentLinter{loader: l, seen: make(map[Finding]bool), options: lint.Options{Brand: l.cfg.Brand, Contact: l.cfg.Consent.Contact}}
	for _, f := range lint.Judge(l.cfg.Brand, lint.Brand, c.options) {
		if f.Rule == "brand-length" && l.cfg.Consent.OptOutMessage != "" {
			continue // the built-in text is not sent
		}
		c.say(f, l.placeOf("brand"), "brand")
	}
	c.lintConsent()
	c.lintTemplates()
	for _, f := range lint.Hours(l.cfg.QuietHours.quiet()) {
		key := "quiet_hours.windows"
		if f.State != "" {
			key = join("quiet_hours.states", f.State)
		}
		c.say(f.Finding, l.placeOf(key), key)
	}
	for _, name := range l.cfg.ContextNames() {
		ctx := l.cfg.Contexts[name]
		for _, item := range slices.Concat(ctx.Handlers, ctx.States) {
			if item.options != nil {
				c.doc = item.doc
				c.value(item.options, item.Name, item.key+"."+item.Name, "")
			}
		}
	}
}

// contentLinter looks for texts in the options of handlers.
type contentLinter struct {
	loader  *loader
	doc     *document
	options lint.Options
	seen    map[Finding]bool // an alias would repeat what is said about its original
}

// value looks at and below the value of the option name. within is the role that replies
// have here; empty for their own.
func (c *contentLinter) value(n *yaml.Node, name, key string, within lint.Role) {
	role := contentRoles[name]
	switch n.Kind {
	case yaml.AliasNode:
		c.value(n.Alias, name, key, within)
	case yaml.MappingNode:
		if role == lint.Menu || role == lint.Answer {
			c.choices(n, role, key, within)
			return
		}
		within, role = c.keyword(n, within)
		for i := 0; i+1 < len(n.Content); i += 2 {
			child := n.Content[i].Value
			if child == wordsKey && role == lint.Pattern {
				c.patterns(n.Content[i+1], join(key, child))
				continue
			}
			c.value(n.Content[i+1], child, join(key, child), within)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			c.value(item, name, fmt.Sprintf("%s[%d]", key, i), within)
		}
	case yaml.ScalarNode:
		if _, named := c.loader.cfg.Templates[n.Value]; named && name == "template" {
			return // it was judged where it stands
		}
		if role == lint.Reply && within != "" {
			role = within
		}
		if role != "" {
			c.judge(n, role, key)
		}
	}
}

// choices looks at a mapping from words to answers.
func (c *contentLinter) choices(n *yaml.Node, role lint.Role, key string, within lint.Role) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		word := n.Content[i]
		c.judge(word, role, join(key, word.Value))
		c.value(n.Content[i+1], "reply", join(key, word.Value), within)
	}
}

// keyword tells, of options with words, which role their replies have and which the words.
func (c *contentLinter) keyword(n *yaml.Node, within lint.Role) (replies, words lint.Role) {
	words = lint.Keyword
	if match := childAt(n, "match"); match != nil && match.Value == "regexp" {
		words = lint.Pattern
	}
	list := childAt(n, wordsKey)
	if list != nil && slices.ContainsFunc(list.Content, func(w *yaml.Node) bool { return lint.AsksHelp(resolved(w).Value, words) }) {
		within = lint.Help
	}
	return within, words
}

// patterns looks at the regular expressions of a keyword.
func (c *contentLinter) patterns(n *yaml.Node, key string) {
	for i, item := range resolved(n).Content {
		c.judge(resolved(item), lint.Pattern, fmt.Sprintf("%s[%d]", key, i))
	}
}

// resolved is what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func (c *contentLinter) judge(n *yaml.Node, role lint.Role, key string) {
	for _, f := range lint.Judge(n.Value, role, c.options) {
		c.say(f, c.doc.placeWithin(n, f.Offset, f.Length), key)
	}
}

// say reports a finding, unless what holds the text has refused it already.
func (c *contentLinter) say(f lint.Finding, at Place, key string) {
	severity := SeverityWarning
	if f.Severity == lint.Error {
		severity = SeverityLint
	}
	finding := Finding{severity, at, f.Rule, key, f.Message, f.Suggestion}
	same := finding
	same.Key = "" // an alias has the key of where it is used
	if !c.seen[same] && !c.loader.reported(key) {
		c.seen[same] = true
		c.loader.report(finding)
	}
}

// placeWithin is the place of a part of a node's value. The node's own, if it is the whole,
// or if the file spells the part in another way, with escapes or over several lines.
func (d *document) placeWithin(n *yaml.Node, offset, length int) Place {
	whole := d.place(n)
	if length == 0 || length == len(n.Value) {
		return whole
	}
	from := d.offset(whole)
	raw, part := d.written(n, from), []byte(n.Value[offset:offset+length])
	at := 0
	for before := strings.Count(n.Value[:offset], string(part)); ; before-- {
		i := bytes.Index(raw[at:], part)
		switch at += max(i, 0); {
		case i < 0:
			return whole
		case before == 0:
			return d.placeOfOffset(from + at)
		}
		at += len(part)
	}
}

// written gives the text of the file from where a scalar begins to where it ends: for one
// without quotes the rest of its line.
func (d *document) written(n *yaml.Node, from int) []byte {
	raw := d.text[from:]
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return raw[:blockEnd(raw)]
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		quote := byte('\'')
		if n.Style&yaml.DoubleQuotedStyle != 0 {
			quote = '"'
		}
		begin := bytes.IndexByte(raw, quote) + 1
		for i := begin; i < len(raw); i++ {
			switch {
			case raw[i] == '\\' && quote == '"', raw[i] == quote && quote == '\'' && i+1 < len(raw) && raw[i+1] == quote:
				i++
			case raw[i] == quote:
				return raw[:i]
			}
		}
		return raw
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	return line
}

// blockEnd is where a block scalar ends: before the first line that is indented less than
// its first one.
func blockEnd(raw []byte) int {
	end, indent := 0, -1
	for line := range bytes.Lines(raw) {
		text := bytes.TrimLeft(line, " ")
		depth := len(line) - len(text)
		switch blank := len(bytes.TrimSpace(text)) == 0; {
		case end == 0 || blank: // the line of the indicator
		case indent < 0:
			indent = depth
		case depth < indent:
			return end
		}
		end += len(line)
	}
	return end
}
