package sms

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Class is the kind of a number of ours, by which pace, segment size and the answers of the
// network differ.
type Class string

// The classes.
const (
	TenDLC    Class = "10dlc"     // a US long code; also what nothing is known about
	TollFree  Class = "tollfree"  // 800 and its sisters
	ShortCode Class = "shortcode" // five or six digits
	Canada    Class = "canada"    // a Canadian long code
	Local     Class = "local"     // a long code of another country
)

// Classes lists the classes.
func Classes() []Class { return []Class{TenDLC, TollFree, ShortCode, Canada, Local} }

// Limits are the segment limits of messages from a number of the class.
func (c Class) Limits() Limits {
	if c == TollFree {
		return TollFreeLimits()
	}
	return StandardLimits()
}

// ClassOf is the class of a number in E.164 or of a short code; TenDLC for everything else.
// It neither checks the number nor allocates.
func ClassOf(number string) Class {
	digits, international := strings.CutPrefix(number, "+")
	switch {
	case !international:
		if shortCode(digits) {
			return ShortCode
		}
		return TenDLC
	case digits == "" || !isDigits(digits):
		return TenDLC
	case digits[0] != '1':
		return Local
	case len(digits) < 4:
		return TenDLC
	}
	area := 0
	for _, d := range digits[1:4] {
		area = 10*area + int(d-'0')
	}
	if c := areaClasses[area]; c != "" {
		return c
	}
	return TenDLC
}

// areaClasses has the class of each area code of the North American plan that is not a US
// long code's. The territories of the United States are not among them: the rules of 10DLC
// hold there too.
var areaClasses = func() (t [1000]Class) {
	for class, codes := range map[Class]string{
		TollFree: "800 833 844 855 866 877 888",
		Canada: "204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 468 474 " +
			"506 514 519 548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905 942",
		Local: "242 246 264 268 284 345 441 473 649 658 664 721 758 767 784 809 829 849 868 869 876",
	} {
		for code := range strings.FieldsSeq(codes) {
			area, _ := strconv.Atoi(code)
			t[area] = class
		}
	}
	return t
}()

// Parsed is a number as the platform writes it.
type Parsed struct {
	Number string // E.164 with its plus, or the digits of a short code
	Class  Class
	// Warnings say why the number is possible but unlikely to exist, without naming it.
	Warnings []string
}

// The reasons to refuse a number. No error holds any of its digits.
var (
	errNotANumber = errors.New("not a telephone number: write it as +12025550123, or a short code of 5 or 6 digits")
	errNoCountry  = errors.New("the country of the number is unknown: write it with a plus and the country code, as +12025550123")
	errCode       = errors.New("no country has the code after the plus: write the number as +12025550123")
)

// ParseNumber reads a number as people write it: international with a plus, 00 or 011, the
// ten or eleven digits of a North American number, or a short code; with spaces, dots,
// dashes, slashes and parentheses. It refuses what cannot be a number by its length or
// country code, and only warns of what is merely not in use.
//
// It is for input of operators and applications, not for every message: the platform's own
// numbers need no parsing.
func ParseNumber(s string) (Parsed, error) {
	digits, plus, ok := bareDigits(s)
	switch {
	case !ok || digits == "":
		return Parsed{}, errNotANumber
	case plus:
	case strings.HasPrefix(digits, "011"):
		digits = digits[len("011"):]
	case strings.HasPrefix(digits, "00"):
		digits = digits[len("00"):]
	case len(digits) == 10 && digits[0] >= '2':
		digits = "1" + digits
	case len(digits) == 11 && digits[0] == '1':
	case shortCode(digits):
		return Parsed{Number: digits, Class: ShortCode}, nil
	default:
		return Parsed{}, errNoCountry
	}
	code, lengths := countryOf(digits)
	if code == "" {
		return Parsed{}, errCode
	}
	if n := len(digits) - len(code); lengths&(1<<n) == 0 {
		return Parsed{}, fmt.Errorf("the number has %d digits after the country code +%s, which no number there has: check that none is missing", n, code)
	}
	p := Parsed{Number: "+" + digits}
	p.Class = ClassOf(p.Number)
	if code == "1" {
		p.Warnings = unlikely(digits[1:])
	}
	return p, nil
}

// unlikely says what is wrong with a North American number.
func unlikely(national string) (warnings []string) {
	if national[0] < '2' {
		warnings = append(warnings, "no area code begins with 0 or 1")
	} else if national[1] == '9' || national[1:3] == "11" {
		warnings = append(warnings, "the area code is reserved")
	}
	if national[3] < '2' {
		warnings = append(warnings, "no exchange code begins with 0 or 1")
	}
	return warnings
}

// bareDigits takes the punctuation out of a number; false if there is anything else in it.
func bareDigits(s string) (digits string, plus, ok bool) {
	// Longer than any number with its punctuation: not worth looking at.
	const longest = 64
	if len(s) > longest {
		return "", false, false
	}
	s = strings.TrimPrefix(strings.TrimSpace(s), "tel:")
	s = strings.Replace(s, "(0)", "", 1) // +44 (0)20: the zero is not dialled from abroad
	var b strings.Builder
	for i, r := range s {
		switch {
		case '0' <= r && r <= '9':
			b.WriteRune(r)
		case (r == '+' || r == '＋') && i == 0:
			plus = true
		case strings.ContainsRune(" \t\u00a0\u202f\u2009.-‐\u2011–/()\u200b\u202a\u202c\u2060", r):
		default:
			return "", false, false
		}
	}
	return b.String(), plus, true
}

func shortCode(digits string) bool { return (len(digits) == 5 || len(digits) == 6) && isDigits(digits) }

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
