package rest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// noon is the instant around which the tests of the log happen.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// entry writes a line of the log.
func entry(id, from, to, direction string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"from":%q,"to":%q,"status":"sent","direction":%q,"kind":"sms","source":"realtime_api","type":"relay_message","url":null,
		"number_of_segments":1,"charge":0,"charge_details":[],"created_at":%q,"error_code":null,"error_message":null}`, id, from, to, direction, at.UTC().Format(time.RFC3339))
}

// logServer serves lines, newest first as they are given, in pages of size, whatever is
// asked for; it counts its requests and checks the tokens.
func logServer(t *testing.T, size int, lines ...string) (*Client, *[]url.Values) {
	var asked []url.Values
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, r.URL.Query())
		n, err := strconv.Atoi("0" + q.Get("page_number"))
		if err != nil || n > 0 && q.Get("page_token") != "PAx" || r.URL.Path != "/api/messaging/logs" {
			t.Errorf("asked for %s", r.RequestURI)
		}
		from := min(n*size, len(lines))
		to := min(from+size, len(lines))
		next := ""
		if to < len(lines) {
			q.Set("page_number", strconv.Itoa(n+1))
			q.Set("page_token", "PAx")
			next = fmt.Sprintf(`,"next":%q`, "/api/messaging/logs?"+q.Encode())
		}
		fmt.Fprintf(w, `{"links":{"self":"x","first":"y"%s},"data":[%s]}`, next, strings.Join(lines[from:to], ","))
	})
	return c, &asked
}

func TestLogsFollowsPages(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := range 7 {
		lines = append(lines, entry(fmt.Sprint(i), ours, theirs, "outbound", noon))
	}
	c, asked := logServer(t, 3, lines...)
	q := LogQuery{CreatedAfter: noon, CreatedBefore: noon.AddDate(0, 0, 1), CreatedOn: noon, IncludeDeleted: true, PageSize: 3}
	got := ""
	for e, err := range c.Logs(t.Context(), q, 3) {
		if err != nil {
			t.Fatal(err)
		}
		got += e.ID
	}
	if got != "0123456" || len(*asked) != 3 {
		t.Errorf("got %s in %d requests", got, len(*asked))
	}
	if s := (*asked)[0].Encode(); s != "created_after=2026-11-23&created_before=2026-11-24&created_on=2026-11-23&include_deleted=true&page_size=3" {
		t.Errorf("asked for %s", s)
	}

	got = ""
	for e, err := range c.Logs(t.Context(), LogQuery{}, 2) {
		if err != nil {
			if !errors.Is(err, ErrIncomplete) {
				t.Error(err)
			}
			got += "!"
			continue
		}
		got += e.ID
	}
	if got != "012345!" {
		t.Errorf("two pages: got %s", got)
	}

	before := len(*asked)
	for range c.Logs(t.Context(), LogQuery{}, 9) {
		break
	}
	if n := len(*asked) - before; n != 1 {
		t.Errorf("%d requests for the first entry", n)
	}
}

func TestBadPages(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"itself again": `{"links":{"next":"/api/messaging/logs"},"data":[]}`,
		"bad link":     `{"links":{"next":"/api?%zz"},"data":[]}`,
		"no data":      `{"links":{}}`,
		"another form": `{"data":{"a":1}}`,
		"bad time":     `{"links":{},"data":[{"id":"1","created_at":"soon"}]}`,
		"a page":       `<html>`,
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		var last error
		for _, err := range c.Logs(t.Context(), LogQuery{}, 5) {
			last = err
		}
		if !errors.Is(last, ErrBadAnswer) {
			t.Errorf("%s: got %v", name, last)
		}
	}
}

func TestOutboundBetween(t *testing.T) {
	t.Parallel()
	sec := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	c, asked := logServer(t, 4,
		entry("later", ours, theirs, "outbound", sec(3)),
		entry("edge-late", ours, theirs, "outbound", sec(2)),
		entry("reply", ours, theirs, "outbound-reply", sec(1)),
		entry("second", ours, theirs, "outbound-api", sec(0)),
		entry("second", ours, theirs, "outbound-api", sec(0)), // again on the next page
		entry("first", ours, theirs, "outbound-call", sec(0)),
		entry("inbound", ours, theirs, "inbound", sec(0)),
		entry("mirror", theirs, ours, "outbound", sec(0)),
		entry("other", ours, "+12025550102", "outbound", sec(0)),
		entry("other of ours", "+12025550198", theirs, "outbound", sec(0)),
		entry("outboundish", ours, theirs, "outboundish", sec(0)),
		entry("disorder", ours, theirs, "outbound", sec(-9)),
		entry("edge-early", ours, theirs, "outbound", sec(-2)),
		entry("too early", ours, theirs, "outbound", sec(-3)),
		entry("past", ours, theirs, "outbound", sec(-90)),
		entry("unread", ours, theirs, "outbound", sec(-91)),
		entry("unread", ours, theirs, "outbound", sec(-92)),
		entry("never asked for", ours, theirs, "outbound", sec(-93)),
	)
	// Of the second of edge-early only the last 0.3 s lie in the window.
	got, err := c.OutboundBetween(t.Context(), []Pair{{ours, theirs}}, sec(-2).Add(700*time.Millisecond), sec(2).Add(700*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range got {
		ids = append(ids, e.ID)
	}
	if s := strings.Join(ids, " "); s != "edge-early first second reply edge-late" {
		t.Errorf("got %s", s)
	}
	if len(*asked) != 4 {
		t.Errorf("%d requests, want 4", len(*asked))
	}
	if s := (*asked)[0].Encode(); s != "created_after=2026-11-21&created_before=2026-11-25&page_size=1000" {
		t.Errorf("asked for %s", s)
	}
	if _, err := c.OutboundBetween(t.Context(), []Pair{{ours, theirs}}, sec(1), sec(0)); err == nil {
		t.Error("an inverted window: got no error")
	}
}

// A log that is too long proves nothing: not even what was found may be returned as all.
func TestOutboundBetweenIsWholeOrFails(t *testing.T) {
	t.Parallel()
	var lines []string
	for range betweenPages + 1 {
		lines = append(lines, entry("x", ours, "+12025550102", "outbound", noon))
	}
	c, asked := logServer(t, 1, lines...)
	got, err := c.OutboundBetween(t.Context(), []Pair{{ours, theirs}}, noon.Add(-time.Second), noon)
	if !errors.Is(err, ErrIncomplete) || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if len(*asked) != betweenPages {
		t.Errorf("%d requests, want %d", len(*asked), betweenPages)
	}
	c, _ = logServer(t, 1, lines[:betweenPages]...)
	if _, err := c.OutboundBetween(t.Context(), []Pair{{ours, theirs}}, noon.Add(-time.Second), noon); err != nil {
		t.Errorf("as many pages as allowed: got %v", err)
	}
	c, _ = logServer(t, 1, strings.Replace(lines[0], `"2026-11-23T12:00:00Z"`, "null", 1))
	if _, err := c.OutboundBetween(t.Context(), []Pair{{ours, theirs}}, noon, noon); !errors.Is(err, ErrBadAnswer) {
		t.Errorf("an entry without a time: got %v", err)
	}
}
