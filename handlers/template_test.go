package handlers

import (
	"strings"
	"testing"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/texts"
)

func testData(body string) *Data {
	return &Data{
		Body: body, From: "+12025550123", To: "+12025550100", Context: "support", Brand: "Acme",
		ReceivedAt: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, body, want string }{
		{"Hello", "x", "Hello"},
		{"You said: {{.Body}}", "hi", "You said: hi"},
		{"You said: {{.Body}}", "{{.From}} {{", "You said: {{.From}} {{"},
		{"{{.Body}}{{.Body}}", "a<b>&'", "a<b>&'a<b>&'"},
		{"{{.Brand}} {{.From}} {{.To}} {{.Context}}", "", "Acme +12025550123 +12025550100 support"},
		{"a {{- .Body -}} b", "x", "axb"},
		{"a{{/* note */}}b{{.Body}}", "x", "abx"},
		{"{{upper .Body}} {{lower .Body}} {{trim .Body}}|", " Ab ", " AB   ab  Ab|"},
		{"{{.Body | firstword | upper}}", "  order 66", "ORDER"},
		{"{{firstword .Body}}|", "", "|"},
		{`{{default "friend" .Body}}`, "", "friend"},
		{`{{.Body | default "friend"}}`, "Ann", "Ann"},
		{"{{truncate 3 .Body}}", "àéîõ", "àéî"},
		{"{{truncate 9 .Body}}", "àéîõ", "àéîõ"},
		{"{{if .Media}}media{{else}}none{{end}}", "", "none"},
		{`{{.ReceivedAt.Format "15:04"}}`, "", "05:06"},
		{"{{with .Body}}{{slice . 0 1}}{{end}}", "é", "\uFFFD"},
	} {
		tmpl, err := ParseTemplate(tt.text, Env{})
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if got, err := tmpl.Execute(testData(tt.body)); err != nil || got != tt.want {
			t.Errorf("%q over %q: got %q, %v, want %q", tt.text, tt.body, got, err, tt.want)
		}
		if got, want := tmpl.Static(), !strings.Contains(tt.text, "{{"); got != want {
			t.Errorf("%q is static: got %v, want %v", tt.text, got, want)
		}
	}
}

func TestTemplateMistakesAreFoundAtTheStart(t *testing.T) {
	t.Parallel()
	groups := Env{Where: "contexts.support.handlers[1].reply", groups: [][]string{{"order", ""}}}
	for _, tt := range []struct {
		name, text string
		env        Env
		want       []string
	}{
		{"empty", "", Env{}, []string{"empty", "ignore"}},
		{"blank", " \n", Env{}, []string{"empty"}},
		{"unclosed", "Hi {{.Body", groups, []string{"contexts.support.handlers[1].reply", "does not parse", "line 1"}},
		{"unknown field", "a\nHi {{.Bdy}}", groups, []string{"handlers[1].reply", "line 2", "Bdy"}},
		{"unknown function", "{{shout .Body}}", Env{}, []string{"shout"}},
		{"unknown group", "{{.Groups.oder}}", groups, []string{"oder"}},
		{"group outside of a keyword", "{{.Groups.order}}", Env{}, []string{"order"}},
		{"match that does not exist", "{{index .Match 3}}", groups, []string{"index"}},
		{"media that may be missing", "{{index .Media 0}}", Env{}, []string{"without text or media"}},
		{"text that may be short", "{{slice .Body 0 5}}", Env{}, []string{"without text or media"}},
		{"number as text", "{{upper 5}}", Env{}, []string{"at <5>"}},
		{"negative length", "{{truncate -1 .Body}}", Env{}, []string{"0 or more"}},
		{"static and too long", strings.Repeat("é", 1601), Env{}, []string{"1601", "1600"}},
		{"template and too long", strings.Repeat("é", 1600) + "{{.Body}}", Env{}, []string{"1600", "truncate"}},
		{"executed and too long", "{{range 1000}}many{{end}}", Env{}, []string{"1600", "truncate"}},
	} {
		_, err := ParseTemplate(tt.text, tt.env)
		if err == nil {
			t.Errorf("%s: got no error for %q", tt.name, tt.text)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to say %q", tt.name, err, want)
			}
		}
	}
	for _, text := range []string{"{{.Groups.order}} {{index .Match 2}}", strings.Repeat("é", 1600)} {
		if _, err := ParseTemplate(text, groups); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// The same message would fail again, so the error drops it; and it must not say what the
// message was.
func TestTemplateFailingForAMessageDropsIt(t *testing.T) {
	t.Parallel()
	const secret = "canary-4711"
	for _, tt := range []struct{ name, text, body, want string }{
		{"reason that quotes the text", `{{if eq .Body "canary-4711"}}{{range .Body}}x{{end}}{{end}}`, secret, "line 1 at <.Body>"},
	} {
		tmpl, err := ParseTemplate(tt.text, Env{Where: "here"})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		out, err := tmpl.Execute(testData(tt.body))
		if !messaging.IsDrop(err) || out != "" {
			t.Fatalf("%s: got %q, %v, want a Drop", tt.name, out, err)
		}
		if text := err.Error(); strings.Contains(text, secret) || !strings.Contains(text, tt.want) || !strings.Contains(text, "here") {
			t.Errorf("%s: got %q, want it to name the template and %q, and not the message", tt.name, text, tt.want)
		}
	}
}

func TestTemplateLimitCountsCharacters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{{.Body}}!", "{{.Body | trim}}!"} {
		tmpl, err := ParseTemplate(text, Env{})
		if err != nil {
			t.Fatal(err)
		}
		for n, end := range map[int]string{MaxReply - 1: "é!", MaxReply: "é…", 2 * MaxReply: "é…"} {
			out, err := tmpl.Execute(testData(strings.Repeat("é", n)))
			if err != nil || utf8.RuneCountInString(out) != MaxReply || !strings.HasSuffix(out, end) {
				t.Errorf("%s with %d characters: got %d characters, %v, want %d that end with %s", text, n, utf8.RuneCountInString(out), err, MaxReply, end)
			}
		}
	}
}

