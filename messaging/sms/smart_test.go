package sms

import (
	"slices"
	"strings"
	"testing"
)

func TestSmart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, want string
		replaced   []Replaced
	}{
		{"plain", "plain", nil},
		{"it’s “fine” – really…", `it's "fine" - really...`, []Replaced{{'’', "'", 1}, {'“', `"`, 1}, {'”', `"`, 1}, {'–', "-", 1}, {'…', "...", 1}}},
		{"9\u00a0to\u202f5\u2009h\tx", "9 to 5 h x", []Replaced{{'\u00a0', " ", 1}, {'\u202f', " ", 1}, {'\u2009', " ", 1}, {'\t', " ", 1}}},
		{"a\u200bb\ufeffc\u00add", "abcd", []Replaced{{'\u200b', "", 1}, {'\ufeff', "", 1}, {'\u00ad', "", 1}}},
		{"cafe\u0301", "café", nil}, // composed, and in the alphabet
		{"’’’", "'''", []Replaced{{'’', "'", 3}}},
		{"« a »", `" a "`, []Replaced{{'«', `"`, 1}, {'»', `"`, 1}}},
		{"€ [é] ’", "€ [é] '", []Replaced{{'’', "'", 1}}},
		{"a\u2028b", "a\nb", []Replaced{{'\u2028', "\n", 1}}},
		// Nothing is won, so nothing is changed.
		{"it’s 😀", "it’s 😀", nil},
		{"it’s mañana, ¿sí?", "it’s mañana, ¿sí?", nil},
		{"“привет”", "“привет”", nil},
		{"", "", nil},
		{strings.Repeat("…", 60), strings.Repeat("…", 60), nil},                 // would be two segments
		{strings.Repeat("a", 1599) + "…", strings.Repeat("a", 1599) + "…", nil}, // would be too long
		{strings.Repeat("a", 1597) + "…", strings.Repeat("a", 1597) + "...", []Replaced{{'…', "...", 1}}},
	} {
		got, replaced := Smart(tt.text)
		if got != tt.want || !slices.Equal(replaced, tt.replaced) {
			t.Errorf("Smart(%q): got %q, %+v, want %q, %+v", tt.text, got, replaced, tt.want, tt.replaced)
		}
	}
}

func FuzzSmart(f *testing.F) {
	for _, s := range []string{"it’s", "cafe\u0301", "😀’", "a\tb", "\xff", "「", "\u0344"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, _ := Smart(s)
		before, after := Analyse(s, Options{}), Analyse(got, Options{})
		if after.Segments > before.Segments {
			t.Errorf("Smart(%q) = %q: got %d segments, before %d", s, got, after.Segments, before.Segments)
		}
		if got != s && (before.Encoding != UCS2 || after.Encoding != GSM7) {
			t.Errorf("Smart(%q) = %q: changed without winning GSM-7", s, got)
		}
		if again, replaced := Smart(got); again != got || replaced != nil {
			t.Errorf("Smart(%q) = %q, then %q: want it done the first time", s, got, again)
		}
	})
}
