package daemon

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// contentRule looks at one text that the configuration may send to a person and says what
// is wrong with it; an empty message if nothing is.
type contentRule struct {
	rule     string
	severity Severity
	look     func(text string) (message, mend string)
}

// contentRules are the lint rules for texts. They judge what operators wrote, before
// anybody gets it; nothing at run time is blocked by them.
func contentRules() []contentRule {
	return []contentRule{
		{"public-shortener", SeverityLint, func(text string) (message, mend string) {
			if host := shortenerIn(text, barredShorteners()); host != "" {
				return "a link of " + host + ", which carriers filter because it hides where it leads", "write the full link, or use a short domain of your own"
			}
			return "", ""
		}},
		{"public-shortener", SeverityWarning, func(text string) (message, mend string) {
			if host := shortenerIn(text, doubtfulShorteners()); host != "" {
				return "a link of " + host + ", which some carriers filter because it hides where it leads", "write the full link, or use a short domain of your own"
			}
			return "", ""
		}},
	}
}

// barredShorteners are the public link shorteners that SignalWire's messaging best
// practices name.
func barredShorteners() []string {
	return []string{"bit.ly", "goo.gl", "tinyurl.com", "tiny.cc", "lc.chat", "is.gd", "soo.gd", "s2r.co", "budurl.com", "bc.vc"}
}

// doubtfulShorteners are others of the same kind.
func doubtfulShorteners() []string {
	return []string{"t.co", "ow.ly", "buff.ly", "rebrand.ly", "cutt.ly", "t.ly", "shorturl.at"}
}

// hostname finds what may be the host of a link, with or without a scheme.
var hostname = regexp.MustCompile(`(?i)[a-z0-9-]+(\.[a-z0-9-]+)+`)

// shortenerIn gives the first of the hosts that the text links to; empty if none.
func shortenerIn(text string, hosts []string) string {
	for _, at := range hostname.FindAllStringIndex(text, -1) {
		host := strings.TrimPrefix(strings.ToLower(text[at[0]:at[1]]), "www.")
		// In help@bit.ly it is the host of a mailbox.
		if slices.Contains(hosts, host) && (at[0] == 0 || text[at[0]-1] != '@') {
			return host
		}
	}
	return ""
}

// isText tells the options whose values are sent to people.
func isText(name string) bool {
	return slices.Contains([]string{"reply", "text", "body", "greeting"}, name)
}

// lint looks at every text of every chain.
func (l *loader) lint() {
	rules := contentRules()
	for _, name := range l.cfg.ContextNames() {
		ctx := l.cfg.Contexts[name]
		for _, item := range slices.Concat(ctx.Handlers, ctx.States) {
			if item.options == nil {
				continue
			}
			l.lintNode(rules, item.doc, item.options, item.Name, item.key+"."+item.Name)
		}
	}
}

// lintNode looks at the texts at and below a node, which is the value of the option name.
func (l *loader) lintNode(rules []contentRule, doc *document, n *yaml.Node, name, key string) {
	switch n.Kind {
	case yaml.AliasNode:
		l.lintNode(rules, doc, n.Alias, name, key)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			child := n.Content[i].Value
			l.lintNode(rules, doc, n.Content[i+1], child, join(key, child))
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			l.lintNode(rules, doc, c, name, fmt.Sprintf("%s[%d]", key, i))
		}
	case yaml.ScalarNode:
		if !isText(name) {
			return
		}
		for _, r := range rules {
			if message, mend := r.look(n.Value); message != "" {
				l.report(Finding{r.severity, doc.place(n), r.rule, key, message, mend})
			}
		}
	}
}
