package media

import (
	"slices"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/messaging/sms"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const good = "https://media.example/a.jpg"
	for name, tc := range map[string]struct {
		urls []string
		want string // in the error; empty for none
	}{
		"one":         {[]string{good}, ""},
		"eight":       {slices.Repeat([]string{good}, 8), ""},
		"no ending":   {[]string{"http://media.example:8080/a?x=.pdf"}, ""},
		"odd ending":  {[]string{"https://media.example/a.php"}, ""},
		"none":        {nil, "1 to 8"},
		"nine":        {slices.Repeat([]string{good}, 9), "9 are too many"},
		"ftp":         {[]string{good, "ftp://media.example/a.jpg"}, `media 2: the platform fetches http and https only, not "ftp"`},
		"file":        {[]string{"file:///etc/passwd"}, "http and https only"},
		"data":        {[]string{"data:image/png;base64,AAAA"}, "http and https only"},
		"no scheme":   {[]string{"media.example/a.jpg"}, "http and https only"},
		"no host":     {[]string{"https:///a.jpg"}, "no host"},
		"only a port": {[]string{"https://:443/a.jpg"}, "no host"},
		"empty":       {[]string{""}, "http and https only"},
		"user":        {[]string{"https://me:geheim@media.example/a.jpg"}, "a user"},
		"space":       {[]string{"https://media.example/a b.jpg"}, "spaces"},
		"newline":     {[]string{"https://media.example/a\n.jpg"}, "spaces"},
		"bad":         {[]string{"https://media.example/%zz"}, "no URL"},
		"long":        {[]string{"https://media.example/" + strings.Repeat("a", 2048)}, "at most 2048"},
		"pdf":         {[]string{"https://media.example/A.PDF?sig=geheim"}, "does not take .pdf"},
	} {
		err := Check(tc.urls, TenDLC)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
}

func TestCheckItems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		items []Item
		class Class
		want  string
	}{
		"local":         {[]Item{{"image/jpeg", 1_200_000}}, TenDLC, ""},
		"local over":    {[]Item{{"image/jpeg", 1_200_000}, {"text/plain; charset=utf-8", 1}}, Local, "1200001 bytes in all are too many"},
		"tollfree":      {[]Item{{"IMAGE/PNG", 750_000}}, TollFree, ""},
		"tollfree over": {[]Item{{"image/png", 750_001}}, TollFree, "750000"},
		"pdf":           {[]Item{{"image/png", 1}, {"application/pdf", 1}}, TenDLC, `media 2: the platform does not take "application/pdf"`},
		"nine":          {slices.Repeat([]Item{{"image/png", 1}}, 9), TenDLC, "9 are too many"},
	} {
		err := CheckItems(tc.items, tc.class)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	if n := len(Types()); n != 22 || !slices.IsSorted(Types()) {
		t.Errorf("%d types, want the platform's 22, sorted", n)
	}
	seen := map[string]string{}
	for typ, exts := range types {
		if !Accepted(typ) || strings.ToLower(typ) != typ {
			t.Errorf("%s is in the table and not accepted", typ)
		}
		for _, e := range exts {
			if other, twice := seen[e]; twice {
				t.Errorf("%s is of %s and %s", e, typ, other)
			}
			if seen[e] = typ; slices.Contains(refused, e) {
				t.Errorf("%s is both accepted and refused", e)
			}
			if got := TypeOf("/a" + strings.ToUpper(e)); got != typ {
				t.Errorf("%s: got %s, want %s", e, got, typ)
			}
		}
	}
	for _, typ := range []string{"application/pdf", "image/webp", "image/heic", "", "image", "image/"} {
		if Accepted(typ) {
			t.Errorf("%q was accepted", typ)
		}
	}
	if TypeOf("a.pdf") != "" || TypeOf("a") != "" || TypeOf("") != "" {
		t.Error("a type was guessed where there is none")
	}
}

func TestClassesAreThoseOfNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range sms.Classes() {
		want := int64(1_200_000)
		if c == sms.TollFree {
			want = 750_000
		}
		if got := Class(c).MostBytes(); got != want {
			t.Errorf("%s: got %d, want %d", c, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range Rules() {
		if r.ID == "" || r.Text == "" || r.Source == "" || r.Version == "" || r.Date == "" {
			t.Errorf("incomplete: %+v", r)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://media.example/a.jpg", "", "http://[::1", "//x", "https://a@b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if Check([]string{s}, TenDLC) == nil && !strings.HasPrefix(strings.ToLower(s), "http") {
			t.Errorf("%q passed", s)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	urls := []string{"https://media.example/photos/2026/a.jpg"}
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(urls, TenDLC); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRuleOf(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://a.example/x.PDF": "media.types", "ftp://a.example/x.pdf": "media.urls", "https://u:p@a.example/x.png": "media.urls",
	} {
		if got := RuleOf(Check([]string{"https://a.example/1.png", url}, TenDLC)); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
	if got := RuleOf(Check(nil, TenDLC)); got != "media.urls" {
		t.Errorf("none: got %s", got)
	}
}
