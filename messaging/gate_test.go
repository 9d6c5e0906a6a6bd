package messaging

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/relay"
)

func TestSendParams_R49_R50(t *testing.T) {
	t.Parallel()
	a := &Attempt{ID: uuid.MustParse("019abcde-0000-7000-8000-0123456789ab")}
	for name, c := range map[string]struct {
		send Send
		want string
	}{
		"text": {
			Send{Context: "support", From: "+12025550101", To: "+12025550102", Body: "say \"hi\"\n"},
			`{"context":"support","from_number":"+12025550101","to_number":"+12025550102","body":"say \"hi\"\n","tags":["sp-019abcde-0000-7000-8000-0123456789ab"]}`,
		},
		"media only": {
			Send{Context: "c", From: "f", To: "t", Media: []string{"https://a.example/1", "https://a.example/2"}, Tags: []string{"mine"}},
			`{"context":"c","from_number":"f","to_number":"t","media":["https://a.example/1","https://a.example/2"],"tags":["sp-019abcde-0000-7000-8000-0123456789ab","mine"]}`,
		},
	} {
		if got := string(appendSend(nil, &c.send, a)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func FuzzSendParams(f *testing.F) {
	f.Add("support", "+12025550101", "\xf0\x9f", "tag")
	f.Add("support", "+12025550101", "hello \U0001F600 \x00 \xff", "tag")
	f.Fuzz(func(t *testing.T, context, number, body, tag string) {
		s := &Send{Context: context, From: Number(number), To: "x", Body: body, Tags: []string{tag}}
		a := &Attempt{ID: newID()}
		var got struct {
			Context string   `json:"context"`
			From    string   `json:"from_number"`
			Body    string   `json:"body"`
			Tags    []string `json:"tags"`
		}
		if err := json.Unmarshal(appendSend(nil, s, a), &got); err != nil {
			t.Fatal(err)
		}
		valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		if got.Context != valid(context) || got.From != valid(number) || got.Body != valid(body) || got.Tags[0] != a.Tag() || got.Tags[1] != valid(tag) {
			t.Errorf("read back %+v", got)
		}
	})
}

func TestAttemptTag(t *testing.T) {
	t.Parallel()
	a := &Attempt{ID: newID()}
	if got, ok := AttemptTag([]string{"x", "sp-not-a-uuid", a.Tag()}); !ok || got != a.ID {
		t.Errorf("got %v, %v, want %v", got, ok, a.ID)
	}
	if _, ok := AttemptTag([]string{a.ID.String(), "sp-"}); ok {
		t.Error("found an attempt where no tag names one")
	}
}

type ruleFunc func(now time.Time, s *Send) Verdict

func (f ruleFunc) Ask(now time.Time, s *Send) Verdict { return f(now, s) }

func TestGateAsk(t *testing.T) {
	t.Parallel()
	now := readAt
	hold := ruleFunc(func(now time.Time, s *Send) Verdict {
		return Verdict{Status: StatusQueued, Reason: "quiet", Until: now.Add(time.Hour)}
	})
	no := ruleFunc(func(time.Time, *Send) Verdict { return Verdict{Status: StatusSuppressed, Reason: "opted_out"} })
	for name, c := range map[string]struct {
		rules []Rule
		send  Send
		want  Verdict
	}{
		"go":                         {nil, Send{}, Verdict{}},
		"expired at the instant":     {nil, Send{ExpiresAt: now}, Verdict{Status: StatusExpired, Reason: "expired"}},
		"not yet":                    {nil, Send{NotBefore: now.Add(1)}, Verdict{Status: StatusQueued, Reason: "not_before", Until: now.Add(1)}},
		"first rule decides":         {[]Rule{no, hold}, Send{}, Verdict{Status: StatusSuppressed, Reason: "opted_out"}},
		"held":                       {[]Rule{hold, no}, Send{}, Verdict{Status: StatusQueued, Reason: "quiet", Until: now.Add(time.Hour)}},
		"never held past its expiry": {[]Rule{hold}, Send{ExpiresAt: now.Add(time.Hour)}, Verdict{Status: StatusExpired, Reason: "quiet"}},
	} {
		g := gate{standing: &standings{}, rules: c.rules}
		if diff := cmp.Diff(c.want, g.ask(now, &c.send)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]class{
		"400": classPermanent, "404": classPermanent, "422": classPermanent, "-32602": classPermanent, "": classPermanent,
		"401": classCredentials, "-32001": classCredentials,
		"402": classLater, "500": classLater, "503": classLater, "-32603": classLater, "-32000": classLater,
		"429": classThrottle,
	} {
		if got, _ := classify(&relay.Error{Code: code}); got != want {
			t.Errorf("code %q: got class %d, want %d", code, got, want)
		}
	}
	if got, _ := classify(errors.New("x")); got != classPermanent {
		t.Errorf("an unknown error: got class %d", got)
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	t.Parallel()
	for attempt := range 200 {
		full := min(backoffFirst<<min(max(attempt-1, 0), 20), backoffMost)
		for range 50 {
			if d := backoffFor(attempt); d < full/2 || d >= full {
				t.Fatalf("attempt %d: %v is not within [%v, %v)", attempt, d, full/2, full)
			}
		}
	}
}

func TestScheduleFiresInOrder(t *testing.T) {
	t.Parallel()
	var s schedule
	var got []int
	add := func(after time.Duration, n int) *alarm {
		return s.add(readAt.Add(after), func() { got = append(got, n) })
	}
	add(3, 3)
	add(1, 1)
	add(2, 2).cancel()
	add(9, 9)
	if next, want := s.fire(readAt.Add(3)), readAt.Add(9); !next.Equal(want) {
		t.Errorf("next alarm at %v, want %v", next, want)
	}
	if diff := cmp.Diff([]int{1, 3}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFifoKeepsOrderAndItsMemorySmall(t *testing.T) {
	t.Parallel()
	var q fifo[int]
	next := 0
	for i := range 10_000 {
		q.push(i)
		if i%2 == 1 || i > 5_000 {
			if got := q.pop(); got != next {
				t.Fatalf("got %d, want %d", got, next)
			}
			next++
		}
		if cap(q.items) > 16_384 {
			t.Fatalf("%d slots for %d items", cap(q.items), q.len())
		}
	}
}
