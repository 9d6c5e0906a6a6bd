package relaytest

import "unicode/utf16"

// The GSM 03.38 default alphabet, and what it reaches with an escape (two
// septets each).
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExt   = "\f^{}\\[~]|€"
)

var gsmSeptets = func() map[rune]int {
	m := make(map[rune]int)
	for _, r := range gsmBasic {
		m[r] = 1
	}
	for _, r := range gsmExt {
		m[r] = 2
	}
	return m
}()

// segments returns how many parts a text needs: 160 or 153 septets of GSM-7
// each, else 70 or 67 UTF-16 units. No part ends inside an escape or a
// surrogate pair. An empty text is one part.
func segments(body string) int {
	var costs []int
	gsm := true
	for _, r := range body {
		n := gsmSeptets[r]
		if n == 0 {
			gsm = false
			break
		}
		costs = append(costs, n)
	}
	single, part := 160, 153
	if !gsm {
		single, part = 70, 67
		costs = costs[:0]
		for _, r := range body {
			costs = append(costs, utf16.RuneLen(r))
		}
	}
	total := 0
	for _, n := range costs {
		total += n
	}
	if total <= single {
		return 1
	}
	count, used := 1, 0
	for _, n := range costs {
		if used+n > part {
			count, used = count+1, 0
		}
		used += n
	}
	return count
}
