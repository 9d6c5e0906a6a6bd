package daemon

import (
	"fmt"
	"slices"
	"testing"
)

// TestContentPlaces: a finding stands where the mistake is, however the file spells the text;
// where the file spells that in another way, at the text.
func TestContentPlaces(t *testing.T) {
	t.Parallel()
	for item, want := range map[string][]string{
		"- reply: See bit.ly/x":                                      {"4:20 public-shortener"},
		`- reply: "See bit.ly/x"`:                                    {"4:21 public-shortener"},
		`- reply: 'It''s at bit.ly/x'`:                               {"4:26 public-shortener"},
		`- reply: "A \"link\": bit.ly/x"`:                            {"4:29 public-shortener"},
		`- reply: "See bit\u002ely/x"`:                               {"4:16 public-shortener"},
		"- reply: |\n          Hello,\n          see bit.ly/x":       {"6:15 public-shortener"},
		"- reply: >-\n          Hello,\n          see bit.ly/x":      {"6:15 public-shortener"},
		"- reply: &t See t.co\n      - reply: *t":                    {"4:23 other-shortener"},
		"- reply: See ${SHOP} or bit.ly/x":                           {"4:31 public-shortener"},
		"- reply: See ${LINK}":                                       {"4:16 public-shortener"},
		"- reply: a bit.ly b bit.ly":                                 {"4:18 public-shortener", "4:27 public-shortener"},
		"- keyword: {words: [A, 'STOP'], reply: a}":                  {"4:30 protected-word"},
		"- keyword: {words: &w [STOP], reply: a, match: exact}":      {"4:30 protected-word"},
		"- keyword: {match: regexp, words: ['^stop$'], reply: a}":    {"4:42 protected-word"},
		"- keyword: {words: [help], reply: a}":                       {"4:41 help-answer"},
		"- keyword: {words: [hours], reply: a}\n      - reply: call": nil,
		"- reply: été – bit.ly":                                      {"4:20 curable-ucs2", "4:22 public-shortener"},
	} {
		text := "contexts:\n  support:\n    handlers:\n      " + item + "\n"
		cfg, found := LoadConfig(Source{Path: "c.yaml", Text: []byte(text), Environ: credentials("SHOP=here", "LINK=https://bit.ly/x")})
		var got []string
		for _, f := range found {
			got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Rule))
		}
		if cfg == nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q:\n%s", item, got, want, found)
		}
	}
}

// TestContentOfWhatIsRefused: a text that its handler has refused is not judged as well.
func TestContentOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	_, found := load(t, "contexts: {a: {handlers: [{reply: \"bit.ly {{.Nonsense}}\"}]}}\n")
	if len(found) != 1 || found[0].Severity != SeverityError {
		t.Errorf("got %s", found)
	}
}

func TestQuietHoursThatNeverOpen(t *testing.T) {
	t.Parallel()
	const contexts = "contexts: {a: {handlers: [ignore]}}\n"
	_, found := load(t, contexts+"quiet_hours:\n  preset: custom\n  windows: '21:00-23:00'\n  states:\n    TX: 09:00-20:00\n    FL: 05:00-07:00\n")
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s %d %s", f.Severity, f.Line, f.Rule))
	}
	if want := []string{"lint 4 quiet-hours-shut", "lint 7 quiet-hours-shut"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q:\n%s", got, want, found)
	}
	if _, found := load(t, contexts+"quiet_hours: {preset: custom, windows: '09:00-20:00'}\n"); len(found) > 0 {
		t.Errorf("got %s", found)
	}
}

// A brand too long for the built-in confirmation of STOP is wrong, unless that is not sent.
func TestBrandTooLongToConfirm(t *testing.T) {
	t.Parallel()
	const text = "brand: The Venerable Society of Friends of the Old Railway and Harbor Museum\ncontexts: {a: {handlers: [ignore]}}\n"
	_, found := load(t, text)
	if len(found) != 1 || found[0].Rule != "brand-length" || found[0].Severity != SeverityLint || found[0].Line != 1 {
		t.Errorf("got %s", found)
	}
	_, found = load(t, text+"consent: {opt_out_message: '{{.Brand}}: you get no more texts.'}\n")
	if len(found) > 0 {
		t.Errorf("with a text of its own: got %s", found)
	}
}
