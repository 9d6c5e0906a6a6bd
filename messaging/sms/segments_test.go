package sms

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// The reference reads the tables of the standard as they are printed there, encodes a text
// to codes, and cuts the codes. It shares nothing with the code under test.
var gsmRows = [16]string{
	"@£$¥èéùì", "òÇ\nØø\rÅå", "Δ_ΦΓΛΩΠΨ", "ΣΘΞ\x1bÆæßÉ", " !\"#¤%&'", "()*+,-./", "01234567", "89:;<=>?",
	"¡ABCDEFG", "HIJKLMNO", "PQRSTUVW", "XYZÄÖÑÜ§", "¿abcdefg", "hijklmno", "pqrstuvw", "xyzäöñüà",
}

var gsmExtension = map[rune]byte{'\f': 0x0A, '^': 0x14, '{': 0x28, '}': 0x29, '\\': 0x2F, '[': 0x3C, '~': 0x3D, ']': 0x3E, '|': 0x40, '€': 0x65}

const escape = 0x1B

var gsmCodes = func() map[rune]byte {
	m := map[rune]byte{}
	code := byte(0)
	for _, row := range gsmRows {
		for _, r := range row {
			if code != escape {
				m[r] = code
			}
			code++
		}
	}
	return m
}()

type carried struct {
	encoding Encoding
	units    int
	lengths  []int // characters in each segment
}

func reference(text string, l Limits) carried {
	var codes []byte
	for _, r := range text {
		if c, ok := gsmCodes[r]; ok {
			codes = append(codes, c)
		} else if c, ok := gsmExtension[r]; ok {
			codes = append(codes, escape, c)
		} else {
			return referenceUCS2(text, l)
		}
	}
	out := carried{encoding: GSM7, units: len(codes)}
	part := l.PartGSM7
	if len(codes) <= l.SingleGSM7 {
		part = l.SingleGSM7
	}
	for len(codes) > 0 {
		n := min(part, len(codes))
		if codes[n-1] == escape {
			n-- // its second code would be alone
		}
		chars := 0
		for _, c := range codes[:n] {
			if c != escape {
				chars++
			}
		}
		out.lengths = append(out.lengths, chars)
		codes = codes[n:]
	}
	return out
}

func referenceUCS2(text string, l Limits) carried {
	codes := utf16.Encode([]rune(text))
	out := carried{encoding: UCS2, units: len(codes)}
	part := l.PartUCS2
	if len(codes) <= l.SingleUCS2 {
		part = l.SingleUCS2
	}
	for len(codes) > 0 {
		n := min(part, len(codes))
		if n < len(codes) && codes[n-1] >= 0xD800 && codes[n-1] <= 0xDBFF {
			n--
		}
		out.lengths = append(out.lengths, len(utf16.Decode(codes[:n])))
		codes = codes[n:]
	}
	return out
}

// agree compares an analysis with the reference.
func agree(t *testing.T, text string, o Options) {
	t.Helper()
	l := o.Limits
	if l == (Limits{}) {
		l = Limits{160, 153, 70, 67}
	}
	whole := o.Prefix + text
	want, got := reference(whole, l), Analyse(text, o)
	var lengths []int
	if begin := 0; whole != "" {
		for _, end := range append(slices.Clone(got.Breaks), len(whole)) {
			lengths = append(lengths, len([]rune(whole[begin:end])))
			begin = end
		}
	}
	if got.Encoding != want.encoding || got.Units != want.units || got.Segments != len(want.lengths) || !slices.Equal(lengths, want.lengths) {
		t.Fatalf("%q with %+v: got %+v in segments of %v, want %+v", text, o, got, lengths, want)
	}
	if n := Segments(text, o); n != len(want.lengths) {
		t.Fatalf("Segments(%q, %+v): got %d, want %d", text, o, n, len(want.lengths))
	}
	if (len(got.Forced) > 0) != (want.encoding == UCS2) {
		t.Fatalf("%q: got forced %+v for %s", text, got.Forced, want.encoding)
	}
	if n := len([]rune(text)); got.Characters != n || got.TooLong != (n > 1600) {
		t.Fatalf("%q: got %d characters, too long %v, want %d", text, got.Characters, got.TooLong, n)
	}
}

var tollFree = Limits{160, 152, 70, 66}

