package consent

import (
	"math"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Normalise reduces a text to the words that a person meant, so that a small difference in
// writing cannot defeat an opt-out: compatibility forms become plain letters (NFKC), case
// is folded, accents and invisible characters go, emoji and hyphens become spaces, each
// word loses the punctuation at its ends, and one space stands between words.
//
//	Normalise("  “Ｓｔｏｐ”…  Thank-you!! 🙏") == "stop thank you"
//
// Punctuation inside a word stays if it belongs there (don't, 3.5, 12:30, example.com) and
// separates if it stands for a space that was not typed (stop.thanks, stop/end). A text
// without any letter or digit becomes "".
func Normalise(s string) string {
	var buf [160]byte
	return string(AppendNormalised(buf[:0], s, math.MaxInt))
}

// AppendNormalised appends the normal form of s to dst, which should be empty, and returns
// it. It may stop early once dst is longer than limit bytes, which is a cheap way to learn
// that a text is none of some short ones.
func AppendNormalised(dst []byte, s string, limit int) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return appendWords(dst, unaccent(s), limit)
		}
	}
	return appendWords(dst, s, limit)
}

// The classes of characters, as word building sees them.
const (
	classSpace  = iota // ends a word
	classWord          // letters, digits
	classJoiner        // stays inside a word, goes at its ends
	classBreak         // like a joiner between digits and inside an address, else like a space
	classHyphen        // like a joiner inside an address, else like a space
)

// asciiClass classifies ASCII; control characters are spaces.
var asciiClass = func() (t [utf8.RuneSelf]uint8) {
	for c := range t {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9':
			t[c] = classWord
		case c <= ' ' || c == 0x7f || strings.IndexByte(`,;!?"()[]{}<>|`, byte(c)) >= 0:
			t[c] = classSpace
		case c == '-':
			t[c] = classHyphen
		case c == '.' || c == ':' || c == '/' || c == '\\' || c == '_':
			t[c] = classBreak
		default:
			t[c] = classJoiner
		}
	}
	return t
}()

func classOf(r rune) uint8 {
	switch {
	case r < utf8.RuneSelf:
		return asciiClass[r]
	case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
		return classWord
	}
	return classSpace
}

// appendWords finds the words of s, whose letters beyond ASCII are folded already.
func appendWords(dst []byte, s string, limit int) []byte {
	const none = -1
	joint := none      // where the run of joiners after the last word character begins
	apart := true      // a space is due before the next word character
	addressEnd := none // end of the address that we are in
	checked := 0       // up to where addresses have been looked for
	for i := 0; i < len(s); {
		c, size := s[i], 1
		var class uint8
		if c < utf8.RuneSelf {
			class = asciiClass[c]
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			class = classOf(r)
		}
		if class == classBreak || class == classHyphen {
			if i >= checked {
				var isAddress bool
				checked, isAddress = address(s, i)
				if isAddress {
					addressEnd = checked
				}
			}
			switch {
			case i < addressEnd:
				class = classJoiner
			case class == classBreak && digitAt(s, i-1) && digitAt(s, i+1):
				class = classJoiner
			default:
				class = classSpace
			}
		}
		switch class {
		case classSpace:
			apart, joint = true, none
		case classJoiner:
			if joint == none && !apart {
				joint = i
			}
		case classWord:
			switch {
			case apart && len(dst) > 0:
				dst = append(dst, ' ')
			case !apart && joint != none:
				dst = append(dst, s[joint:i]...)
			}
			apart, joint = false, none
			if 'A' <= c && c <= 'Z' {
				dst = append(dst, c|0x20)
			} else {
				dst = append(dst, s[i:i+size]...)
			}
			if len(dst) > limit {
				return dst
			}
		}
		i += size
	}
	return dst
}

func digitAt(s string, i int) bool { return 0 <= i && i < len(s) && '0' <= s[i] && s[i] <= '9' }

// addressEndings are top-level domains that make a dotted word an address even without a
// scheme. The list is short on purpose: an address that is missed can at worst put a text
// before a person's eyes, while "stop.me" taken for an address would hide an opt-out.
var addressEndings = []string{".com", ".net", ".org", ".gov", ".edu", ".io", ".app", ".dev", ".biz"}

// address reports where the run of non-spaces around s[i] ends, and whether it is a web or
// mail address.
func address(s string, i int) (end int, is bool) {
	start := i
	for start > 0 && s[start-1] > ' ' {
		start--
	}
	end = i
	for end < len(s) && s[end] > ' ' {
		end++
	}
	token := s[start:end]
	if strings.Contains(token, "://") || at(token) {
		return end, true
	}
	for j := 0; j < len(token); j++ {
		if token[j] != '.' {
			continue
		}
		for _, ending := range addressEndings {
			rest := token[j:]
			if len(rest) >= len(ending) && strings.EqualFold(rest[:len(ending)], ending) &&
				(len(rest) == len(ending) || asciiOther(rest[len(ending)])) {
				return end, true
			}
		}
	}
	return end, false
}

