package sms

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Replaced is a character that Smart replaced.
type Replaced struct {
	From  rune
	To    string
	Count int
}

// Smart replaces typographic characters by their plain equivalents (curly quotes, dashes,
// ellipses, odd and invisible spaces, letters that were written as base and accent), if the
// whole text fits GSM 03.38 thereby and needs no more segments. Otherwise, and if it fits
// already, it returns the text as it is: changing an author's characters is justified only
// by what it saves.
//
// It loses no letter and no accent, and leaves what has no equivalent, such as an emoji. To
// see what was won, compare an [Analyse] of both texts. replaced lists what was done, each
// character once, in the order of the text; it is nil if nothing was.
func Smart(text string) (out string, replaced []Replaced) {
	if IsGSM7(text) {
		return text, nil
	}
	composed := norm.NFC.String(text)
	var b strings.Builder
	at := make(map[rune]int)
	for _, r := range composed {
		if gsmWidth(r) > 0 {
			b.WriteRune(r)
			continue
		}
		to, ok := plain(r)
		if !ok {
			return text, nil
		}
		b.WriteString(to)
		if k, seen := at[r]; seen {
			replaced[k].Count++
			continue
		}
		at[r] = len(replaced)
		replaced = append(replaced, Replaced{From: r, To: to, Count: 1})
	}
	out = b.String()
	// A text of ellipses grows.
	if Segments(out, Options{}) > Segments(text, Options{}) || utf8.RuneCountInString(out) > max(MaxCharacters, utf8.RuneCountInString(text)) {
		return text, nil
	}
	return out, replaced
}

// plain is the equivalent of a typographic character in GSM 03.38; false if it has none.
func plain(r rune) (string, bool) {
	switch r {
	case '‘', '’', '‚', '‛', '′', 'ʼ', 'ʹ', '`', '´', '‹', '›', '＇':
		return "'", true
	case '“', '”', '„', '‟', '″', '«', '»', '＂':
		return `"`, true
	case '‐', '\u2011', '‒', '–', '—', '―', '−', '﹘', '－':
		return "-", true
	case '…':
		return "...", true
	case '•', '·', '∙':
		return "*", true
	case '\t', '\u00A0', '\u1680', '\u202F', '\u205F', '\u3000':
		return " ", true
	case '\u2028', '\u2029', '\u0085', '\v':
		return "\n", true
	case '\u00AD', '\u200B', '\u200E', '\u200F', '\u2060', '\uFEFF':
		return "", true // soft hyphen, zero-width space, direction marks, joiner, byte order mark
	}
	if '\u2000' <= r && r <= '\u200A' {
		return " ", true // the widths of space
	}
	return "", false
}
