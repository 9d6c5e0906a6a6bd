package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/messaging/quiet"
	"github.com/signpost-sms/signpost/messaging/rules"
)

// noon is a moment at which no quiet hours hold anywhere in the United States.
var noon = time.Date(2026, 11, 23, 19, 0, 0, 0, time.UTC)

func newPolicy(t testing.TB, cfg policy.Config) *policy.Policy {
	t.Helper()
	p, err := policy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sending(c messaging.Category, to, body string) *messaging.Send {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err)
	}
	return &messaging.Send{ID: id, From: ours, To: messaging.Number(to), Body: body, Category: c, Priority: c.Priority()}
}

// ask puts a send to all rules, as the gate does.
func ask(p *policy.Policy, now time.Time, s *messaging.Send) messaging.Verdict {
	list := p.Rules()
	for i, r := range list {
		if v := r.Ask(now, s); !v.Go() {
			give(list[:i], now, s)
			return v
		}
	}
	return messaging.Verdict{}
}

func give(list []messaging.Rule, at time.Time, s *messaging.Send) {
	for _, r := range list {
		if t, ok := r.(messaging.Taker); ok {
			t.Release(at, s)
		}
	}
}

func TestVerdictsNameReasonAndRule(t *testing.T) {
	t.Parallel()
	night := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		cfg    policy.Config
		now    time.Time
		send   *messaging.Send
		before []*messaging.Send
		want   string
		status messaging.Status
	}{
		"media scheme": {send: &messaging.Send{From: ours, To: "+12025560001", Media: []string{"ftp://a.example/x.png"}}, want: "media media.urls", status: messaging.StatusSuppressed},
		"media type":   {send: &messaging.Send{From: ours, To: "+12025560001", Media: []string{"https://a.example/x.pdf"}}, want: "media media.types", status: messaging.StatusSuppressed},
		"media before geography": {
			send: &messaging.Send{From: ours, To: "+4420794600001", Media: []string{"https://a.example/x.pdf"}}, want: "media media.types", status: messaging.StatusSuppressed,
		},
		"abroad":            {send: sending("reply", "+4420794600001", "x"), want: "geography geography.own", status: messaging.StatusSuppressed},
		"abroad is allowed": {cfg: policy.Config{Countries: []string{"GB"}}, send: sending("reply", "+4420794600001", "x")},
		"duplicate": {
			send: sending("notification", person(1), "x"), before: []*messaging.Send{sending("notification", person(1), "x")},
			want: "duplicate_content duplicate_content", status: messaging.StatusSuppressed,
		},
		"duplicates are allowed": {
			cfg: policy.Config{Duplicates: -1}, send: sending("notification", person(1), "x"), before: []*messaging.Send{sending("notification", person(1), "x")},
		},
		"an answer twice":      {send: sending("reply", person(1), "x"), before: []*messaging.Send{sending("reply", person(1), "x")}},
		"a confirmation twice": {send: sending("consent", person(1), "x"), before: []*messaging.Send{sending("consent", person(1), "x")}},
		"a code twice":         {send: sending("transactional", person(1), "x"), before: []*messaging.Send{sending("transactional", person(1), "x")}},
		"night":                {now: night, send: sending("notification", person(1), "x"), want: "quiet_hours quiet.conservative", status: messaging.StatusQueued},
		"confirmation at night": {
			now: night, send: sending("consent", person(1), "x"),
		},
		"strict night": {
			cfg: policy.Config{Quiet: quiet.Config{Preset: quiet.Strict}}, now: time.Date(2026, 11, 24, 1, 30, 0, 0, time.UTC),
			send: sending("marketing", "+13055560001", "x"), want: "quiet_hours quiet.strict.us-fl", status: messaging.StatusQueued,
		},
		"rate": {
			cfg:  policy.Config{Limits: pace.Limits{Classes: map[pace.Class]pace.Rate{pace.TenDLC: {Segments: 1, Per: 2 * time.Second}}}},
			send: sending("notification", person(9), "x"), before: many(1, "notification"),
			want: "pace pace.10dlc", status: messaging.StatusQueued,
		},
		"budget": {
			cfg:  policy.Config{Limits: pace.Limits{Budget: pace.Budget{Messages: 2}}},
			send: sending("notification", person(9), "x"), before: many(2, "notification"), want: "budget budget.messages", status: messaging.StatusQueued,
		},
		"frequency": {
			send: sending("marketing", person(0), "fourth"), before: []*messaging.Send{
				sending("marketing", person(0), "1"), sending("marketing", person(0), "2"), sending("marketing", person(0), "3"),
			}, want: "frequency_cap frequency_cap.marketing", status: messaging.StatusQueued,
		},
		"campaign": {
			cfg:  policy.Config{Limits: pace.Limits{Campaigns: []pace.Campaign{{ID: "C1", Numbers: []string{ours}, Rate: pace.Rate{Segments: 1, Per: time.Minute}}}}},
			send: sending("notification", person(9), "x"), before: many(1, "notification"), want: "pace pace.campaign", status: messaging.StatusQueued,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPolicy(t, tc.cfg)
			now := tc.now
			if now.IsZero() {
				now = noon
			}
			for i, s := range tc.before { // a second apart
				if v := ask(p, now.Add(time.Duration(i-len(tc.before))*time.Second), s); !v.Go() {
					t.Fatalf("one before it: %+v", v)
				}
			}
			v := ask(p, now, tc.send)
			if got := strings.TrimSpace(v.Reason + " " + v.Rule); got != tc.want || v.Status != tc.status {
				t.Errorf("got %s, %q, want %s, %q", v.Status, got, tc.status, tc.want)
			}
			if v.Status == messaging.StatusQueued && !v.Until.After(now) {
				t.Errorf("not before %v, which is not after now, %v", v.Until, now)
			}
			if v.Go() {
				return
			}
			if _, ok := p.Sheet().Find(v.Rule); !ok {
				t.Errorf("%s is not on the sheet", v.Rule)
			}
			i := slices.IndexFunc(rules.Reasons(), func(r rules.Reason) bool { return r.Name == v.Reason })
			if i < 0 || rules.Reasons()[i].Waits != (v.Status == messaging.StatusQueued) {
				t.Errorf("%q is no reason for %s", v.Reason, v.Status)
			}
		})
	}
}