func TestRandomTextsAgainstReference(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	basic := []rune(strings.ReplaceAll(strings.Join(gsmRows[:], ""), "\x1b", ""))
	var extension []rune
	for r := range gsmExtension {
		extension = append(extension, r)
	}
	slices.Sort(extension)
	anyPlane := func() rune {
		for {
			r := rune(rng.IntN(0x110000))
			if rng.IntN(2) == 0 {
				r = rune(rng.IntN(0x3000)) // where most texts are
			}
			if r < 0xD800 || r > 0xDFFF {
				return r
			}
		}
	}
	for i := range 10_000 {
		alien := 0 // how many of 1,000 characters come from any plane
		if i%2 == 1 {
			alien = []int{5, 100, 1000}[rng.IntN(3)]
		}
		var b strings.Builder
		for range rng.IntN(500) {
			switch n := rng.IntN(1000); {
			case n < alien:
				b.WriteRune(anyPlane())
			case n%10 == 0:
				b.WriteRune(extension[rng.IntN(len(extension))])
			default:
				b.WriteRune(basic[rng.IntN(len(basic))])
			}
		}
		o := Options{}
		if rng.IntN(3) == 0 {
			o.Limits = tollFree
		}
		if rng.IntN(4) == 0 {
			o.Prefix = []string{"Sent from a trial account - ", "“Trial” "}[rng.IntN(2)]
		}
		agree(t, b.String(), o)
	}
}

func TestBoundaries(t *testing.T) {
	t.Parallel()
	a, accent := strings.Repeat("a", 1000), strings.Repeat("á", 1000) // á is not in the alphabet
	n := func(s string, n int) string { return string([]rune(s)[:n]) }
	for _, tt := range []struct {
		name     string
		text     string
		o        Options
		encoding Encoding
		segments int
	}{
		{"empty", "", Options{}, GSM7, 0},
		{"empty with a prefix", "", Options{Prefix: "Trial"}, GSM7, 1},
		{"one", "a", Options{}, GSM7, 1},
		{"160", n(a, 160), Options{}, GSM7, 1},
		{"161", n(a, 161), Options{}, GSM7, 2},
		{"153 twice", n(a, 306), Options{}, GSM7, 2},
		{"153 twice and one", n(a, 307), Options{}, GSM7, 3},
		{"152 twice, toll-free", n(a, 304), Options{Limits: TollFreeLimits()}, GSM7, 2},
		{"152 twice and one, toll-free", n(a, 305), Options{Limits: TollFreeLimits()}, GSM7, 3},
		{"160, toll-free", n(a, 160), Options{Limits: TollFreeLimits()}, GSM7, 1},
		{"70 UCS-2", n(accent, 70), Options{}, UCS2, 1},
		{"71 UCS-2", n(accent, 71), Options{}, UCS2, 2},
		{"67 twice", n(accent, 134), Options{}, UCS2, 2},
		{"67 twice and one", n(accent, 135), Options{}, UCS2, 3},
		{"66 twice and one, toll-free", n(accent, 133), Options{Limits: TollFreeLimits()}, UCS2, 3},
		{"extension characters count twice", strings.Repeat("€", 80), Options{}, GSM7, 1},
		{"81 extension characters", strings.Repeat("€", 81), Options{}, GSM7, 2},
		{"extension character at the end of a single", n(a, 159) + "[", Options{}, GSM7, 2},
		{"extension character would be cut", n(a, 152) + "[" + n(a, 151), Options{}, GSM7, 2},
		{"extension character would be cut, one more", n(a, 152) + "[" + n(a, 152), Options{}, GSM7, 3},
		{"pair would be cut", n(accent, 66) + "😀" + n(accent, 65), Options{}, UCS2, 2},
		{"pair would be cut, one more", n(accent, 66) + "😀" + n(accent, 66), Options{}, UCS2, 3},
		{"35 pairs", strings.Repeat("😀", 35), Options{}, UCS2, 1},
		{"36 pairs", strings.Repeat("😀", 36), Options{}, UCS2, 2},
		{"66 pairs", strings.Repeat("😀", 66), Options{}, UCS2, 2}, // 33 in 66 units of 67
		{"67 pairs", strings.Repeat("😀", 67), Options{}, UCS2, 3},
		{"CRLF", "a\r\nb", Options{}, GSM7, 1},
		{"CRLF at a boundary", n(a, 159) + "\r\n", Options{}, GSM7, 2},
		{"tab is not in the alphabet", "a\tb", Options{}, UCS2, 1},
		{"escape is not a character", "a\x1bb", Options{}, UCS2, 1},
		{"backquote is not in the alphabet", "`", Options{}, UCS2, 1},
		{"Greek capitals are", "ΔΦΓΛΩΠΨΣΘΞ", Options{}, GSM7, 1},
		{"Greek small letters are not", "δ", Options{}, UCS2, 1},
		{"capital cedilla is, the small one is not", "Ç", Options{}, GSM7, 1},
		{"small cedilla", "ç", Options{}, UCS2, 1},
		{"prefix takes room", n(a, 150), Options{Prefix: n(a, 11)}, GSM7, 2},
		{"prefix forces UCS-2", n(a, 70), Options{Prefix: "’"}, UCS2, 2},
	} {
		got := Analyse(tt.text, tt.o)
		if got.Encoding != tt.encoding || got.Segments != tt.segments {
			t.Errorf("%s: got %s in %d segments, want %s in %d", tt.name, got.Encoding, got.Segments, tt.encoding, tt.segments)
		}
		agree(t, tt.text, tt.o)
	}
}

