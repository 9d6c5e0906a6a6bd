package handlers

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/sms"
	"github.com/signpost-sms/signpost/messaging/texts"
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
	full, err := template.New("reply").Option("missingkey=error").Funcs(texts.Funcs()).Parse(text)
	if err != nil {
		place, reason := texts.Fault(err)
		return nil, fmt.Errorf("the template does not parse, %s: %s", place, reason)
	}
	t.full = full
	t.segments = segmentsOf(full)
	for _, sample := range samples(env) {
		if _, err := texts.Execute(full, sample.data, MaxReply); err != nil {
			if errors.Is(err, texts.ErrTooLong) {
				return nil, errTooLong
			}
			place, reason := texts.Fault(err)
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
	switch text, err := texts.Execute(t.full, d, MaxReply); {
	case errors.Is(err, texts.ErrTooLong):
		// The template was stopped there: how much more it would have written is unknown.
		return t.cut(text, utf8.RuneCountInString(text)), nil
	case err != nil:
		// The reason may quote a value, that is, what somebody texted. The place is enough.
		place, _ := texts.Fault(err)
		return "", messaging.Drop(fmt.Errorf("%s: the template fails for this message, %s: guard it with {{if}}, or make it work for any text", t.where, place))
	default:
		return text, nil
	}
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