func many(n int, c messaging.Category) (list []*messaging.Send) {
	for i := range n {
		list = append(list, sending(c, person(i), "x"))
	}
	return list
}

func TestTheSameSendGetsTheSameOpening(t *testing.T) {
	t.Parallel()
	night := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	opens := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC) // nine in New York
	p, other := newPolicy(t, policy.Config{}), newPolicy(t, policy.Config{})
	at := map[time.Time]bool{}
	for i := range 200 {
		s := sending("notification", person(i), "x")
		first := ask(p, night, s).Until
		at[first] = true
		for _, again := range []time.Time{ask(p, night.Add(time.Hour), s).Until, ask(other, night, s).Until} {
			if !again.Equal(first) {
				t.Fatalf("asked again: %v, at first %v", again, first)
			}
		}
		if d := first.Sub(opens); d < 0 || d >= quiet.Spread {
			t.Fatalf("%v after the opening", d)
		}
	}
	if len(at) < 150 {
		t.Errorf("200 sends leave at %d moments: they are not spread", len(at))
	}
}

// What does not leave leaves no trace in what is counted.
func TestReleaseGivesBack(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, policy.Config{Limits: pace.Limits{Budget: pace.Budget{Segments: 2}}})
	for i := range 50 {
		s := sending("marketing", person(1), fmt.Sprint("offer ", i%2))
		at := noon.Add(time.Duration(i) * time.Millisecond)
		if v := ask(p, at, s); !v.Go() {
			t.Fatalf("number %d: %+v", i, v)
		}
		give(p.Rules(), at, s)
	}
	for i := range 50 {
		s := sending("reply", person(1), "We are open.")
		at := noon.Add(time.Second + time.Duration(i)*time.Millisecond)
		if v := ask(p, at, s); !v.Go() {
			t.Fatalf("answer %d: %+v", i, v)
		}
		give(p.Rules(), at, s)
	}
	if cs := p.Export(noon); len(cs) != 0 {
		t.Errorf("still counted: %+v", cs)
	}
}