func TestPlainTemplatesAreCompiled(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"You said: {{.Body}}":                             true,
		"{{.Body}}{{ .From -}} x":                         true,
		"{{/* note */}}{{.Brand}}":                        true,
		"{{.Body | upper}}":                               false,
		"{{$x := .Body}}{{$x}}":                           false,
		"{{.ReceivedAt}}":                                 false,
		"{{.Media}}":                                      false,
		"{{if .Body}}x{{end}}":                            false,
		`{{define "x"}}a{{end}}{{template "x"}}{{.Body}}`: false,
	} {
		tmpl, err := ParseTemplate(text, Env{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := tmpl.segments != nil; got != want {
			t.Errorf("%s compiled: got %v, want %v", text, got, want)
		}
	}
}

// FuzzTemplate proves that what is compiled gives what text/template gives.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"You said: {{.Body}}", "a {{- .Body -}} b {{.From}}", "{{/* c */}}{{.To}}{{.Context}}", "{{.Brand}}", "{{`{{`}}{{.Body}}",
		"{{.Body | upper}}", "{{define \"x\"}}{{end}}{{.Body}}", "{{.ReceivedAt}}{{.Media}}", "}}{{.Body}}{{\"x\"}}", "\xff{{.Body}}", "{{.Body}}{{break}}",
	} {
		f.Add(text, "hi {{.Body}} é")
	}
	f.Fuzz(func(t *testing.T, text, body string) {
		if strings.Contains(text, "range") || strings.Contains(text, "printf") || strings.Contains(text, "template") {
			t.Skip("may run for ever; never compiled")
		}
		d := testData(strings.ToValidUTF8(body, "?"))
		tmpl, err := ParseTemplate(text, Env{})
		if err != nil {
			return
		}
		got, gotErr := tmpl.Execute(d)
		if tmpl.full == nil {
			if got != text || gotErr != nil {
				t.Fatalf("static %q: got %q, %v", text, got, gotErr)
			}
			return
		}
		full, err := template.New("reply").Option("missingkey=error").Funcs(texts.Funcs()).Parse(text)
		if err != nil {
			t.Fatalf("%q: accepted, but text/template says %v", text, err)
		}
		var want strings.Builder
		wantErr := full.Execute(&want, d)
		if utf8.RuneCountInString(want.String()) > MaxReply {
			if n := utf8.RuneCountInString(got); gotErr != nil || n > MaxReply || !strings.HasSuffix(got, ellipsis) {
				t.Fatalf("%q over %q: got %d characters, %v, want a cut text", text, d.Body, n, gotErr)
			}
			return
		}
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("%q over %q: got error %v, want %v", text, d.Body, gotErr, wantErr)
		}
		if gotErr == nil && got != want.String() && got != strings.ToValidUTF8(want.String(), "\uFFFD") {
			t.Errorf("%q over %q: got %q, want %q", text, d.Body, got, want.String())
		}
	})
}

func BenchmarkTemplate(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"static", "We're open Mon-Fri 9am-5pm"},
		{"plain", "You said: {{.Body}}"},
		{"function", "You said: {{upper .Body}}"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			tmpl, err := ParseTemplate(bm.text, Env{})
			if err != nil {
				b.Fatal(err)
			}
			d := testData("Hello, could you tell me when you open tomorrow?")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tmpl.Execute(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("reference", func(b *testing.B) { // what "plain" would cost without being compiled
		full := template.Must(template.New("reply").Parse("You said: {{.Body}}"))
		d := testData("Hello, could you tell me when you open tomorrow?")
		b.ReportAllocs()
		for b.Loop() {
			var out strings.Builder
			if err := full.Execute(&out, d); err != nil {
				b.Fatal(err)
			}
		}
	})
}
