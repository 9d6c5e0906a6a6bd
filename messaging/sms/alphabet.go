package sms

import "unicode/utf8"

// Encoding is how a text is carried.
type Encoding string

// The encodings.
const (
	GSM7 Encoding = "gsm7" // 7 bits a character, those of the extension table twice that
	UCS2 Encoding = "ucs2" // 16 bits a character, those beyond the basic plane twice that
)

// The GSM 03.38 default alphabet and its extension table. A character of the extension is
// carried as an escape and a second code.
const (
	basicTable = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extensionTable = "\f^{}\\[~]|€"
)

// septets holds how many codes a character takes for all characters below latinEnd; 0 for
// none that exists. The Greek capitals and the euro sign lie beyond.
var septets = func() (t [latinEnd]uint8) {
	for _, r := range basicTable {
		if r < latinEnd {
			t[r] = 1
		}
	}
	for _, r := range extensionTable {
		if r < latinEnd {
			t[r] = 2
		}
	}
	return t
}()

const latinEnd = 0x100

// gsmWidth is how many septets a character takes; 0 if GSM 03.38 does not have it.
func gsmWidth(r rune) int {
	if r < latinEnd {
		return int(septets[r])
	}
	switch r {
	case 'Δ', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ':
		return 1
	case '€':
		return 2
	}
	return 0
}

// ucsWidth is how many 16-bit units a character takes.
func ucsWidth(r rune) int {
	if r > 0xFFFF {
		return 2 // a surrogate pair
	}
	return 1
}

// IsGSM7 reports whether the whole text can be carried in GSM 03.38.
func IsGSM7(text string) bool {
	_, ok := countGSM7(text)
	return ok
}

// countGSM7 is the length of a text in septets; false if it needs UCS-2.
func countGSM7(text string) (n int, ok bool) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= utf8.RuneSelf {
			for _, r := range text[i:] {
				w := gsmWidth(r)
				if w == 0 {
					return 0, false
				}
				n += w
			}
			return n, true
		}
		w := septets[c]
		if w == 0 {
			return 0, false
		}
		n += int(w)
	}
	return n, true
}

// countUCS2 is the length of a text in 16-bit units.
func countUCS2(text string) (n int) {
	for _, r := range text {
		n += ucsWidth(r)
	}
	return n
}
