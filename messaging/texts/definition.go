package texts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// BrandPolicy says what becomes of a text that does not name the brand.
type BrandPolicy string

// The brand policies. The empty one is BrandAdd.
const (
	BrandAdd BrandPolicy = "add" // the brand and a colon are put before it
	BrandOff BrandPolicy = "off" // it stays as it is
)

// Definition is a template as somebody writes it.
//
// The texts are in the language of text/template. {{.name}} stands for a variable, whose name
// has letters, digits and underscores, and {{.Brand}} for the brand.
type Definition struct {
	// Text is for whom there is no variant. Required.
	Text string `yaml:"text"`
	// Locales are the variants by language, such as es, fr or fr-CA.
	Locales map[string]string `yaml:"locales"`
	// Variables are those that have to be given. Default: all that the texts use and that are
	// not optional. With it, any other in a text is a mistake.
	Variables []string `yaml:"variables"`
	// Optional are those that may be missing, with what then stands in their place; "" for
	// nothing.
	Optional map[string]string `yaml:"optional"`
	// Footer is put below every text that does not have it, such as "Reply STOP to opt out."
	Footer string `yaml:"footer"`
	// Brand says what becomes of a text that does not name the brand. Default: add.
	Brand BrandPolicy `yaml:"brand"`
	// MaxSegments is how many segments a text may take, filled in, with brand and footer; 0
	// is as many as the platform takes.
	MaxSegments int `yaml:"max_segments"`
}

// Problem is what is wrong with a definition.
type Problem struct {
	Template string
	Key      string // of the definition: text, locales.es, variables[0]
	Message  string
	Mend     string
}

// Error says all of it.
func (p *Problem) Error() string {
	return p.Template + "." + p.Key + ": " + p.Message + ": " + p.Mend
}

// Set is templates by their names. The zero Set has none.
type Set struct {
	byName map[string]*Template
	broken map[string]bool
}

// NewSet makes a set of definitions, all of which get the brand. It has those templates that
// have no problem; the problems are sorted.
func NewSet(brand string, definitions map[string]Definition) (*Set, []*Problem) {
	s := &Set{byName: map[string]*Template{}, broken: map[string]bool{}}
	var problems []*Problem
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		t, wrong := compile(name, brand, definitions[name])
		if len(wrong) == 0 {
			s.byName[name] = t
		} else {
			s.broken[name] = true
		}
		problems = append(problems, wrong...)
	}
	return s, problems
}

// Template finds a template by its name; nil if there is none.
func (s *Set) Template(name string) *Template {
	if s == nil {
		return nil
	}
	return s.byName[name]
}

// ErrBroken is the error about a template that has a problem: nothing else needs to be said.
var ErrBroken = errors.New("the template has a problem of its own")

// Find is Template with an error that lists what there is, or that is [ErrBroken].
func (s *Set) Find(name string) (*Template, error) {
	if t := s.Template(name); t != nil {
		return t, nil
	}
	names := s.Names()
	switch {
	case s != nil && s.broken[name]:
		return nil, fmt.Errorf("the template %s: %w", name, ErrBroken)
	case len(names) == 0:
		return nil, fmt.Errorf("there is no template %q: write it under templates", name)
	}
	return nil, fmt.Errorf("there is no template %q: the templates are %s", name, strings.Join(names, ", "))
}

// Names lists the templates, sorted.
func (s *Set) Names() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.byName))
}

// normalLocale is a locale as it is looked up: es-mx for es_MX.
func normalLocale(locale string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(locale), "_", "-"))
}

// isLocale reports whether the text looks like a language tag: es, fr-CA, zh-Hant-TW.
func isLocale(text string) bool {
	for i, part := range strings.Split(text, "-") {
		if i == 0 && (len(part) < 2 || len(part) > 3) || i > 0 && (len(part) < 2 || len(part) > 8) {
			return false
		}
		for _, r := range part {
			if (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
				return false
			}
		}
	}
	return true
}

// isVariable reports whether the text can be the name of a variable.
func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
