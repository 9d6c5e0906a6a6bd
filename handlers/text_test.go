package handlers_test

import (
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

func TestTemplateHandler(t *testing.T) {
	t.Parallel()
	env := handlers.Env{Brand: "Acme", Templates: templates(t)}
	for _, tt := range []struct{ item, body, want string }{
		{"template: hours", "hi", "We're open Mon-Fri 9am-5pm."},
		{"template: {name: welcome, variables: {shop: Main St}}", "hi", "Acme: Welcome to Main St."},
		{`template: {name: welcome, locale: es-MX, variables: {shop: "{{upper .Body}}"}}`, "hi", "Acme: Bienvenido a HI."},
		{"template: echo", "{{.Brand}}", "You said {{.Brand}} in support"},
		{`template: {name: echo, variables: {Body: "x"}}`, "hi", "You said x in support"},
	} {
		mw, _, err := decode(tt.item, env)
		if err != nil {
			t.Errorf("%s: %v", tt.item, err)
			continue
		}
		if got := reply(t, mw(passed), message(tt.body)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.item, got, tt.want)
		}
		if !messaging.IsInstant(mw(handlers.Ignore())) {
			t.Errorf("%s: is not pure", tt.item)
		}
		if got := reply(t, mw(passed), state(messaging.StateFailed)); got != "passed" {
			t.Errorf("%s: a state got %q", tt.item, got)
		}
	}
	mw, _, err := decode("template: echo", env)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", strings.Repeat("secret", 40)} {
		if err := handle(t, mw(passed), message(body)); !messaging.IsDrop(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.10q: got %v, want a dead letter", body, err)
		}
	}
	for item, want := range map[string]string{
		"template:":         "name: there is none",
		"template: open":    "name: there is no template \"open\": the templates are echo, hours, welcome",
		"template: welcome": "variables: the template welcome needs shop",
		`template: {name: hours, variables: {day: x}}`:       "variables: the template hours has no variable day",
		`template: {name: welcome, variables: {shop: "{{"}}`: "variables: shop: the template does not parse",
	} {
		if _, _, err := decode(item, env); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", item, err, want)
		}
	}
	if _, _, err := decode("template: open", handlers.Env{}); err == nil || !strings.Contains(err.Error(), "write it under templates") {
		t.Errorf("without templates: got %v", err)
	}
}

func TestReplyTemplate(t *testing.T) {
	t.Parallel()
	set := templates(t)
	if got := reply(t, handlers.ReplyTemplate(set.Template("welcome"), map[string]string{"shop": "{{.Body}}"}), message("Acme")); got != "Welcome to Acme." {
		t.Errorf("got %q", got)
	}
	if got := panicOf(func() { handlers.ReplyTemplate(set.Template("welcome"), nil) }); !strings.Contains(got, "needs shop") {
		t.Errorf("without its variable: got panic %q", got)
	}
	if got := panicOf(func() { handlers.ReplyTemplate(set.Template("open"), nil) }); !strings.Contains(got, "no template") {
		t.Errorf("without a template: got panic %q", got)
	}
}
