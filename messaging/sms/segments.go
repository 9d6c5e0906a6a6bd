package sms

import "unicode/utf8"

// MaxCharacters is how many characters the platform takes in one message, however many
// segments they become. A surrogate pair is one character.
const MaxCharacters = 1600

// Limits are how many units (septets or 16-bit units) a segment takes: alone, and as one of
// several, where a header takes its share.
type Limits struct {
	SingleGSM7, PartGSM7 int
	SingleUCS2, PartUCS2 int
}

// StandardLimits are those of GSM 03.40 with a header of six octets.
func StandardLimits() Limits {
	return Limits{SingleGSM7: 160, PartGSM7: 153, SingleUCS2: 70, PartUCS2: 67}
}

// TollFreeLimits are those of toll-free numbers, where the header takes seven octets.
func TollFreeLimits() Limits {
	return Limits{SingleGSM7: 160, PartGSM7: 152, SingleUCS2: 70, PartUCS2: 66}
}

// Options say how a text is carried.
type Options struct {
	// Limits of a segment; zero means StandardLimits.
	Limits Limits
	// Prefix is what the platform puts before every text, as it does on trial accounts. It
	// takes room in the segments but does not count against MaxCharacters.
	Prefix string
}

func (o Options) limits() Limits {
	if o.Limits == (Limits{}) {
		return StandardLimits()
	}
	return o.Limits
}

// Analysis tells how a text is carried.
type Analysis struct {
	Encoding   Encoding
	Characters int // of the text, without the prefix
	Units      int // septets for GSM7, 16-bit units for UCS2; with the prefix
	Segments   int // 0 for an empty text without a prefix, else 1 or more
	// Breaks are the offsets, in bytes of the prefix and the text together, at which the
	// second and later segments begin. No character is cut.
	Breaks []int
	// Forced are the characters that forced UCS2, each once, in the order of the text.
	Forced  []Forced
	TooLong bool // has more than MaxCharacters
}

// Forced is a character that GSM 03.38 does not have.
type Forced struct {
	Char   rune
	Offset int // of the first one, in bytes of the prefix and the text together
	Count  int
}

// Analyse tells how a text is carried. A text that is not valid UTF-8 counts as if each bad
// byte were U+FFFD.
func Analyse(text string, o Options) Analysis {
	a := Analysis{Encoding: GSM7, Characters: utf8.RuneCountInString(text)}
	a.TooLong = a.Characters > MaxCharacters
	whole := o.Prefix + text
	width := gsmWidth
	limits := o.limits()
	single, part := limits.SingleGSM7, limits.PartGSM7
	var ok bool
	if a.Units, ok = countGSM7(whole); !ok {
		a.Encoding, a.Units, width = UCS2, countUCS2(whole), ucsWidth
		single, part = limits.SingleUCS2, limits.PartUCS2
		a.Forced = forced(whole)
	}
	switch {
	case a.Units == 0:
		return a
	case a.Units <= single:
		a.Segments = 1
		return a
	}
	used := 0
	for i, r := range whole {
		w := width(r)
		if used+w > part {
			a.Breaks = append(a.Breaks, i)
			used = 0
		}
		used += w
	}
	a.Segments = len(a.Breaks) + 1
	return a
}

func forced(text string) (all []Forced) {
	at := make(map[rune]int)
	for i, r := range text {
		if gsmWidth(r) > 0 {
			continue
		}
		if k, ok := at[r]; ok {
			all[k].Count++
			continue
		}
		at[r] = len(all)
		all = append(all, Forced{Char: r, Offset: i, Count: 1})
	}
	return all
}

// Segments is the number of segments that Analyse finds. It does not allocate.
func Segments(text string, o Options) int {
	limits := o.limits()
	width, single, part := gsmWidth, limits.SingleGSM7, limits.PartGSM7
	units, ok := countGSM7(o.Prefix)
	if ok {
		var n int
		n, ok = countGSM7(text)
		units += n
	}
	if !ok {
		units = countUCS2(o.Prefix) + countUCS2(text)
		width, single, part = ucsWidth, limits.SingleUCS2, limits.PartUCS2
	}
	switch {
	case units == 0:
		return 0
	case units <= single:
		return 1
	}
	segments, used := 1, 0
	for _, s := range [...]string{o.Prefix, text} {
		for _, r := range s {
			w := width(r)
			if used+w > part {
				segments++
				used = 0
			}
			used += w
		}
	}
	return segments
}
