package texts

import (
	"errors"
	"io"
	"maps"
	"regexp"
	"strings"
	"text/template"
	"unicode/utf8"
)

var funcs = template.FuncMap{
	"upper": strings.ToUpper,
	"lower": strings.ToLower,
	"trim":  strings.TrimSpace,
	"default": func(fallback, s string) string {
		if s == "" {
			return fallback
		}
		return s
	},
	"firstword": func(s string) string {
		for word := range strings.FieldsSeq(s) {
			return word
		}
		return ""
	},
	"truncate": func(n int, s string) (string, error) {
		if n < 0 {
			return "", errors.New("truncate takes a length of 0 or more")
		}
		for i := range s {
			if n == 0 {
				return s[:i], nil
			}
			n--
		}
		return s, nil
	},
}

// Funcs are the functions that every template of a text has: upper, lower, trim, default,
// firstword and truncate.
func Funcs() template.FuncMap { return maps.Clone(funcs) }

// ErrTooLong is the error of Execute for a text of more characters than may be.
var ErrTooLong = errors.New("the text is longer than it may be")

// Execute runs a template, which it stops after limit characters: the text so far is then
// returned with an error that is [ErrTooLong]. The text is valid UTF-8.
func Execute(t *template.Template, data any, limit int) (string, error) {
	var out strings.Builder
	err := t.Execute(&limited{w: &out, left: limit}, data)
	if errors.Is(err, ErrTooLong) {
		err = ErrTooLong
	}
	return strings.ToValidUTF8(out.String(), "\uFFFD"), err // slice may have cut a character
}

// location is how text/template begins its errors.
var location = regexp.MustCompile(`^template: [^:]*:(\d+)(?::\d+)?: (?:executing "[^"]*" (at <.*?>): )?`)

// Fault splits an error of text/template into the place, which is the template's own text,
// and the reason, which may quote what was filled in.
func Fault(err error) (place, reason string) {
	text := err.Error()
	m := location.FindStringSubmatch(text)
	if m == nil {
		return "line 1", text
	}
	place = "line " + m[1]
	if m[2] != "" {
		place += " " + m[2]
	}
	return place, text[len(m[0]):]
}

// limited lets a number of characters pass. The write that exceeds it still passes and then
// fails, which stops the template.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	// The bytes that begin a character, so that one that is split between writes counts once.
	for _, b := range p {
		if utf8.RuneStart(b) {
			l.left--
		}
	}
	n, err := l.w.Write(p)
	if err == nil && l.left < 0 {
		err = ErrTooLong
	}
	return n, err
}
