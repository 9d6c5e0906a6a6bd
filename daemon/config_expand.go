package daemon

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ruleUnset is the rule of a variable without a value.
const ruleUnset = "unset-variable"

// expander replaces ${VAR} and ${VAR:-default} in the scalars of a document. It works on the
// tree and not on the text, so that a value with a colon or a line break stays one value.
type expander struct {
	doc    *document
	env    map[string]string
	report func(Finding)
}

// expand replaces the variables in every value below n. Keys are left alone, and of an alias
// the original is expanded.
func (e *expander) expand(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			e.expand(n.Content[i])
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			e.expand(c)
		}
	case yaml.ScalarNode:
		if !strings.Contains(n.Value, "${") {
			return
		}
		n.Value = e.text(n, n.Value)
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0 {
			// A number that came from a variable is a number, but nothing is a text.
			if n.Tag = ""; n.ShortTag() == "!!null" {
				n.Tag = "!!str"
			}
		}
	}
}

// text expands the variables in s.
func (e *expander) text(n *yaml.Node, s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1]) // $${ stands for ${
			b.WriteString("${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		inner, rest, closed := cutBrace(s[i+2:])
		if !closed {
			e.bad(n, s[i:], "bad-variable", "${ is not closed", "write ${NAME} or ${NAME:-default}; $${ stands for a plain ${")
			b.WriteString(s[i:])
			return b.String()
		}
		b.WriteString(e.value(n, s[i:], inner))
		s = rest
	}
}

// value is what the inside of ${...} stands for; at is the text from the ${ on.
func (e *expander) value(n *yaml.Node, at, inner string) string {
	name, fallback, hasDefault := strings.Cut(inner, ":-")
	if !isVariable(name) {
		e.bad(n, at, "bad-variable", "${...} names no variable", "write ${NAME} or ${NAME:-default}, of letters, digits and underscores; $${ stands for a plain ${")
		return ""
	}
	value, set := e.env[name]
	switch {
	case hasDefault && value == "":
		return e.text(n, fallback)
	case !set:
		e.doc.unset[n] = append(e.doc.unset[n], Finding{
			SeverityError, e.find(n, at), ruleUnset, "",
			"the environment variable " + name + " is not set", "set it, or write ${" + name + ":-default}",
		})
	}
	return value
}

// cutBrace cuts s at the brace that closes an already open one.
func cutBrace(s string) (inner, rest string, closed bool) {
	depth := 1
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "${"):
			depth++
			i++
		case s[i] == '}':
			if depth--; depth == 0 {
				return s[:i], s[i+1:], true
			}
		}
	}
	return "", "", false
}

func isVariable(name string) bool {
	for i, r := range []byte(name) {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

func (e *expander) bad(n *yaml.Node, at, rule, message, mend string) {
	e.report(Finding{SeverityError, e.find(n, at), rule, "", message, mend})
}

// find gives the place of a piece of a node's value. The file may spell the value with
// escapes or over lines; then it is the node's.
func (e *expander) find(n *yaml.Node, piece string) Place {
	p := e.doc.place(n)
	name, _, _ := strings.Cut(piece, "}")
	name, _, _ = strings.Cut(name, "\n")
	from := e.doc.offset(p)
	if i := bytes.Index(e.doc.text[from:], []byte(name)); i >= 0 && i <= len(n.Value)+len(piece)+maxConfigDepth {
		return e.doc.placeOfOffset(from + i)
	}
	return p
}
