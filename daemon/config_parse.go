package daemon

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// The limits of a configuration file. A configuration of a hundred contexts takes some 50
// KiB; what is beyond these is another file by mistake, or an attack by aliases.
const (
	maxConfigBytes = 1 << 20
	maxConfigNodes = 100_000 // with every alias replaced by what it stands for
	maxConfigDepth = 64
)

// document is a YAML file and what it was parsed into.
type document struct {
	name  string
	text  []byte
	lines []int      // where each line begins
	root  *yaml.Node // of the only document's content; nil if it could not be parsed
	// unset has the findings about variables that are not set, by the node that names them:
	// the key of a node is known only when it is decoded.
	unset map[*yaml.Node][]Finding
}

func newDocument(name string, text []byte) *document {
	d := &document{name: name, text: bytes.TrimPrefix(text, []byte("\ufeff")), unset: make(map[*yaml.Node][]Finding)}
	d.lines = append(d.lines, 0)
	for i, c := range d.text {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	return d
}

// place is where a node stands. It lies within the file, whatever the parser counts as a
// line.
func (d *document) place(n *yaml.Node) Place { return d.at(n.Line, n.Column) }

func (d *document) at(line, column int) Place {
	line = min(max(line, 1), len(d.lines))
	return Place{File: d.name, Line: line, Column: min(max(column, 1), utf8.RuneCount(d.line(line))+1)}
}

// line gives a line of the text without its end; the first is 1.
func (d *document) line(number int) []byte {
	line, _, _ := bytes.Cut(d.text[d.lines[number-1]:], []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// offset is the index in the text of a place in it.
func (d *document) offset(p Place) int {
	at := d.lines[p.Line-1]
	for range p.Column - 1 {
		_, size := utf8.DecodeRune(d.text[at:])
		at += size
	}
	return at
}

// placeOfOffset is the place of an index in the text.
func (d *document) placeOfOffset(at int) Place {
	line, exact := slices.BinarySearch(d.lines, at)
	if exact {
		line++
	}
	return d.at(line, utf8.RuneCount(d.text[d.lines[line-1]:at])+1)
}

// parse reads the text of the document, and reports what is wrong with it as YAML.
func (d *document) parse(report func(Finding)) {
	bad := func(p Place, rule, message, mend string) {
		report(Finding{SeverityError, p, rule, "", message, mend})
	}
	if len(d.text) > maxConfigBytes {
		bad(d.at(1, 1), "file-too-large", "the file is larger than 1 MiB", "name the configuration file; this must be another one")
		return
	}
	if bytes.HasPrefix(d.text, []byte{0xff, 0xfe}) || bytes.HasPrefix(d.text, []byte{0xfe, 0xff}) {
		bad(d.at(1, 1), "bad-encoding", "the file is UTF-16", "save it as UTF-8")
		return
	}
	if at, message := foreignBytes(d.text); message != "" {
		bad(d.placeOfOffset(at), "bad-encoding", message, "save the file as UTF-8 text")
		return
	}
	loader, err := yaml.NewLoader(bytes.NewReader(d.text))
	if err != nil {
		bad(d.at(1, 1), "bad-yaml", "the file cannot be read as YAML", "compare it with config.example.yaml")
		return
	}
	var first yaml.Node
	if err := loader.Load(&first); err != nil && !errors.Is(err, io.EOF) {
		d.syntax(err, bad)
		return
	}
	if first.Kind == 0 || len(first.Content) == 0 || first.Content[0].Kind == yaml.ScalarNode && first.Content[0].ShortTag() == "!!null" {
		bad(d.at(1, 1), "empty-file", "the file has no content", `start from config.example.yaml; it needs at least a project, a token and a context with a handler`)
		return
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case err == nil:
		bad(d.place(&second), "second-document", "a second YAML document begins here, which would be ignored", `remove the line "---" or keep one document`)
	case !errors.Is(err, io.EOF):
		d.syntax(err, bad)
		return
	}
	if n := tooComplex(first.Content[0]); n != nil {
		bad(d.place(n), "too-complex", "the file is nested too deeply, or its aliases stand for too much", "write the values out without aliases")
		return
	}
	d.root = first.Content[0]
}

// section gives the text of one section alone, in lines of its own at their old places.
func (d *document) section(name string) []byte {
	text := make([]byte, 0, len(d.text))
	within := false
	for line := range bytes.Lines(d.text) {
		if c := line[0]; c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '#' {
			within = bytes.HasPrefix(line, []byte(name+":"))
		}
		if !within {
			line = []byte("\n")
		}
		text = append(text, line...)
	}
	return text
}

// foreignBytes finds what no text file has; an empty message if there is nothing.
func foreignBytes(text []byte) (at int, message string) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return i, "the file is not UTF-8 from here on"
		case r == '\r' && (i+1 == len(text) || text[i+1] != '\n'), r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return i, "the file has an unprintable character here"
		}
		i += size
	}
	return 0, ""
}

