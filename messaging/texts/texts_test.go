package texts_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/messaging/sms"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// one makes a set of one template.
func one(t testing.TB, brand string, d texts.Definition) *texts.Template {
	t.Helper()
	set, problems := texts.NewSet(brand, map[string]texts.Definition{"t": d})
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	return set.Template("t")
}

func ExampleTemplate_Render() {
	set, problems := texts.NewSet("Cedar Dental", map[string]texts.Definition{"appointment": {
		Text:     "Hi {{.name}}, your appointment with {{.doctor}} is on {{.date}}.",
		Locales:  map[string]string{"es": "Hola {{.name}}, su cita es el {{.date}}."},
		Optional: map[string]string{"doctor": "us"},
		Footer:   "Reply STOP to opt out.",
	}})
	if len(problems) > 0 {
		panic(problems[0])
	}
	appointment := set.Template("appointment")
	fmt.Println(appointment.Variables())
	out, _ := appointment.Render("", map[string]string{"name": "John", "date": "January 20"})
	fmt.Println(out.Body, out.Segments)
	out, _ = appointment.Render("es-MX", map[string]string{"name": "Ana", "date": "20/1"})
	fmt.Println(out.Body)
	_, err := appointment.Render("", map[string]string{"name": "John"})
	fmt.Println(err)
	// Output:
	// [date name]
	// Cedar Dental: Hi John, your appointment with us is on January 20.
	// Reply STOP to opt out. 1
	// Cedar Dental: Hola Ana, su cita es el 20/1.
	// Reply STOP to opt out.
	// the template appointment needs date: give each a value
}

func TestRenderChoosesTheVariant(t *testing.T) {
	t.Parallel()
	tmpl := one(t, "", texts.Definition{Text: "hello", Locales: map[string]string{"es": "hola", "fr-CA": "allo", "fr": "bonjour", "zh-Hant": "x"}})
	for locale, want := range map[string]string{
		"": "hello", "en": "hello", "en-US": "hello", "es": "hola", "ES": "hola", "es-MX": "hola", "es_MX": "hola", " es ": "hola",
		"fr-CA": "allo", "fr-ca": "allo", "fr-FR": "bonjour", "fr": "bonjour", "est": "hello", "zh-Hant-TW": "x", "zh": "hello", "-": "hello",
	} {
		out, err := tmpl.Render(locale, nil)
		if err != nil || out.Body != want {
			t.Errorf("%q: got %q, %v, want %q", locale, out.Body, err, want)
		}
	}
}