func TestConfigureKeepsWhatWasCounted(t *testing.T) {
	t.Parallel()
	cfg := policy.Config{Limits: pace.Limits{Budget: pace.Budget{Messages: 100}}}
	p := newPolicy(t, cfg)
	for i, s := range many(4, "notification") {
		if v := ask(p, noon.Add(time.Duration(i-3)*250*time.Millisecond), s); !v.Go() {
			t.Fatalf("%+v", v)
		}
	}
	before := p.Export(noon)
	cfg.Quiet.Preset, cfg.Countries = quiet.Strict, []string{"GB"}
	if err := p.Configure(noon, cfg); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, p.Export(noon)); diff != "" {
		t.Errorf("what was counted (-before +after):\n%s", diff)
	}
	if v := ask(p, noon.Add(100*time.Millisecond), sending("notification", person(9), "x")); v.Reason != "pace" {
		t.Errorf("the rate was forgotten: %+v", v)
	}
	if v := ask(p, noon, sending("notification", person(1), "x")); v.Reason != "duplicate_content" {
		t.Errorf("the duplicates were forgotten: %+v", v)
	}
	if v := ask(p, noon.Add(time.Hour), sending("reply", "+4420794600001", "x")); !v.Go() {
		t.Errorf("the new countries are not in force: %+v", v)
	}
	if _, ok := p.Sheet().Find("quiet.strict.us-fl"); !ok {
		t.Error("the new preset is not on the sheet")
	}

	for _, wrong := range []policy.Config{
		{Countries: []string{"XX"}},
		{Quiet: quiet.Config{Preset: "none"}},
		{Replicas: -1},
		{Limits: pace.Limits{Number: pace.Rate{Segments: -1}}},
		{Quiet: quiet.Config{UnknownZone: "Mars/Phobos"}},
	} {
		if err := p.Configure(noon, wrong); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	if v := ask(p, noon.Add(2*time.Hour), sending("reply", "+4420794600001", "y")); !v.Go() {
		t.Errorf("after wrong ones the last good configuration is not in force: %+v", v)
	}
}

func TestCountersOutliveARestart(t *testing.T) {
	t.Parallel()
	cfg := policy.Config{Limits: pace.Limits{Budget: pace.Budget{Messages: 4}}}
	p := newPolicy(t, cfg)
	for i := range 3 {
		if v := ask(p, noon.Add(time.Duration(i-2)*time.Second), sending("marketing", person(1), fmt.Sprint(i))); !v.Go() {
			t.Fatalf("%+v", v)
		}
	}
	next := newPolicy(t, cfg)
	next.Import(noon.Add(time.Minute), p.Export(noon))
	if v := ask(next, noon.Add(time.Minute), sending("marketing", person(1), "x")); v.Reason != "frequency_cap" {
		t.Errorf("the fourth advertisement: %+v", v)
	}
	for i, want := range []string{"", "budget"} {
		if v := ask(next, noon.Add(time.Duration(2+i)*time.Minute), sending("notification", person(10+i), "x")); v.Reason != want {
			t.Errorf("message %d of the budget of 4: %+v", 4+i, v)
		}
	}
}

// All replicas together keep the limits of one.
func TestReplicasDivideTheLimits(t *testing.T) {
	t.Parallel()
	limits := pace.Limits{Budget: pace.Budget{Messages: 30}}
	left := 0
	first := 0
	for range 3 {
		p := newPolicy(t, policy.Config{Replicas: 3, Limits: limits})
		now := noon
		for i := range 60 {
			if v := ask(p, now, sending("notification", person(i), "x")); v.Go() {
				left++
				if now.Equal(noon) {
					first++
				}
			}
			now = now.Add(time.Second)
		}
		if e, _ := p.Sheet().Find("budget.messages"); !strings.HasPrefix(e.Text, "30 messages") {
			t.Errorf("the sheet says %q", e.Text)
		}
	}
	if left != 30 {
		t.Errorf("%d messages left, want the 30 of the budget", left)
	}
	if first > 4 {
		t.Errorf("%d messages left in the first moment, the rate is 4", first)
	}
}

