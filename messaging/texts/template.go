package texts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/signpost-sms/signpost/messaging/sms"
)

// Template is a named text with its variants.
type Template struct {
	name, brand, footer string
	addBrand            bool
	maxSegments         int
	plain               *template.Template
	variants            map[string]*template.Template // by locale, in lower case
	required            []string
	optional            map[string]string
}

// Name is the template's name.
func (t *Template) Name() string { return t.name }

// Variables are those that have to be given, sorted.
func (t *Template) Variables() []string { return slices.Clone(t.required) }

// Uses reports whether the variable is one of the template's, required or optional.
func (t *Template) Uses(variable string) bool {
	_, optional := t.optional[variable]
	return optional || slices.Contains(t.required, variable)
}

// Text is a template filled in.
type Text struct {
	Body     string
	Locale   string // of the variant; empty for the text of all others
	Segments int
	Encoding sms.Encoding
}

// MissingError says that variables have not been given, or are blank.
type MissingError struct {
	Template string
	Missing  []string // sorted
}

// Error names the variables.
func (e *MissingError) Error() string {
	return fmt.Sprintf("the template %s needs %s: give each a value", e.Template, strings.Join(e.Missing, ", "))
}

// LengthError says that a text, filled in, is longer than it may be.
type LengthError struct {
	Template        string
	Segments, Limit int // of segments; both 0 if it has more characters than the platform takes
}

// Error says how long it is and may be.
func (e *LengthError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("the text of the template %s has more than the %d characters that the platform takes", e.Template, sms.MaxCharacters)
	}
	return fmt.Sprintf("the text of the template %s takes %d segments and may take %d", e.Template, e.Segments, e.Limit)
}

// Render fills in the variant for a locale such as es-MX: its own, or that of the language, or
// the text for all others. Variables that the text does not use are ignored.
//
// The error is a *MissingError, a *LengthError, or that of an action of the template that
// fails for these values; it names the place in the template. No error holds a value.
func (t *Template) Render(locale string, variables map[string]string) (Text, error) {
	var missing []string
	for _, v := range t.required {
		if strings.TrimSpace(variables[v]) == "" {
			missing = append(missing, v)
		}
	}
	if len(missing) > 0 {
		return Text{}, &MissingError{t.name, missing}
	}
	chosen, full := t.choose(locale)
	text, err := t.fill(full, variables)
	if _, is := errors.AsType[*LengthError](err); err != nil && !is {
		place, _ := Fault(errors.Unwrap(err)) // the reason may quote a value
		return Text{}, fmt.Errorf("the template %s fails for these values, %s: guard it with {{if}}, or make it work for any text", t.name, place)
	}
	text.Locale = chosen
	return text, err
}

// choose finds the variant for a locale, from its own to that of its language.
func (t *Template) choose(locale string) (string, *template.Template) {
	for l := normalLocale(locale); l != ""; l = l[:max(strings.LastIndexByte(l, '-'), 0)] {
		if v := t.variants[l]; v != nil {
			return l, v
		}
	}
	return "", t.plain
}

// fill fills in a variant. The error is a *LengthError or wraps one of text/template.
func (t *Template) fill(full *template.Template, variables map[string]string) (Text, error) {
	data := make(map[string]string, len(t.required)+len(t.optional)+1)
	data[brandVariable] = t.brand
	for _, v := range t.required {
		data[v] = variables[v]
	}
	for v, otherwise := range t.optional {
		if data[v] = variables[v]; strings.TrimSpace(data[v]) == "" {
			data[v] = otherwise
		}
	}
	body, err := Execute(full, data, sms.MaxCharacters)
	switch {
	case errors.Is(err, ErrTooLong):
		return Text{}, &LengthError{Template: t.name}
	case err != nil:
		return Text{}, fmt.Errorf("the template %s: %w", t.name, err)
	}
	body = t.dressed(body)
	a := segments(body)
	switch {
	case a.TooLong:
		return Text{}, &LengthError{Template: t.name}
	case t.maxSegments > 0 && a.Segments > t.maxSegments:
		return Text{}, &LengthError{t.name, a.Segments, t.maxSegments}
	}
	return Text{Body: body, Segments: a.Segments, Encoding: a.Encoding}, nil
}

// dressed is a text with the brand before and the footer below it, as far as it does not have
// them. A blank text stays blank: nothing is to be said.
func (t *Template) dressed(body string) string {
	body = strings.TrimSpace(body)
	if body == "" {
		return ""
	}
	if t.addBrand && !strings.Contains(strings.ToLower(body), strings.ToLower(t.brand)) {
		body = t.brand + ": " + body
	}
	if t.footer != "" && !strings.Contains(body, t.footer) {
		body += "\n" + t.footer
	}
	return body
}