func TestBreaksAndForced(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a", 66) + "😀" + strings.Repeat("’", 10)
	got := Analyse(text, Options{})
	if want := []int{66}; !slices.Equal(got.Breaks, want) {
		t.Errorf("breaks: got %v, want %v: before the pair", got.Breaks, want)
	}
	if want := []Forced{{'😀', 66, 1}, {'’', 70, 10}}; !slices.Equal(got.Forced, want) {
		t.Errorf("forced: got %+v, want %+v", got.Forced, want)
	}
	got = Analyse(strings.Repeat("a", 152)+"€"+strings.Repeat("a", 200), Options{})
	if want := []int{152, 152 + 3 + 151}; !slices.Equal(got.Breaks, want) || got.Forced != nil {
		t.Errorf("got breaks %v and forced %v, want %v: before the extension character, and none", got.Breaks, got.Forced, want)
	}
}

func TestCap(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		strings.Repeat("😀", 1600): false, strings.Repeat("😀", 1601): true, strings.Repeat("a", 1600): false, strings.Repeat("a", 1601): true,
	} {
		if got := Analyse(text, Options{Prefix: "trial "}).TooLong; got != want {
			t.Errorf("%d bytes of text too long: got %v, want %v", len(text), got, want)
		}
	}
}

func TestAlphabetIsWhole(t *testing.T) {
	t.Parallel()
	n := 0
	for r := range rune(0x11000) {
		want := 0
		if _, ok := gsmCodes[r]; ok {
			want = 1
		} else if _, ok := gsmExtension[r]; ok {
			want = 2
		}
		if want > 0 {
			n++
		}
		if got := gsmWidth(r); got != want {
			t.Errorf("%U: got %d septets, want %d", r, got, want)
		}
	}
	if n != 127+10 {
		t.Errorf("the reference has %d characters, want 137", n)
	}
}

func TestSegmentsDoesNotAllocate(t *testing.T) {
	for _, text := range []string{"hello", strings.Repeat("é€", 500), strings.Repeat("😀", 100)} {
		if got := testing.AllocsPerRun(100, func() { Segments(text, Options{Prefix: "trial "}) }); got != 0 {
			t.Errorf("%.10q: got %v allocations, want 0", text, got)
		}
	}
}

func FuzzAnalyse(f *testing.F) {
	for _, s := range []string{"", "a\r\nb", "€", "😀", strings.Repeat("a", 152) + "[", strings.Repeat("á", 66) + "😀", "\xff", "\x1b"} {
		f.Add(s, "", false)
		f.Add(s, "trial ", true)
	}
	f.Fuzz(func(t *testing.T, text, prefix string, free bool) {
		o := Options{Prefix: strings.ToValidUTF8(prefix, "?")}
		if free {
			o.Limits = tollFree
		}
		agree(t, strings.ToValidUTF8(text, "?"), o)
		Analyse(text, o) // must not fail for any bytes
	})
}

func BenchmarkSegments(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"ascii", "You said: Hello, could you tell me when you open tomorrow?"},
		{"accents", "Vous êtes ouverts demain à quelle heure ? Merci"},
		{"long", strings.Repeat("Hello, could you tell me when you open? ", 40)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Segments(bm.text, Options{})
			}
		})
	}
}
