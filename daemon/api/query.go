package api

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// query is a search in both directions or one.
type query struct {
	messaging.Search // without Sends, Limit, Before and After

	in, out       bool
	limit         int
	before, after cursor
	begun         bool // it goes on from a cursor
	forward       bool
}

// The bounds of a page.
const (
	limitUsual = 50
	limitMost  = 1000
)

var (
	fates = map[string]messaging.Fate{
		"retry": messaging.FateRetry, "done": messaging.FateDone, "dead": messaging.FateDead, "dropped": messaging.FateDropped,
	}
	statuses = []messaging.Status{
		messaging.StatusQueued, messaging.StatusSending, messaging.StatusInDoubt, messaging.StatusAccepted, messaging.StatusSent,
		messaging.StatusDelivered, messaging.StatusUndelivered, messaging.StatusFailed, messaging.StatusSuppressed,
		messaging.StatusExpired, messaging.StatusCancelled, messaging.StatusUnknown,
	}
)

// parameters are those of a search, in the order of API.md.
var parameters = []string{"number", "context", "direction", "status", "fate", "since", "until", "text", "limit", "before", "after"}

// parseQuery reads the parameters of a search. Those in fixed are decided by the path.
func parseQuery(v url.Values, fixed ...string) (*query, error) {
	q := &query{in: true, out: true, limit: limitUsual}
	for name, values := range v {
		switch {
		case slices.Contains(fixed, name):
			return nil, &fault{"query." + name, errors.New("it has no place here: the path decides it")}
		case !slices.Contains(parameters, name):
			return nil, &fault{"query." + name, errors.New("there is no such parameter; there are " + strings.Join(parameters, ", "))}
		case len(values) > 1 && name != "status" && name != "fate":
			return nil, &fault{"query." + name, errors.New("it is given twice")}
		}
		for _, value := range values {
			if err := q.set(name, value); err != nil {
				return nil, &fault{"query." + name, err}
			}
		}
	}
	return q, q.check()
}

func (q *query) set(name, value string) (err error) {
	if value == "" {
		return nil
	}
	switch name {
	case "number":
		q.Number, err = numberInQuery(value)
	case "context":
		q.Context = value
	case "direction":
		switch value {
		case DirectionIn:
			q.out = false
		case DirectionOut:
			q.in = false
		default:
			err = fmt.Errorf("%q is neither in nor out", value)
		}
	case "status":
		for s := range strings.SplitSeq(value, ",") {
			if !slices.Contains(statuses, messaging.Status(s)) {
				return fmt.Errorf("there is no status %q; there are %s", s, joined(statuses))
			}
			q.Statuses = append(q.Statuses, messaging.Status(s))
		}
	case "fate":
		for s := range strings.SplitSeq(value, ",") {
			f, ok := fates[s]
			if !ok {
				return fmt.Errorf("there is no fate %q; there are retry, done, dead, dropped", s)
			}
			q.Fates = append(q.Fates, f)
		}
	case "since":
		q.Since, err = parseTime(value)
	case "until":
		q.Until, err = parseTime(value)
	case "text":
		q.Text = value
	case "limit":
		if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > limitMost {
			err = fmt.Errorf("%q is no number from 1 to %d", value, limitMost)
		}
	case "before":
		q.begun, err = true, q.before.parse(value)
	case "after":
		q.begun, q.forward, err = true, true, q.after.parse(value)
	}
	return err
}

func joined[T ~string](names []T) string {
	s := make([]string, len(names))
	for i, n := range names {
		s[i] = string(n)
	}
	return strings.Join(s, ", ")
}

func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time; write it like 2026-11-24T12:00:00Z", text)
	}
	return t, nil
}

// check resolves what the parameters mean together.
func (q *query) check() error {
	switch {
	case !q.in && !q.out:
		return errors.New("direction: in and out exclude each other; leave it out for both")
	case q.before != (cursor{}) && q.forward:
		return errors.New("before and after exclude each other")
	case len(q.Statuses) > 0 && len(q.Fates) > 0:
		return errors.New("status is of sends and fate of inbounds: ask for one of them")
	case len(q.Statuses) > 0:
		if !q.out {
			return errors.New("status is of sends: use fate with direction=in")
		}
		q.in = false
	case len(q.Fates) > 0:
		if !q.in {
			return errors.New("fate is of inbounds: use status with direction=out")
		}
		q.out = false
	}
	return nil
}

// cursor is where a search stands in each direction; empty for the beginning.
type cursor struct{ in, out string }

// cursorMark stands between the two and in neither.
const cursorMark = "~"

func (c cursor) String() string {
	if c == (cursor{}) {
		return ""
	}
	return c.in + cursorMark + c.out
}

func (c *cursor) parse(text string) error {
	in, out, ok := strings.Cut(text, cursorMark)
	if !ok {
		return fmt.Errorf("%q is not the cursor of an answer; begin without one", text)
	}
	c.in, c.out = in, out
	return nil
}
