package texts

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/signpost-sms/signpost/messaging/sms"
)

// brandVariable is the variable that every template has.
const brandVariable = "Brand"

// compiler reads one definition.
type compiler struct {
	*Template

	d        Definition
	problems []*Problem
	used     map[string]bool // in any of the texts
}

func compile(name, brand string, d Definition) (*Template, []*Problem) {
	c := &compiler{Template: &Template{
		name: name, brand: brand, footer: strings.TrimSpace(d.Footer), addBrand: d.Brand != BrandOff && brand != "",
		maxSegments: d.MaxSegments, variants: map[string]*template.Template{}, optional: d.Optional,
	}, d: d, used: map[string]bool{}}
	c.options()
	c.plain = c.variant("text", d.Text)
	for _, locale := range slices.Sorted(maps.Keys(d.Locales)) {
		key, normal := "locales."+locale, normalLocale(locale)
		if !isLocale(normal) {
			c.bad(key, fmt.Sprintf("%q is no language", locale), "write it like es, fr or fr-CA")
			continue
		}
		if c.variants[normal] != nil {
			c.bad(key, "there is a variant for this language already", "keep one of the two")
			continue
		}
		c.variants[normal] = c.variant(key, d.Locales[locale])
	}
	c.declared()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	c.sampled("text", c.plain)
	for _, locale := range slices.Sorted(maps.Keys(d.Locales)) {
		c.sampled("locales."+locale, c.variants[normalLocale(locale)])
	}
	return c.Template, c.problems
}

func (c *compiler) bad(key, message, mend string) {
	c.problems = append(c.problems, &Problem{c.name, key, message, mend})
}

// options checks everything but the texts.
func (c *compiler) options() {
	switch c.d.Brand {
	case "", BrandAdd, BrandOff:
	default:
		c.bad("brand", fmt.Sprintf("%q says nothing", c.d.Brand), "write add, which puts the brand before a text that does not name it, or off")
	}
	if c.d.MaxSegments < 0 {
		c.bad("max_segments", "it is negative", "write 1 or more, or 0 for as many as the platform takes")
	}
	if strings.Contains(c.d.Footer, "{{") {
		c.bad("footer", "a footer is the same for everybody", "write it without {{...}}, or put it into the texts")
	}
	for i, v := range c.d.Variables {
		key := fmt.Sprintf("variables[%d]", i)
		c.checkName(key, v)
		if _, ok := c.d.Optional[v]; ok {
			c.bad(key, fmt.Sprintf("%s is required and optional", v), "keep it in one of the two lists")
		}
	}
	for _, v := range slices.Sorted(maps.Keys(c.d.Optional)) {
		c.checkName("optional."+v, v)
	}
}

func (c *compiler) checkName(key, v string) {
	switch {
	case v == brandVariable:
		c.bad(key, "Brand is what the configuration says under brand", "leave it out here: every text has it")
	case !isVariable(v):
		c.bad(key, fmt.Sprintf("%q cannot be the name of a variable", v), "write letters, digits and underscores, beginning with a letter")
	}
}

// singleBraces finds what looks like a variable and is a text: {name}.
var singleBraces = regexp.MustCompile(`(?:^|[^{])(\{[A-Za-z_][A-Za-z0-9_]*\})(?:[^}]|$)`)

// variant reads one text.
func (c *compiler) variant(key, text string) *template.Template {
	if strings.TrimSpace(text) == "" {
		c.bad(key, "the text is empty", "write one")
		return nil
	}
	if m := singleBraces.FindStringSubmatch(text); m != nil {
		c.bad(key, fmt.Sprintf("%s would be sent as it stands", m[1]), "write a variable as {{."+strings.Trim(m[1], "{}")+"}}")
		return nil
	}
	t, err := template.New("text").Option("missingkey=error").Funcs(funcs).Parse(text)
	if err != nil {
		place, reason := Fault(err)
		c.bad(key, fmt.Sprintf("the template does not parse, %s: %s", place, reason), "correct it")
		return nil
	}
	if len(t.Templates()) != 1 || t.Tree == nil {
		c.bad(key, "the text defines templates of its own", "write it as one text")
		return nil
	}
	r := &reading{uses: map[string]bool{}}
	r.walk(t.Root)
	uses := r.uses
	if r.loops {
		c.bad(key, "the text has a {{range}} or {{template}}, and variables are texts and no lists", "write it without")
		return nil
	}
	for _, v := range slices.Sorted(maps.Keys(uses)) {
		if _, optional := c.d.Optional[v]; v != brandVariable && !optional && c.d.Variables != nil && !slices.Contains(c.d.Variables, v) {
			c.bad(key, fmt.Sprintf("the text uses %s, which is neither among the variables nor optional", v), "correct its name, or list it")
		}
	}
	for _, v := range c.d.Variables {
		if !uses[v] {
			c.bad(key, fmt.Sprintf("the text does not use %s, which has to be given", v), "use it as {{."+v+"}}, or take it off the variables")
		}
	}
	if uses[brandVariable] && c.brand == "" {
		c.bad(key, "the text names {{.Brand}}, and there is none", "set brand")
	}
	maps.Copy(c.used, uses)
	return t
}

// declared notes which variables have to be given.
func (c *compiler) declared() {
	for _, v := range slices.Sorted(maps.Keys(c.d.Optional)) {
		if !c.used[v] {
			c.bad("optional."+v, fmt.Sprintf("no text uses %s", v), "use it as {{."+v+"}}, or remove it")
		}
	}
	for v := range c.used {
		if _, optional := c.d.Optional[v]; v != brandVariable && !optional {
			c.required = append(c.required, v)
		}
	}
	slices.Sort(c.required)
}

// sampled fills a text in with the shortest values, so that a mistake, or that it can never
// be short enough, is found before somebody gets it.
func (c *compiler) sampled(key string, t *template.Template) {
	vars := map[string]string{}
	for _, v := range c.required {
		vars[v] = "1"
	}
	_, err := c.fill(t, vars)
	var long *LengthError
	switch {
	case errors.As(err, &long):
		c.bad(key, "even with the shortest values, "+long.Error(), "shorten it, or raise max_segments")
	case err != nil:
		place, reason := Fault(errors.Unwrap(err))
		c.bad(key, fmt.Sprintf("the template fails, %s: %s", place, reason), "correct it; variables are texts")
	}
}

// reading is what a walk over a template finds.
type reading struct {
	uses  map[string]bool // variables
	loops bool            // a loop or a recursion: there are no lists, and it may never end
}

func (r *reading) walk(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, n := range n.Nodes {
				r.walk(n)
			}
		}
	case *parse.ActionNode:
		r.walk(n.Pipe)
	case *parse.PipeNode:
		for _, cmd := range n.Cmds {
			for _, arg := range cmd.Args {
				r.walk(arg)
			}
		}
	case *parse.FieldNode:
		r.uses[n.Ident[0]] = true
	case *parse.VariableNode: // $.name
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			r.uses[n.Ident[1]] = true
		}
	case *parse.ChainNode:
		r.walk(n.Node)
	case *parse.IfNode:
		r.branch(&n.BranchNode)
	case *parse.WithNode:
		r.branch(&n.BranchNode)
	case *parse.RangeNode, *parse.TemplateNode:
		r.loops = true
	}
}

func (r *reading) branch(b *parse.BranchNode) {
	r.walk(b.Pipe)
	r.walk(b.List)
	r.walk(b.ElseList)
}

// segments counts, as carriers do.
func segments(text string) sms.Analysis { return sms.Analyse(text, sms.Options{}) }