// at reports whether an at sign stands between two word characters.
func at(token string) bool {
	i := strings.IndexByte(token, '@')
	return i > 0 && i+1 < len(token) && !asciiOther(token[i-1]) && !asciiOther(token[i+1])
}

func asciiOther(c byte) bool { return c < utf8.RuneSelf && asciiClass[c] != classWord }

// unaccent folds everything beyond ASCII: what is left of s is lower-case base letters and
// ASCII of either case.
func unaccent(s string) string {
	if out, ok := unaccentQuick(s); ok {
		return out
	}
	return unaccentAny(s)
}

func unaccentAny(s string) string {
	s = strings.Map(before, strings.ToValidUTF8(s, " "))
	s = strings.Map(after, norm.NFKD.String(s))
	s = strings.Map(after, norm.NFKD.String(cases.Fold().String(s)))
	return norm.NFC.String(s)
}

// before replaces what compatibility decomposition would turn into something misleading.
func before(r rune) rune {
	switch r {
	case '‘', '’', '‛', 'ʼ', '´', '′', '＇':
		return '\'' // the accent would become a space and a combining mark
	case '™', '℠':
		return ' ' // not the letters TM
	}
	return r
}

// after drops accents and invisible characters, and turns emoji and dashes into spaces.
func after(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		return r
	case isAccent(r), r == firstHangulFiller, r == lastHangulFiller:
		return -1
	case unicode.IsLetter(r):
		return r
	case isInvisible(r):
		return -1
	case unicode.Is(unicode.Pd, r), r == '−', unicode.Is(unicode.So, r), unicode.Is(unicode.Sk, r):
		// Emoji stand between words at least as often as they decorate one: "stop🛑please".
		return ' '
	}
	return r
}

// isAccent holds for the combining marks of Latin, Greek and Cyrillic and the enclosing
// ones. The vowel signs of other scripts are letters in all but name, and stay.
func isAccent(r rune) bool {
	return 0x0300 <= r && r <= 0x036F || 0x1AB0 <= r && r <= 0x1AFF || 0x1DC0 <= r && r <= 0x1DFF ||
		0x20D0 <= r && r <= 0x20FF || 0xFE20 <= r && r <= 0xFE2F
}

// The Hangul fillers are letters by category, and empty.
const firstHangulFiller, lastHangulFiller = 0x115F, 0x1160

// isInvisible holds for what leaves no ink: format characters (zero-width space and
// joiners, direction marks, soft hyphen), variation selectors, fillers.
func isInvisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) ||
		unicode.Is(unicode.Variation_Selector, r)
}

// The blocks that most texts take their non-ASCII characters from, and what unaccentAny
// makes of each character. Nothing in them combines with a neighbour and stays, so that a
// text can be folded one character at a time.
var foldedBlocks = sync.OnceValue(func() *blocks {
	return &blocks{
		alphabets:   foldBlock(firstAlphabetic, lastAlphabetic),
		punctuation: foldBlock(firstPunctuation, lastPunctuation),
	}
})

type blocks struct{ alphabets, punctuation []string }

const (
	firstAlphabetic, lastAlphabetic   = 0x80, 0x52F // Latin, combining accents, Greek, Cyrillic
	firstPunctuation, lastPunctuation = 0x2000, 0x206F
)

// Emoji without any decomposition; the blocks before hold enclosed letters, which have one.
const firstPicture, lastPicture = 0x1F300, 0x1FAFF

func foldBlock(first, last rune) []string {
	var t []string
	for r := first; r <= last; r++ {
		t = append(t, unaccentAny(string(r)))
	}
	return t
}

// unaccentQuick is unaccentAny for texts within the blocks above; false for others.
func unaccentQuick(s string) (string, bool) {
	folded := foldedBlocks()
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			b.WriteByte(c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case firstAlphabetic <= r && r <= lastAlphabetic:
			b.WriteString(folded.alphabets[r-firstAlphabetic])
		case firstPunctuation <= r && r <= lastPunctuation:
			b.WriteString(folded.punctuation[r-firstPunctuation])
		case firstPicture <= r && r <= lastPicture:
			b.WriteByte(' ') // a symbol or nothing at all: both end a word
		case r == '\uFE0F': // asks for the coloured form of the emoji before it
		default:
			return "", false
		}
		i += size
	}
	return b.String(), true
}
