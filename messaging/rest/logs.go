package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LogEntry is a line of the message log. It has neither the text nor the tags of a message.
type LogEntry struct {
	ID           string
	From, To     string
	Status       string // those of a Message, and received
	Direction    string // inbound, outbound, outbound-api, outbound-call, outbound-reply
	Kind         string // sms, mms, whatsapp
	Source       string // realtime_api, laml
	Type         string // relay_message, laml_message
	URL          string
	Segments     int
	Charge       string    // decimal, in US dollars
	CreatedAt    time.Time // of whole seconds
	ErrorCode    string
	ErrorMessage string
}

// Outbound reports whether it is a message of ours, however it was sent.
func (e *LogEntry) Outbound() bool {
	return e.Direction == "outbound" || strings.HasPrefix(e.Direction, "outbound-")
}

// UnmarshalJSON reads the platform's entry.
func (e *LogEntry) UnmarshalJSON(data []byte) error {
	var w struct {
		ID, From, To, Status, Direction, Kind, Source, Type, URL, Charge loose
		Segments                                                         int    `json:"number_of_segments"`
		CreatedAt                                                        moment `json:"created_at"`
		ErrorCode                                                        loose  `json:"error_code"`
		ErrorMessage                                                     loose  `json:"error_message"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*e = LogEntry{
		ID: string(w.ID), From: string(w.From), To: string(w.To), Status: string(w.Status), Direction: string(w.Direction),
		Kind: string(w.Kind), Source: string(w.Source), Type: string(w.Type), URL: string(w.URL), Segments: w.Segments,
		Charge: string(w.Charge), CreatedAt: time.Time(w.CreatedAt), ErrorCode: string(w.ErrorCode), ErrorMessage: string(w.ErrorMessage),
	}
	return nil
}

// MaxPageSize is the longest page that the platform gives.
const MaxPageSize = 1000

// LogQuery chooses entries. The platform filters by whole days only, and not by number.
type LogQuery struct {
	// The days, of which the date in UTC counts; zero: any.
	CreatedAfter, CreatedBefore, CreatedOn time.Time
	IncludeDeleted                         bool
	PageSize                               int // 1 to MaxPageSize; default 50
}

func (q *LogQuery) values() url.Values {
	v := url.Values{}
	day := func(name string, t time.Time) {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.DateOnly))
		}
	}
	day("created_after", q.CreatedAfter)
	day("created_before", q.CreatedBefore)
	day("created_on", q.CreatedOn)
	if q.IncludeDeleted {
		v.Set("include_deleted", "true")
	}
	if q.PageSize != 0 {
		v.Set("page_size", strconv.Itoa(q.PageSize))
	}
	return v
}

// Log gives one entry of the message log.
func (c *Client) Log(ctx context.Context, id string) (*LogEntry, error) {
	const action = "read the log entry"
	path, err := one(action, id, "api", "messaging", "logs")
	if err != nil {
		return nil, err
	}
	var e LogEntry
	if err := c.do(ctx, &call{action: action, method: http.MethodGet, path: path}, &e); err != nil {
		return nil, err
	}
	return &e, nil
}

// Logs iterates over the message log, newest first, page by page as the caller goes on. It
// ends after the last entry, or with an error: that of a request, or [ErrIncomplete] if
// there are more than maxPages pages (at least 1).
func (c *Client) Logs(ctx context.Context, q LogQuery, maxPages int) iter.Seq2[LogEntry, error] {
	return pages[LogEntry](ctx, c, "read the message log", []string{"api", "messaging", "logs"}, q.values(), maxPages)
}

// pages iterates over a list that comes in pages. Of a link to the next page only the
// query is taken: the credentials go to no host but the configured one.
func pages[T any](ctx context.Context, c *Client, action string, path []string, query url.Values, maxPages int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		seen := map[string]bool{query.Encode(): true}
		for n := 1; ; n++ {
			var page struct {
				Links struct {
					Next string `json:"next"`
				} `json:"links"`
				Data *[]T `json:"data"`
			}
			err := c.do(ctx, &call{action: action, method: http.MethodGet, path: path, query: query}, &page)
			if err == nil && page.Data == nil {
				err = fmt.Errorf("%s: %w: it has no data", action, ErrBadAnswer)
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range *page.Data {
				if !yield(item, nil) {
					return
				}
			}
			if page.Links.Next == "" {
				return
			}
			next, err := url.Parse(page.Links.Next)
			if err == nil {
				query, err = url.ParseQuery(next.RawQuery)
			}
			if err != nil || seen[query.Encode()] {
				// The link is not quoted: it may hold the filter's number.
				yield(none, fmt.Errorf("%s: %w: page %d links to no next one", action, ErrBadAnswer, n))
				return
			}
			seen[query.Encode()] = true
			if n >= max(maxPages, 1) {
				yield(none, fmt.Errorf("%s: %w: there are more than %d pages", action, ErrIncomplete, n))
				return
			}
		}
	}
}

// Bounds of OutboundBetween.
const (
	// betweenPages is how far it goes: two million entries, which is more than a space sends
	// in the hours within which a doubt is settled.
	betweenPages = 2000
	// disorder is how far entries that are near in time may stand out of order.
	disorder = time.Minute
	// dayMargin is what is added to the days asked for, since it is not documented in
	// whose zone a day of the log begins, nor whether the days named are part of it.
	dayMargin = 48 * time.Hour
)

// Pair is who a message goes from and to.
type Pair struct{ From, To string }

// OutboundBetween gives the outbound entries of pairs of numbers that were created from
// after to before, oldest first. The log cannot be asked for a number, so that many pairs
// cost as much as one. Its times are whole seconds, so an entry counts if any instant of its
// second lies in the window. The error is [ErrIncomplete] if the log goes on for too long:
// then nothing can be concluded from an absence.
func (c *Client) OutboundBetween(ctx context.Context, pairs []Pair, after, before time.Time) ([]LogEntry, error) {
	if before.Before(after) {
		return nil, errors.New("read the message log: the window ends before it begins")
	}
	first := after.Truncate(time.Second)
	q := LogQuery{CreatedAfter: after.Add(-dayMargin), CreatedBefore: before.Add(dayMargin), PageSize: MaxPageSize}
	wanted := make(map[Pair]bool, len(pairs))
	for _, p := range pairs {
		wanted[p] = true
	}
	var found []LogEntry
	ids := map[string]bool{}
	for e, err := range c.Logs(ctx, q, betweenPages) {
		if err != nil {
			return nil, err
		}
		if e.CreatedAt.IsZero() {
			return nil, fmt.Errorf("read the message log: %w: an entry has no time", ErrBadAnswer)
		}
		if e.CreatedAt.Before(first.Add(-disorder)) {
			break
		}
		// While the log grows, an entry may be on two pages.
		if e.Outbound() && wanted[Pair{e.From, e.To}] && !e.CreatedAt.Before(first) && !e.CreatedAt.After(before) && !ids[e.ID] {
			ids[e.ID] = true
			found = append(found, e)
		}
	}
	slices.Reverse(found) // so that those of one second keep their order
	slices.SortStableFunc(found, func(a, b LogEntry) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return found, nil
}
