package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrInDoubt says that a request that changes something left, at least in part, and
	// that its answer did not come or cannot be read: the platform may or may not have
	// acted on it.
	ErrInDoubt = errors.New("outcome unknown")

	// ErrBadAnswer says that an answer cannot be read.
	ErrBadAnswer = errors.New("the answer cannot be read")

	// ErrIncomplete says that a list was not read to its end, so that what is not in it
	// may exist all the same.
	ErrIncomplete = errors.New("the list is not complete")

	errTimeout = errors.New("timeout")
)

// Error is a refusal: the platform answered, and the answer was no. A refusal of 500 and
// above does not prove that nothing was done.
type Error struct {
	Action     string // what was tried, such as "create the message"
	Status     int    // HTTP
	Problems   []Problem
	RetryAfter time.Duration // as the platform asked; zero if it did not
}

// Problem is one entry of the errors array. Numbers, credentials and the message's text
// have been taken out of Message.
type Problem struct {
	Type      string
	Code      string // such as invalid_from_number
	Message   string
	Attribute string // the parameter at fault, if one is
	URL       string // of the documentation
}

// Error names the status and the problems, and says what to do next.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "refused with status %d", e.Status)
	sep := ": "
	for _, p := range e.Problems {
		b.WriteString(sep)
		sep = "; "
		b.WriteString(p.Code)
		if p.Attribute != "" {
			b.WriteString(" (" + p.Attribute + ")")
		}
		if p.Message != "" {
			b.WriteString(", " + p.Message)
		}
	}
	switch {
	case e.Status == http.StatusUnauthorized:
		b.WriteString("; check the project id, the API token and that both are of this space")
	case e.Status == http.StatusForbidden:
		b.WriteString("; give the API token the scope that this needs, in the space's dashboard")
	case e.Status == http.StatusNotFound:
		b.WriteString("; check the id, and that the space is the host of a SignalWire space")
	case e.Status >= 300 && e.Status < 400:
		b.WriteString("; the space has another address: set the host that its dashboard shows")
	case e.Temporary() && e.RetryAfter > 0:
		fmt.Fprintf(&b, "; try again in %s", e.RetryAfter)
	case e.Temporary():
		b.WriteString("; try again later")
	case len(e.Problems) > 0:
		b.WriteString("; correct the request")
	}
	return b.String()
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500
}

// HasCode reports whether one of the problems has the code.
func (e *Error) HasCode(code string) bool {
	for _, p := range e.Problems {
		if p.Code == code {
			return true
		}
	}
	return false
}

// Bounds of what is kept of a refusal, which could be anything, such as a proxy's page.
const (
	mostProblems   = 20
	longestProblem = 300 // bytes of a text
)

// refusal reads an answer that is a no. A body that is not the platform's own gives an
// Error without problems.
func (c *Client) refusal(rq *call, resp *http.Response, data []byte) error {
	e := &Error{Action: rq.action, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header, time.Now())}
	var body struct {
		Errors []struct {
			Type, Code, Message, Attribute, URL loose
		} `json:"errors"`
	}
	if json.Unmarshal(data, &body) != nil {
		return e
	}
	for _, p := range body.Errors[:min(len(body.Errors), mostProblems)] {
		e.Problems = append(e.Problems, Problem{
			Type: c.clean(p.Type, rq.text), Code: c.clean(p.Code, rq.text), Message: c.clean(p.Message, rq.text),
			Attribute: c.clean(p.Attribute, rq.text), URL: c.clean(p.URL, rq.text),
		})
	}
	return e
}

// retryAfter reads the header of that name: seconds, or a date. More than a day is taken
// for a day.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const most = 24 * time.Hour
	raw := h.Get("Retry-After")
	if n, err := strconv.ParseUint(raw, 10, 63); err == nil {
		return min(time.Duration(min(n, uint64(most/time.Second)))*time.Second, most)
	}
	if at, err := http.ParseTime(raw); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}

// phone is what could be a telephone number.
var phone = regexp.MustCompile(`\+?[0-9][0-9 ().-]{3,}[0-9]`)

// clean takes what must not be shown out of the platform's words.
func (c *Client) clean(words loose, text string) string {
	s := string(words)
	s = strings.ReplaceAll(s, c.cfg.Token.Reveal(), redacted)
	s = withoutText(s, text)
	s = phone.ReplaceAllStringFunc(s, mask)
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if len(s) > longestProblem {
		s = strings.ToValidUTF8(s[:longestProblem], "") + "..."
	}
	return s
}

// withoutText replaces a message's text by its length. A short one is taken for itself only
// where it stands alone: "no" is in many words.
func withoutText(s, text string) string {
	const short = 8
	if text == "" {
		return s
	}
	length := fmt.Sprintf("[%d bytes]", len(text))
	if len(text) >= short {
		return strings.ReplaceAll(s, text, length)
	}
	alone := func(before, after string) bool {
		b, _ := utf8.DecodeLastRuneInString(before)
		a, _ := utf8.DecodeRuneInString(after)
		return !unicode.IsLetter(b) && !unicode.IsDigit(b) && !unicode.IsLetter(a) && !unicode.IsDigit(a)
	}
	var out strings.Builder
	for done := ""; ; {
		before, after, found := strings.Cut(s, text)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		if alone(done+before, after) {
			out.WriteString(length)
		} else {
			out.WriteString(text)
		}
		done, s = text, after
	}
}

// mask keeps the first digit of an international number and the last two of any.
func mask(number string) string {
	head := ""
	if number[0] == '+' {
		head = number[:2]
	}
	return head + "***" + number[len(number)-2:]
}

// loose is a text that the platform may also write as a number or null.
type loose string

// UnmarshalJSON takes a string, a number, a boolean or null.
func (l *loose) UnmarshalJSON(data []byte) error {
	switch {
	case string(data) == "null":
		*l = ""
	case data[0] == '"':
		return json.Unmarshal(data, (*string)(l))
	case data[0] == '{' || data[0] == '[':
		return &json.UnmarshalTypeError{Value: "object", Type: typeOfString}
	default:
		*l = loose(data)
	}
	return nil
}

const redacted = "[redacted]"

// Secret is a credential. Every way of printing it, logging it or encoding it yields
// "[redacted]"; only Reveal returns what it holds.
type Secret string

// Reveal returns the secret itself, for the request that it is for and nothing else.
func (s Secret) Reveal() string { return string(s) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// Format writes "[redacted]" for every verb.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
