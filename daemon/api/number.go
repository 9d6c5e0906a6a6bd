package api

import (
	"errors"
	"regexp"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
)

var (
	phoneNumber = regexp.MustCompile(`^(\+[1-9][0-9]{7,14}|[0-9]{5,6})$`)
	punctuation = strings.NewReplacer(" ", "", "\u00a0", "", "-", "", "\u2011", "", "(", "", ")", "", ".", "", "/", "")
)

// errNumber does not repeat the number: an error may be logged.
var errNumber = errors.New("it is no phone number: write it with + and country code, such as +1 555 123 4567, or a short code of 5 or 6 digits")

// ParseNumber reads a number as people type it: with its country code after a plus, and with
// spaces, brackets, dots and hyphens wherever they like.
func ParseNumber(text string) (messaging.Number, error) {
	n := punctuation.Replace(strings.TrimSpace(text))
	if !phoneNumber.MatchString(n) {
		return "", errNumber
	}
	return messaging.Number(n), nil
}

// numberInQuery is ParseNumber for a query, in which a plus that was not escaped is a space.
func numberInQuery(text string) (messaging.Number, error) {
	if len(text) > 1 && text[0] == ' ' && text[1] != '+' {
		text = "+" + text[1:]
	}
	return ParseNumber(text)
}
