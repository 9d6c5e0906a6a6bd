package handlers

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// MaxReply is how many characters a reply may have: what the platform takes in one message,
// however many segments it becomes.
const MaxReply = sms.MaxCharacters

// Data is what a template sees.
type Data struct {
	Body       string
	From, To   string // the sender, and our number
	Context    string
	Brand      string
	Media      []string // URLs
	ReceivedAt time.Time
	// Match is what a regular expression of a keyword found: the whole match, then each
	// group, as the sender wrote it. Groups has the named groups again, by name. A group
	// that took no part is empty. Both are nil outside of such a keyword.
	Match  []string
	Groups map[string]string
}

// Template is the text of a reply. It is safe for concurrent use.
//
// It is written in the language of text/template over [Data], with the functions upper,
// lower, trim, default, firstword and truncate. What people text is data: it is copied into
// the output and never parsed.
type Template struct {
	where string
	env   Env // for its logger
	// A text without actions is only this.
	static string
	// A template of texts and plain string fields, the usual case, is run from these
	// instead of by reflection; the result is the same.
	segments []segment
	full     *template.Template
}

// segment is a text and the field that stands after it.
type segment struct {
	text  string
	field field
}

// field is a field of Data that is a string.
type field uint8

const (
	noField field = iota
	fieldBody
	fieldFrom
	fieldTo
	fieldContext
	fieldBrand
)

var plainFields = map[string]field{
	"Body": fieldBody, "From": fieldFrom, "To": fieldTo, "Context": fieldContext, "Brand": fieldBrand,
}

func (d *Data) plain(f field) string {
	switch f {
	case fieldBody:
		return d.Body
	case fieldFrom:
		return d.From
	case fieldTo:
		return d.To
	case fieldContext:
		return d.Context
	case fieldBrand:
		return d.Brand
	}
	return ""
}

var funcs = template.FuncMap{
	"upper": strings.ToUpper,
	"lower": strings.ToLower,
	"trim":  strings.TrimSpace,
	"default": func(fallback, s string) string {
		if s == "" {
			return fallback
		}
		return s
	},
	"firstword": func(s string) string {
		for word := range strings.FieldsSeq(s) {
			return word
		}
		return ""
	},
	"truncate": func(n int, s string) (string, error) {
		if n < 0 {
			return "", errors.New("truncate takes a length of 0 or more")
		}
		for i := range s {
			if n == 0 {
				return s[:i], nil
			}
			n--
		}
		return s, nil
	},
}

// ParseTemplate reads the text of a reply and runs it against sample messages, one of them
// bare (neither text nor media), so that a mistake is found now and not when somebody
// writes. The error names env.Where.
func ParseTemplate(text string, env Env) (*Template, error) {
	t, err := parseTemplate(text, env)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where(env), err)
	}
	return t, nil
}

func where(env Env) string {
	if env.Where == "" {
		return "reply"
	}
	return env.Where
}

// parseTemplate is ParseTemplate, whose errors do not name the place.
func parseTemplate(text string, env Env) (*Template, error) {
	t := &Template{where: where(env), env: env}
	if !strings.Contains(text, "{{") {
		t.static = text
		if strings.TrimSpace(text) == "" {
			return nil, errors.New("the text is empty: write one, or use ignore to stay silent")
		}
		if n := utf8.RuneCountInString(text); n > MaxReply {
			return nil, fmt.Errorf("the text has %d characters and the platform takes %d: shorten it", n, MaxReply)
		}
		return t, nil
	}
	full, err := template.New("reply").Option("missingkey=error").Funcs(funcs).Parse(text)
	if err != nil {
		place, reason := templateFault(err)
		return nil, fmt.Errorf("the template does not parse, %s: %s", place, reason)
	}
	t.full = full
	t.segments = segmentsOf(full)
	for _, sample := range samples(env) {
		var out strings.Builder
		if err := full.Execute(&limited{w: &out, left: MaxReply}, sample.data); err != nil {
			if errors.Is(err, errTooLong) {
				return nil, errTooLong
			}
			place, reason := templateFault(err)
			return nil, fmt.Errorf("the template fails for %s, %s: %s: guard it with {{if}} or {{with}}, or correct it", sample.name, place, reason)
		}
	}
	return t, nil
}

// Execute fills the template in. A result of more than [MaxReply] characters is cut there,
// ends with an ellipsis and is logged as a warning with its length. The error names the
// template and how to mend it, never the data; it is a [messaging.Drop], since the same
// message fails again.
func (t *Template) Execute(d *Data) (string, error) {
	switch {
	case t.full == nil:
		return t.static, nil
	case t.segments != nil:
		return t.join(d)
	}
	return t.run(d)
}

