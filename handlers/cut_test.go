package handlers

import (
	"strings"
	"testing"
)

func TestCutKeepsWhatBelongsTogether(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		limit      int
		want       string
	}{
		{"fits", "héllo", 5, "héllo"},
		{"one too many", "hello!", 5, "hell…"},
		{"beyond the basic plane", "ab😀😀😀", 4, "ab😀…"},
		{"accent of its own", "abce\u0301x", 5, "abc…"},
		{"family", "ab👩\u200d👩\u200d👧x", 6, "ab…"},
		{"variation", "ab❤\ufe0fx", 4, "ab…"},
		{"skin tone", "ab👍🏽x", 4, "ab…"},
		{"flags", "🇩🇪🇫🇷🇮🇹", 4, "🇩🇪…"},
		{"flags, the other parity", "a🇩🇪🇫🇷🇮🇹", 5, "a🇩🇪…"},
		{"nothing but marks", strings.Repeat("\u0301", 100), 50, strings.Repeat("\u0301", 49) + "…"},
		{"one cluster from the start", "e\u0301\u0301\u0301", 3, "e\u0301…"},
		{"not UTF-8", "\xff\xff\xff", 2, "\xff…"},
	} {
		if got := cut(tt.text, tt.limit); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