// tooComplex walks the tree as if aliases were copies. It returns the node at which a limit
// is passed, which every cycle does; nil if none is.
func tooComplex(root *yaml.Node) *yaml.Node {
	nodes := 0
	var walk func(n *yaml.Node, depth int) *yaml.Node
	walk = func(n *yaml.Node, depth int) *yaml.Node {
		if nodes++; nodes > maxConfigNodes || depth > maxConfigDepth {
			return n
		}
		if n.Kind == yaml.AliasNode {
			if walk(n.Alias, depth+1) != nil {
				return n
			}
			return nil
		}
		for _, c := range n.Content {
			if at := walk(c, depth+1); at != nil {
				return at
			}
		}
		return nil
	}
	return walk(root, 0)
}

// tabbed finds lines that are indented with a tab.
var tabbed = regexp.MustCompile(`^ *\t\s*\S`)

// maxTabFindings is how many lines with tabs are named; an editor mends all of them at once.
const maxTabFindings = 10

// syntax reports why the text is no YAML, in the words of somebody who wrote it.
func (d *document) syntax(err error, bad func(p Place, rule, message, mend string)) {
	message, p := "", d.at(1, 1)
	var one *yaml.LoadError
	var all *yaml.LoadErrors
	switch {
	case errors.As(err, &one):
	case errors.As(err, &all) && len(all.Errors) > 0:
		one = all.Errors[0]
	}
	if one != nil {
		message, p = one.Message, d.at(one.Mark.Line, one.Mark.Column)
	}
	if tabbed.Match(d.line(p.Line)) {
		for line, named := p.Line, 0; line <= len(d.lines) && named < maxTabFindings; line++ {
			if text := d.line(line); tabbed.Match(text) {
				bad(d.at(line, bytes.IndexByte(text, '\t')+1), "tab-indent", "the line is indented with a tab, which YAML does not allow", "indent with spaces")
				named++
			}
		}
		return
	}
	what, mend := explainSyntax(message)
	if strings.Contains(message, "did not find expected ',' or") && bytes.Contains(d.line(p.Line), []byte("${")) {
		mend = "within brackets and braces, put ${...} in quotes" // the brace is YAML's there
	}
	if strings.Contains(message, "unexpected") && one.ContextMark.Line > 0 {
		// Where the quote begins that runs on until here.
		p = d.at(one.ContextMark.Line, one.ContextMark.Column)
	}
	bad(p, "bad-yaml", what, mend)
}

// explainSyntax says what a complaint of the parser usually comes from. What it does not
// know is passed on; the parser's complaints quote nothing of the file but names of anchors
// and tags, and those are replaced here.
func explainSyntax(message string) (what, mend string) {
	for _, known := range []struct{ part, what, mend string }{
		{"mapping values are not allowed", "a colon where no key can be", `put the text in quotes if the colon is part of it, else check the indentation of this line and the one before`},
		{"could not find expected ':'", "a line that is neither a key with a colon nor part of a value", "write it as key: value, or indent it"},
		{"did not find expected key", "a line that does not fit the block it stands in", "give it the same indentation as its neighbours, and close quotes before it"},
		{"did not find expected '-' indicator", "a line that does not fit the list it stands in", `begin it with "- " at the indentation of the other items`},
		{"did not find expected ',' or", "a bracket that is not closed, or a comma that is missing", "close it, and separate its parts by commas"},
		{"did not find expected node content", "a value is missing, or a bracket is not closed", "write the value, or close the bracket"},
		{"unexpected end of stream", "a quote that is not closed", "close it"},
		{"unexpected document indicator", "a quote that is not closed before the next document", "close it"},
		{"cannot start any token", "a value begins with a character that YAML reserves", "put the value in quotes"},
		{"unknown escape", "a backslash in double quotes that begins no known escape", `use single quotes, or write \\ for a backslash`},
		{"anchor", "a value begins with * or &, which YAML reads as the name of another value", "put the value in quotes if it is text"},
		{"alphabetic or numeric", "a value begins with * or &, which YAML reads as the name of another value", "put the value in quotes if it is text"},
		{"tag", "a value begins with !, which YAML reads as a type", "put the value in quotes if it is text"},
		{"block end", "a line that does not fit the block it stands in", "give it the same indentation as its neighbours"},
		{"sequence entries are not allowed", "a list item where none can be", "put it on a line of its own below the key"},
	} {
		if strings.Contains(message, known.part) {
			return known.what, known.mend
		}
	}
	return "broken YAML", "compare the line and the one before with config.example.yaml"
}