// join fills in a template of plain fields. Unlike run it keeps d on the caller's stack.
func (t *Template) join(d *Data) (string, error) {
	size := 0
	for i := range t.segments {
		size += len(t.segments[i].text) + len(d.plain(t.segments[i].field))
	}
	var out strings.Builder
	out.Grow(size)
	for i := range t.segments {
		out.WriteString(t.segments[i].text)
		out.WriteString(d.plain(t.segments[i].field))
	}
	// No text has more characters than bytes.
	if size > MaxReply {
		if n := utf8.RuneCountInString(out.String()); n > MaxReply {
			return t.cut(out.String(), n), nil
		}
	}
	return out.String(), nil
}

// run fills in any template.
func (t *Template) run(d *Data) (string, error) {
	var out strings.Builder
	switch err := t.full.Execute(&limited{w: &out, left: MaxReply}, d); {
	case errors.Is(err, errTooLong):
		// The template was stopped there: how much more it would have written is unknown.
		text := strings.ToValidUTF8(out.String(), "\uFFFD")
		return t.cut(text, utf8.RuneCountInString(text)), nil
	case err != nil:
		// The reason may quote a value, that is, what somebody texted. The place is enough.
		place, _ := templateFault(err)
		return "", messaging.Drop(fmt.Errorf("%s: the template fails for this message, %s: guard it with {{if}}, or make it work for any text", t.where, place))
	}
	return strings.ToValidUTF8(out.String(), "\uFFFD"), nil // slice may have cut a character
}

// Static reports whether the template has no actions: every output is the same.
func (t *Template) Static() bool { return t.full == nil }

// cut shortens a result to what the platform takes: whoever wrote gets an answer, and the log
// says that it was not all of it. atLeast is how long the result would have been.
func (t *Template) cut(text string, atLeast int) string {
	text = cut(text, MaxReply)
	t.env.logger().Warn("a reply is longer than the platform takes and was cut; shorten its template, for instance with {{truncate 100 .Body}}",
		"component", "handlers", "template", t.where, "characters_at_least", atLeast, "limit", MaxReply)
	return text
}

// location is how text/template begins its errors.
var location = regexp.MustCompile(`^template: reply:(\d+)(?::\d+)?: (?:executing "[^"]*" (at <.*?>): )?`)

// templateFault splits an error of text/template into the place, which is the template's
// own text, and the reason.
func templateFault(err error) (place, reason string) {
	text := err.Error()
	m := location.FindStringSubmatch(text)
	if m == nil {
		return "line 1", text
	}
	place = "line " + m[1]
	if m[2] != "" {
		place += " " + m[2]
	}
	return place, text[len(m[0]):]
}

// segmentsOf compiles a template of texts and plain fields; nil for any other.
func segmentsOf(full *template.Template) []segment {
	if len(full.Templates()) != 1 || full.Tree == nil {
		return nil // {{define}}, or nothing but comments
	}
	segments := []segment{}
	pending := ""
	for _, node := range full.Root.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			pending += string(n.Text)
		case *parse.ActionNode:
			f := plainField(n)
			if f == noField {
				return nil
			}
			segments = append(segments, segment{text: pending, field: f})
			pending = ""
		default:
			return nil
		}
	}
	if pending != "" {
		segments = append(segments, segment{text: pending})
	}
	return segments
}

// plainField is the field that an action such as {{.Body}} prints; none for any other action.
func plainField(n *parse.ActionNode) field {
	if len(n.Pipe.Decl) != 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
		return noField
	}
	f, ok := n.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
	if !ok || len(f.Ident) != 1 {
		return noField
	}
	return plainFields[f.Ident[0]]
}

type sample struct {
	name string
	data *Data
}

// samples are messages that a template must survive.
func samples(env Env) []sample {
	full := Data{
		Body: "Sample text of a message", From: "+12025550123", To: "+12025550100", Context: "sample", Brand: env.Brand,
		Media: []string{"https://example.com/picture.jpg"}, ReceivedAt: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
	}
	bare := Data{From: full.From, To: full.To, Context: full.Context, Brand: env.Brand, ReceivedAt: full.ReceivedAt}
	if len(env.groups) == 0 {
		return []sample{{"a sample message", &full}, {"a message without text or media", &bare}}
	}
	var all []sample
	for i, names := range env.groups {
		for _, value := range []string{"1", ""} {
			d := full
			d.Match, d.Groups = []string{d.Body}, map[string]string{}
			for _, name := range names {
				d.Match = append(d.Match, value)
				if name != "" {
					d.Groups[name] = value
				}
			}
			all = append(all, sample{fmt.Sprintf("a message that expression %d matches", i+1), &d})
		}
	}
	return all
}

var errTooLong = fmt.Errorf("the reply has more than the %d characters that the platform takes: shorten the template, for instance with {{truncate 100 .Body}}", MaxReply)

// limited lets a number of characters pass. The write that exceeds it still passes and then
// fails, which stops the template.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	// The bytes that begin a character, so that one that is split between writes counts once.
	for _, b := range p {
		if utf8.RuneStart(b) {
			l.left--
		}
	}
	n, err := l.w.Write(p)
	if err == nil && l.left < 0 {
		err = errTooLong
	}
	return n, err
}
