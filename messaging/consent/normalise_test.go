package consent

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNormalise(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"STOP", "stop"},
		{"  Stop \r\n\t me ", "stop me"},
		{"“Stop”", "stop"},
		{"«stop»!!!", "stop"},
		{"'stop'", "stop"},
		{"*stop*", "stop"},
		{"(stop)", "stop"},
		{"stop.", "stop"},
		{"...stop", "stop"},
		{"…stop…", "stop"},
		{"¡ALTO!", "alto"},
		{"stop.Thank you", "stop thank you"},
		{"stop,thanks", "stop thanks"},
		{"stop...thanks", "stop thanks"},
		{"stop. thanks", "stop thanks"},
		{"stop . thanks", "stop thanks"},
		{"stop/end", "stop end"},
		{"opt-out", "opt out"},
		{"opt–out", "opt out"},
		{"opt\u2011out", "opt out"},
		{"opt_out", "opt out"},
		{"-stop-", "stop"},
		{"arrêt", "arret"},
		{"arre\u0302t", "arret"},
		{"ARRÊT", "arret"},
		{"no más", "no mas"},
		{"Ｓｔｏｐ", "stop"},
		{"ⓢⓣⓞⓟ", "stop"},
		{"𝐒𝐓𝐎𝐏", "stop"},
		{"st\u200bop", "stop"},
		{"\ufeffstop\u00ad", "stop"},
		{"s\u2060t\u200do\u034fp", "stop"},
		{"stop\u00a0now", "stop now"},
		{"stop🛑please", "stop please"},
		{"🛑 STOP 🛑🏽", "stop"},
		{"❤️ stop ☹", "stop"},
		{"stop™", "stop"},
		{"don’t", "don't"},
		{"don´t", "don't"},
		{"don't", "don't"},
		{"'tis the dogs' bone", "tis the dogs bone"},
		{"3.5", "3.5"},
		{"12:30", "12:30"},
		{"24/7", "24/7"},
		{"$5.", "5"},
		{"https://example.com/a-stop?x=1", "https://example.com/a-stop?x=1"[:26] + " x=1"},
		{"www.example.com.", "www.example.com"},
		{"me@stop-it.example", "me@stop-it.example"},
		{"example.community", "example community"},
		{"İstop ßtop STRAẞE", "istop sstop strasse"},
		{"STOP\x00END", "stop end"},
		{"bad\xff\xfeutf", "bad utf"},
		{"Привет, МИР!", "привет мир"},
		{"停止。", "停止"},
		{"가나다", "가나다"},
		{"हिन्दी", "हिन्दी"},
		{"?!", ""},
		{"👍", ""},
		{"1️⃣", "1"},
	} {
		if got := Normalise(tt.in); got != tt.want {
			t.Errorf("Normalise(%q): got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestAppendNormalisedStopsEarly(t *testing.T) {
	long := strings.Repeat("word ", 1000)
	if got := AppendNormalised(nil, long, 20); len(got) <= 20 || len(got) > 30 {
		t.Errorf("limit 20: got %d bytes, want just over the limit", len(got))
	}
	if got, want := string(AppendNormalised(nil, "STOP", 4)), "stop"; got != want {
		t.Errorf("a text as long as its limit: got %q, want %q", got, want)
	}
	if got := testing.AllocsPerRun(100, func() {
		var buf [160]byte
		AppendNormalised(buf[:0], "Where are you located, and until when today?", 100)
	}); got != 0 {
		t.Errorf("an ASCII text: got %v allocations, want 0", got)
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"Stop.", "opt-out", "arrêt", "ⓢⓣⓞⓟ", "a://b-c.d", "x@y.z", "1.2-3", "don’t", "🛑a🏽b", "é\u0301", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Normalise(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Normalise(%q): got invalid UTF-8 %q", s, got)
		}
		if strings.Join(strings.Fields(got), " ") != got {
			t.Errorf("Normalise(%q): got %q, want single spaces between words and none around", s, got)
		}
		for _, word := range strings.Fields(got) {
			first, _ := utf8.DecodeRuneInString(word)
			last, _ := utf8.DecodeLastRuneInString(word)
			if unicode.IsPunct(first) || unicode.IsPunct(last) || unicode.IsSymbol(first) || unicode.IsSymbol(last) {
				t.Errorf("Normalise(%q): word %q has punctuation at an end", s, word)
			}
		}
		if strings.ContainsFunc(got, func(r rune) bool { return 'A' <= r && r <= 'Z' || isInvisible(r) || isAccent(r) }) {
			t.Errorf("Normalise(%q): got %q with a capital, an accent or an invisible character", s, got)
		}
		if quick, ok := unaccentQuick(s); ok {
			if q, a := string(appendWords(nil, quick, 1<<20)), string(appendWords(nil, unaccentAny(s), 1<<20)); q != a {
				t.Errorf("%q: the quick fold gives %q, the full one %q", s, q, a)
			}
		}
		if isASCII(s) {
			if again := Normalise(strings.Join(strings.Split(s, ""), "\u200b")); again != got {
				t.Errorf("%q with zero-width spaces: got %q, want %q", s, again, got)
			}
			if again := Normalise(strings.ToUpper(s)); again != got {
				t.Errorf("%q in capitals: got %q, want %q", s, again, got)
			}
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func BenchmarkNormalise(b *testing.B) {
	for name, s := range map[string]string{
		"ascii":    "Hello, could you tell me when you open tomorrow?",
		"accents":  "Hola, ¿a qué hora abren mañana por la mañana? Gracias",
		"cyrillic": "Здравствуйте, когда вы завтра открываетесь?",
		"japanese": "こんにちは、明日は何時に開きますか？よろしくお願いします",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var buf [160]byte
				AppendNormalised(buf[:0], s, 1000)
			}
		})
	}
}
