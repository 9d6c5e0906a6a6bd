package sms

import (
	"strconv"
	"strings"
	"sync"
)

// possibleLengths says how many digits may follow a country code: the lengths, then the
// codes. The lengths are those that libphonenumber calls possible, which a test compares.
const possibleLengths = `
10 1 52 58 225
10-11 54
10-12 30
10-14 234
10,14 7
11 888
12 878
4-5 290
4-7 690
4-7,10 98
4-11 352
4-13 43 598
4-15 49
4,7 683
5 500 682
5-6 247
5-7 688
5-7,10 685
5-8 386
5-10 27 64 263
5-11 31
5-12 358 971
5-10,12 61
5-9,11 852
5-6,8-14 82
5,7 676 677 678
5,8 47 686
6 298 299 672 687
6-7 597
6-8,10 53
6-9 252 355
6-10 48 95 880
6-11 375 595
6-12 39 381
6-10,12 46
6-9,12 359
6-7,9 421
6,8-9 376 689
6,8-13 63
6,9 40 508 681
7 220 238 239 246 248 269 291 297 592 673 674 680 691 692
7,10 960
7,10,12-13 90
7,11 501 679
7-8 241 599 670 675 853 961 965 975
7-8,10 230 267 372
7-8,10-11 507
7-8,11 503
7-9 231 385 967 968
7-10 84 243 254 353
7-11 886
7-12 86 882 972
7-17 62
7-9,11 974
7,9 245 265 354 423
7,9-10 44
8 45 216 222 223 226 227 228 232 235 236 253 257 266 350 356 357 370 371 373 374 389 505 509 800 808 973 993
8,10 229 378 506 850
8,10-11 57 65 977
8,11 502 504
8-9 32 36 51 213 224 233 237 250 258 264 268 377 382 387 591 962 963
8-10 20 60 855 856 964 970 976
8-11 55 593
8-12 92 383 883
8-13 91
8-17 81
8-10,13 66
9 33 34 93 94 211 212 218 221 240 242 244 249 251 255 256 260 261 262 351 590 594 596 979 992 994 995 998
9-10 380 881 966 996
9-11 56
9-12 420
9,12 41 870
`

// countries maps a country code to the set of its lengths: bit n stands for n digits.
var countries = sync.OnceValue(func() map[string]uint32 {
	m := make(map[string]uint32)
	for line := range strings.Lines(possibleLengths) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var set uint32
		for span := range strings.SplitSeq(fields[0], ",") {
			from, to, isSpan := strings.Cut(span, "-")
			if !isSpan {
				to = from
			}
			first, _ := strconv.Atoi(from)
			last, _ := strconv.Atoi(to)
			for n := first; n <= last; n++ {
				set |= 1 << n
			}
		}
		for _, code := range fields[1:] {
			m[code] = set
		}
	}
	return m
})

// countryOf finds the country code that digits begin with, and the set of lengths that may
// follow it. No code is the beginning of another.
func countryOf(digits string) (code string, lengths uint32) {
	for n := 1; n <= 3 && n <= len(digits); n++ {
		if set, ok := countries()[digits[:n]]; ok {
			return digits[:n], set
		}
	}
	return "", 0
}
