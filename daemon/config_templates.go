package daemon

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/lint"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// TemplateConfig is a named text, which handlers and sends refer to.
type TemplateConfig struct {
	texts.Definition `yaml:",inline"`
	// Category is what the text is for, which the checks and sends without a category of
	// their own go by. Empty: whatever the sender says.
	Category TemplateCategory `yaml:"category"`
}

// TemplateCategory is a category of sends that an operator may choose.
type TemplateCategory string

func (TemplateCategory) choices() []string {
	return []string{
		string(messaging.CategoryReply), string(messaging.CategoryTransactional),
		string(messaging.CategoryNotification), string(messaging.CategoryMarketing),
	}
}

// role is what a text of the category is judged as.
func (c TemplateCategory) role() lint.Role {
	switch messaging.Category(c) {
	case messaging.CategoryReply:
		return lint.Reply
	case messaging.CategoryNotification:
		return lint.Notification
	case messaging.CategoryMarketing:
		return lint.Marketing
	}
	return lint.Template
}

// texts compiles the templates. A configuration that LoadConfig gave has no problems.
func (c *Config) texts() (*texts.Set, []*texts.Problem) {
	definitions := make(map[string]texts.Definition, len(c.Templates))
	for name, t := range c.Templates {
		definitions[name] = t.Definition
	}
	return texts.NewSet(c.Brand, definitions)
}

// templateName is what a template may be called: it is written in options and flags.
var templateName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// checkTemplates compiles every template.
func (l *loader) checkTemplates() {
	for _, name := range slices.Sorted(maps.Keys(l.cfg.Templates)) {
		if key := join("templates", name); !templateName.MatchString(name) && !l.reported(key) {
			l.errorAt(key, "bad-template", fmt.Sprintf("a template is called %s", quote(name)), "write letters, digits, - and _, at most 64")
			delete(l.cfg.Templates, name)
		}
	}
	_, problems := l.cfg.texts()
	for _, p := range problems {
		if key := "templates." + p.Template + "." + p.Key; !l.reported(key) && !l.reported("templates."+p.Template) {
			l.errorAt(key, "bad-template", p.Message, p.Mend)
		}
	}
}

// lintTemplates judges every text of the templates as it is sent: with brand and footer.
func (c *contentLinter) lintTemplates() {
	if c.loader.doc == nil {
		return
	}
	c.doc = c.loader.doc
	section := childAt(c.doc.root, "templates")
	for _, name := range slices.Sorted(maps.Keys(c.loader.cfg.Templates)) {
		t, n := c.loader.cfg.Templates[name], childAt(section, name)
		if text := childAt(n, "text"); text != nil {
			c.template(t, text, join("templates."+name, "text"))
		}
		locales := childAt(n, "locales")
		for _, locale := range slices.Sorted(maps.Keys(t.Locales)) {
			if text := childAt(locales, locale); text != nil {
				c.template(t, text, join("templates."+name+".locales", locale))
			}
		}
	}
}

func (c *contentLinter) template(t TemplateConfig, n *yaml.Node, key string) {
	before, after := "", ""
	if brand := c.options.Brand; brand != "" && t.Brand != texts.BrandOff && !strings.Contains(strings.ToLower(lint.Visible(n.Value, brand)), strings.ToLower(brand)) {
		before = brand + ": "
	}
	if footer := strings.TrimSpace(t.Footer); footer != "" && !strings.Contains(n.Value, footer) {
		after = "\n" + footer
	}
	for _, f := range lint.Judge(before+n.Value+after, t.Category.role(), c.options) {
		f.Offset -= len(before)
		if f.Offset < 0 || f.Offset+f.Length > len(n.Value) {
			f.Offset, f.Length = 0, 0 // in brand or footer
		}
		c.say(f, c.doc.placeWithin(n, f.Offset, f.Length), key)
	}
}