func TestBrandAndFooter(t *testing.T) {
	t.Parallel()
	const footer = "Reply STOP to opt out."
	for name, tt := range map[string]struct {
		brand string
		d     texts.Definition
		want  string
	}{
		"added":             {"Cedar", texts.Definition{Text: "Hi.", Footer: footer}, "Cedar: Hi.\n" + footer},
		"named":             {"Cedar", texts.Definition{Text: "Hi from cedar.", Footer: footer}, "Hi from cedar.\n" + footer},
		"named by variable": {"Cedar", texts.Definition{Text: "{{.Brand}}: Hi. Reply STOP to opt out.", Footer: footer}, "Cedar: Hi. Reply STOP to opt out."},
		"off":               {"Cedar", texts.Definition{Text: "Hi.", Brand: texts.BrandOff}, "Hi."},
		"no brand":          {"", texts.Definition{Text: " Hi.\n", Footer: " " + footer + " "}, "Hi.\n" + footer},
		"blank":             {"Cedar", texts.Definition{Text: "{{if false}}Hi.{{end}}", Footer: footer}, ""},
	} {
		if out, err := one(t, tt.brand, tt.d).Render("", nil); err != nil || out.Body != tt.want {
			t.Errorf("%s: got %q, %v, want %q", name, out.Body, err, tt.want)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	tmpl := one(t, "B", texts.Definition{
		Text:     `{{.Brand}} {{upper .a}} {{with .b}}({{.}} {{$.c}}){{end}} {{if .d}}{{else}}{{.e | default "none"}}{{end}}`,
		Locales:  map[string]string{"es": "B {{.f}}"},
		Optional: map[string]string{"b": "", "c": "C", "d": "", "e": ""},
	})
	if diff := cmp.Diff([]string{"a", "f"}, tmpl.Variables()); diff != "" {
		t.Errorf("required (-want +got):\n%s", diff)
	}
	out, err := tmpl.Render("", map[string]string{"a": "x{{.b}}", "b": "y", "f": "1", "c": " ", "Brand": "other", "unused": "z"})
	if want := "B X{{.B}} (y C) none"; err != nil || out.Body != want {
		t.Errorf("got %q, %v, want %q", out.Body, err, want)
	}
	var missing *texts.MissingError
	if _, err := tmpl.Render("", map[string]string{"a": " "}); !errors.As(err, &missing) {
		t.Fatalf("got %v, want what is missing", err)
	}
	if diff := cmp.Diff([]string{"a", "f"}, missing.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestLengthIsHeld(t *testing.T) {
	t.Parallel()
	tmpl := one(t, "", texts.Definition{Text: "{{.a}}", MaxSegments: 1, Footer: "12345"})
	if out, err := tmpl.Render("", map[string]string{"a": strings.Repeat("x", 154)}); err != nil || out.Segments != 1 || out.Encoding != sms.GSM7 {
		t.Errorf("160 characters: got %+v, %v, want one segment", out, err)
	}
	var long *texts.LengthError
	if out, err := tmpl.Render("", map[string]string{"a": strings.Repeat("x", 155)}); !errors.As(err, &long) || long.Segments != 2 || long.Limit != 1 || out.Body != "" {
		t.Errorf("161 characters: got %+v, %v, want an error", out, err)
	}
	if _, err := tmpl.Render("", map[string]string{"a": "é" + strings.Repeat("€", 80) + "ő"}); !errors.As(err, &long) {
		t.Errorf("UCS-2: got %v, want an error", err)
	}
	tmpl = one(t, "", texts.Definition{Text: "{{.a}}{{.a}}"})
	if _, err := tmpl.Render("", map[string]string{"a": strings.Repeat("x", 900)}); !errors.As(err, &long) || long.Limit != 0 {
		t.Errorf("1800 characters: got %v, want an error", err)
	}
}

// An error is shown to more people than a message is.
func TestErrorsHoldNoValue(t *testing.T) {
	t.Parallel()
	tmpl := one(t, "", texts.Definition{Text: `{{if eq .a "1"}}ok{{else}}{{slice .a 90}}{{end}}`})
	_, err := tmpl.Render("", map[string]string{"a": "secret"})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "line 1 at <slice") {
		t.Errorf("got %v, want the place and not the value", err)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for want, d := range map[string]texts.Definition{
		"t.text: the text is empty":                                  {},
		"t.text: {name} would be sent":                               {Text: "Hi {name}"},
		"t.text: the template does not parse, line 1":                {Text: "Hi {{.name}"},
		"t.text: the text uses nmae":                                 {Text: "Hi {{.name}} {{.nmae}}", Variables: []string{"name"}},
		"t.text: the text does not use date":                         {Text: "Hi {{.name}}", Variables: []string{"name", "date"}},
		"t.locales.es: the text does not use name":                   {Text: "Hi {{.name}}", Locales: map[string]string{"es": "Hola"}, Variables: []string{"name"}},
		"t.locales.spanish: \"spanish\" is no language":              {Text: "Hi", Locales: map[string]string{"spanish": "Hola"}},
		"t.locales.es_mx: there is a variant":                        {Text: "Hi", Locales: map[string]string{"es-MX": "Hola", "es_mx": "Hola"}},
		"t.locales.es: even with the shortest values":                {Text: "Hi", Locales: map[string]string{"es": long}, MaxSegments: 1},
		"t.text: even with the shortest values, the text of the tem": {Text: strings.Repeat("x", 1601)},
		"t.text: the text has a {{range}}":                           {Text: "{{if .a}}{{range 10000000000}}{{end}}{{end}}"},
		"t.text: the text has a {{range}} or {{template}}":           {Text: `{{template "text"}}`},
		"t.text: the text defines templates":                         {Text: `{{define "x"}}x{{end}}y`},
		"t.text: the text names {{.Brand}}":                          {Text: "Hi from {{.Brand}}"},
		"t.text: the template fails, line 1 at <.name.x>":            {Text: "{{.name.x}}"},
		"t.variables[0]: \"first name\" cannot be":                   {Text: "Hi", Variables: []string{"first name"}},
		"t.variables[0]: name is required and optional":              {Text: "{{.name}}", Variables: []string{"name"}, Optional: map[string]string{"name": ""}},
		"t.optional.Brand: Brand is what":                            {Text: "Hi", Optional: map[string]string{"Brand": ""}},
		"t.optional.name: no text uses name":                         {Text: "Hi", Optional: map[string]string{"name": ""}},
		"t.brand: \"on\" says nothing":                               {Text: "Hi", Brand: "on"},
		"t.max_segments: it is negative":                             {Text: "Hi", MaxSegments: -1},
		"t.footer: a footer is the same":                             {Text: "Hi", Footer: "{{.Brand}}"},
	} {
		set, problems := texts.NewSet("", map[string]texts.Definition{"t": d, "fine": {Text: "ok"}})
		if len(problems) == 0 || !strings.HasPrefix(problems[0].Error(), want) {
			t.Errorf("got %v, want %s", problems, want)
			continue
		}
		if problems[0].Mend == "" || set.Template("t") != nil || set.Template("fine") == nil {
			t.Errorf("%s: without a mend, or in the set", problems[0])
		}
	}
	var none *texts.Set
	if none.Template("t") != nil || none.Names() != nil {
		t.Error("a nil set has templates")
	}
}

// Whatever is written and filled in: no panic, and what comes out is whole.
func FuzzRender(f *testing.F) {
	f.Add("Hi {{.name}}", "es", "Hola {{.name}}", "Ana", "STOP", 1)
	f.Add("{{if .name}}{{.name | truncate 3}}{{end}}", "fr-CA", "{{.Brand}}", "\xff\x00€", "", 0)
	f.Add("{{range 99999999}}x{{end}}", "-", "{{define \"x\"}}{{.y}}{{end}}", "", "{{", 3)
	f.Fuzz(func(t *testing.T, text, locale, variant, value, footer string, most int) {
		set, problems := texts.NewSet("Brand", map[string]texts.Definition{"t": {Text: text, Locales: map[string]string{locale: variant}, Footer: footer, MaxSegments: most}})
		tmpl := set.Template("t")
		if (tmpl == nil) != (len(problems) > 0) {
			t.Fatalf("%d problems, and a template: %v", len(problems), tmpl != nil)
		}
		if tmpl == nil {
			return
		}
		vars := map[string]string{}
		for _, v := range tmpl.Variables() {
			vars[v] = value
		}
		out, err := tmpl.Render(locale, vars)
		if err != nil {
			if out.Body != "" {
				t.Errorf("a body with the error %v", err)
			}
			return
		}
		if !utf8.ValidString(out.Body) && utf8.ValidString(footer) {
			t.Errorf("%q is not valid", out.Body)
		}
		if n := sms.Segments(out.Body, sms.Options{}); n != out.Segments || most > 0 && n > most {
			t.Errorf("%d segments, said to be %d, of at most %d", n, out.Segments, most)
		}
	})
}
