package handlers

import (
	"unicode"
	"unicode/utf8"
)

// ellipsis ends a reply that was cut.
const ellipsis = "…"

// maxCluster bounds how many characters are given up so that what people see as one
// character stays whole: the longest emoji have ten. A text that is nothing but marks would
// otherwise vanish.
const maxCluster = 32

// cut shortens a text to at most limit characters, the last of which is then an ellipsis. It
// does not part a letter from its accents, nor an emoji from what belongs to it. The texts
// that fit stay as they are.
func cut(text string, limit int) string {
	runes := make([]rune, 0, limit+1)
	ends := make([]int, 0, limit+1) // the index after each of them
	for i, r := range text {
		if len(runes) > limit {
			break
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		runes, ends = append(runes, r), append(ends, i+size)
	}
	if len(runes) <= limit {
		return text
	}
	n := limit - 1 // leave room for the ellipsis
	for back := 0; n > 0 && back < maxCluster && joined(runes, n); back++ {
		n--
	}
	if n == 0 || joined(runes, n) {
		n = limit - 1
	}
	return text[:ends[n-1]] + ellipsis
}

const zeroWidthJoiner = '\u200d'

// joined tells whether the character at n belongs together with the one before it.
func joined(runes []rune, n int) bool {
	r, before := runes[n], runes[n-1]
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc), r == zeroWidthJoiner, before == zeroWidthJoiner:
		return true
	case '\U0001F3FB' <= r && r <= '\U0001F3FF': // skin tones
		return true
	case r == '\n' && before == '\r':
		return true
	case isRegional(r):
		// Two make a flag, counted from the first of a row of them.
		first := n
		for first > 0 && isRegional(runes[first-1]) {
			first--
		}
		return (n-first)%2 == 1
	}
	return false
}

func isRegional(r rune) bool { return '\U0001F1E6' <= r && r <= '\U0001F1FF' }