func TestSegmentsAsThePlatformCounts(t *testing.T) {
	t.Parallel()
	const curly = "It’s a text of more than seventy characters with one typographic quote in it, and that is that."
	for name, tc := range map[string]struct {
		cfg  policy.Config
		body string
		want int
	}{
		"plain":          {body: "hello", want: 1},
		"typographic":    {body: curly, want: 2},
		"smart encoding": {cfg: policy.Config{SmartEncoding: true}, body: curly, want: 1},
		"trial prefix":   {cfg: policy.Config{Prefix: strings.Repeat("p", 20)}, body: strings.Repeat("x", 150), want: 2},
	} {
		tc.cfg.Limits.Budget.Segments = 100
		p := newPolicy(t, tc.cfg)
		if v := ask(p, noon, sending("notification", person(1), tc.body)); !v.Go() {
			t.Fatalf("%s: %+v", name, v)
		}
		got := 0
		for _, c := range p.Export(noon) {
			if c.Scope == pace.ScopeBudgetSegments {
				got = c.N
			}
		}
		if got != tc.want {
			t.Errorf("%s: %d segments, want %d", name, got, tc.want)
		}
	}
}

// Only what had to wait is observed, from its first refusal on, and once.
func TestWaitsAreMeasured(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	p := newPolicy(t, policy.Config{Metrics: reg})
	ask(p, noon, sending("notification", person(1), "of one segment"))
	late := sending("notification", person(9), "x")
	v := ask(p, noon, late)
	if v.Go() {
		t.Fatal("it did not have to wait")
	}
	at := v.Until
	if v = ask(p, at, late); !v.Go() {
		t.Fatalf("at its time: %+v", v)
	}
	give(p.Rules(), at, late) // there was no slot; it comes back
	ask(p, at.Add(time.Minute), late)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "signpost_ratelimit_wait_seconds" {
		t.Fatalf("%v, %v", err, families)
	}
	m := families[0].GetMetric()[0]
	if h := m.GetHistogram(); m.GetLabel()[0].GetValue() != "10dlc" || h.GetSampleCount() != 1 || h.GetSampleSum() != at.Sub(noon).Seconds() {
		t.Errorf("got %v, want one wait of %v", m, at.Sub(noon))
	}
}

func TestLimitsOffShowsOnTheSheet(t *testing.T) {
	t.Parallel()
	on, off := newPolicy(t, policy.Config{}).Sheet(), newPolicy(t, policy.Config{LimitsOff: true}).Sheet()
	var gone []string
	for _, e := range on {
		if _, ok := off.Find(e.ID); !ok {
			gone = append(gone, e.ID)
		}
	}
	want := []string{
		"pace.10dlc", "pace.tollfree", "pace.canada", "pace.shortcode", "pace.local", "daily_cap.tmobile",
		"loop.turnaround", "loop.echo", "loop.repeat", "loop.own_number", "loop.cap",
	}
	if diff := cmp.Diff(want, gone); diff != "" {
		t.Errorf("what limits: off takes from the sheet (-want +got):\n%s", diff)
	}
}

func BenchmarkReply(b *testing.B) {
	for _, c := range []messaging.Category{messaging.CategoryReply, messaging.CategoryNotification} {
		b.Run(string(c), func(b *testing.B) {
			p := newPolicy(b, policy.Config{Limits: pace.Limits{Daily: -1}})
			list := p.Rules()
			sends := make([]*messaging.Send, 10_000)
			for i := range sends {
				sends[i] = sending(c, person(i), fmt.Sprint("We are open from nine to five, Monday to Friday. Text AGENT for help. ", i))
			}
			now := noon
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now = now.Add(300 * time.Millisecond)
				s := sends[i%len(sends)]
				for _, r := range list {
					if v := r.Ask(now, s); !v.Go() && v.Reason != "quiet_hours" {
						b.Fatal(v)
					}
				}
			}
		})
	}
}
