package pace

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/signpost-sms/signpost/messaging/sms"
)

var start = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

const ours, theirs = "+12025550100", "+12025550143"

func bulk(n int) Ask {
	return Ask{From: ours, To: theirs, Class: TenDLC, Segments: n, Priority: 4, Category: "notification"}
}

func reply(n int) Ask {
	return Ask{From: ours, To: theirs, Class: TenDLC, Segments: n, Priority: 2, Category: "reply"}
}

func newPacer(t testing.TB, l Limits) *Pacer {
	t.Helper()
	p, err := New(l, Alone{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// event is a send that left.
type event struct {
	at     time.Duration
	n      int
	urgent bool
	waited time.Duration
}

// queued is a send that wants to leave, from a time on.
type queued struct {
	Ask
	since, due time.Duration
}

// run plays a gate that asks for each send when it is due, until all have left or the time
// is over. A send that was told to wait comes back at that time.
func run(t testing.TB, p *Pacer, list []queued, until time.Duration) (out []event) {
	t.Helper()
	for i := range list {
		list[i].due = list[i].since
	}
	for len(list) > 0 {
		next := 0
		for i := range list {
			if list[i].due < list[next].due || list[i].due == list[next].due && list[i].Priority < list[next].Priority {
				next = i
			}
		}
		q := &list[next]
		if q.due > until {
			return out
		}
		now := q.due
		v := p.Reserve(start.Add(now), q.Ask)
		if !v.OK {
			if !v.At.After(start.Add(now)) {
				t.Fatalf("at %v told to come back at %v: that is no wait", now, v.At.Sub(start))
			}
			q.due, q.Promised = v.At.Sub(start), v.At
			continue
		}
		out = append(out, event{now, q.Segments, q.urgent(), now - q.since})
		list = slices.Delete(list, next, next+1)
	}
	return out
}

// peak is the largest number of segments in any window, where a send that alone is larger
// than most counts as most.
func peak(out []event, window time.Duration, most int) (n int) {
	for i := range out {
		sum := 0
		for _, e := range out[i:] {
			if e.at >= out[i].at+window {
				break
			}
			sum += min(e.n, most)
		}
		n = max(n, sum)
	}
	return n
}

func TestThousandBulkAndReplies(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Daily: -1})
	var list []queued
	for range 1000 {
		list = append(list, queued{Ask: bulk(2)})
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		list = append(list, queued{Ask: reply(1), since: time.Duration(rnd.Int64N(int64(400 * time.Second)))})
	}
	out := run(t, p, list, time.Hour)
	if len(out) != 1100 {
		t.Fatalf("%d sends left, want 1100", len(out))
	}
	if got := peak(out, time.Second, 4); got != 4 {
		t.Errorf("at most %d segments in a second, want 4", got)
	}
	end := out[len(out)-1].at
	if end > 660*time.Second {
		t.Errorf("2,100 segments took %v", end)
	}
	var waits []time.Duration
	for _, e := range out {
		if e.urgent {
			waits = append(waits, e.waited)
		}
	}
	slices.Sort(waits)
	if p99 := waits[len(waits)*99/100-1]; p99 >= time.Second {
		t.Errorf("replies waited %v at p99, want under 1s", p99)
	}
}

func TestBulkAloneUsesTheWholeRate(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Daily: -1})
	var list []queued
	for range 200 {
		list = append(list, queued{Ask: bulk(1)})
	}
	if out := run(t, p, list, time.Hour); out[199].at != 199*250*time.Millisecond {
		t.Errorf("200 segments took %v", out[199].at)
	}
}

func TestNoWindowIsExceeded(t *testing.T) {
	t.Parallel()
	for class, r := range DefaultClasses() {
		for seed := range uint64(8) {
			p := newPacer(t, Limits{Daily: -1})
			rnd := rand.New(rand.NewPCG(seed, 3))
			var list []queued
			total := 0
			for range 150 {
				a := Ask{From: ours, Class: class, Segments: 1 + rnd.IntN(12), Priority: 1 + rnd.IntN(4)}
				total += a.Segments
				list = append(list, queued{Ask: a, since: time.Duration(rnd.Int64N(int64(30 * time.Second)))})
			}
			out := run(t, p, list, 24*time.Hour)
			if len(out) != 150 {
				t.Fatalf("%s: %d sends left, want 150", class, len(out))
			}
			if got := peak(out, r.Per, r.Segments); got > r.Segments {
				t.Errorf("%s: %d segments in %v", class, got, r.Per)
			}
			// Over a long time the average holds too: no more than a second was borrowed.
			least := time.Duration(total)*r.Per/time.Duration(r.Segments) - 30*time.Second - borrow
			if out[149].at < least-time.Duration(12)*r.Per {
				t.Errorf("%s: %d segments in %v", class, total, out[149].at)
			}
		}
	}
}

func TestLongSendOccupiesItsTime(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	if v := p.Reserve(start, bulk(10)); !v.OK {
		t.Fatal(v)
	}
	want := Verdict{At: start.Add(2500 * time.Millisecond), Reason: Paced, Rule: "pace.10dlc"}
	if diff := gocmp.Diff(want, p.Reserve(start, bulk(1))); diff != "" {
		t.Error(diff)
	}
	// A reply may borrow one second and a half of what the long one used up, no more.
	if v := p.Reserve(start.Add(1500*time.Millisecond-1), reply(1)); v.OK {
		t.Error("a reply ran more than a second ahead")
	}
	if v := p.Reserve(start.Add(1500*time.Millisecond), reply(1)); !v.OK {
		t.Error("a reply waited though it may run a second ahead:", v)
	}
}

func TestBulkDoesNotTakeThePlaceOfAReply(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	p.Reserve(start, bulk(4))
	v := p.Reserve(start, reply(4))
	if v.OK || !v.At.Equal(start.Add(time.Second)) {
		t.Fatal(v)
	}
	if b := p.Reserve(v.At, bulk(1)); b.OK {
		t.Fatal("bulk took the token that a waiting reply needs")
	}
	r := reply(4)
	r.Promised = v.At
	if v = p.Reserve(v.At, r); !v.OK {
		t.Fatal(v)
	}
	if b := p.Reserve(start.Add(2*time.Second), bulk(1)); !b.OK {
		t.Error("bulk still waits though the reply has left:", b)
	}
}

func TestReplyThatNeverReturnsHoldsBulkForAMoment(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	p.Reserve(start, bulk(4))
	p.Reserve(start, reply(1))
	if b := p.Reserve(start.Add(1250*time.Millisecond+grace), bulk(1)); !b.OK {
		t.Error(b)
	}
}

func TestBulkLeavesRoomWhileRepliesArrive(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Daily: -1})
	var list []queued
	for range 400 {
		list = append(list, queued{Ask: bulk(1)})
	}
	for i := range 6 {
		list = append(list, queued{Ask: reply(1), since: time.Duration(i) * 9 * time.Second})
	}
	out := run(t, p, list, 50*time.Second)
	n := 0
	for _, e := range out {
		if !e.urgent {
			n += e.n
		}
	}
	if n < 155 || n > 162 {
		t.Errorf("%d segments of bulk in 50s of replies, want about four fifths of 200", n)
	}
}

func TestAReplyDoesNotStopBulkForLong(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Daily: -1})
	now := start
	for range 1000 {
		if v := p.Reserve(now, bulk(4)); !v.OK {
			t.Fatal(v)
		}
		now = now.Add(time.Second)
	}
	if v := p.Reserve(now, reply(1)); !v.OK {
		t.Fatal(v)
	}
	if v := p.Reserve(now, bulk(3)); v.At.Sub(now) > 250*time.Millisecond {
		t.Errorf("after a quarter of an hour of bulk one reply stops it for %v", v.At.Sub(now))
	}
}

func TestTurnOfThoseWhoWait(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	p.Reserve(start, bulk(1))
	first, second := p.Reserve(start, bulk(1)), p.Reserve(start, bulk(2))
	third := p.Reserve(start, bulk(1))
	got := []time.Duration{first.At.Sub(start), second.At.Sub(start), third.At.Sub(start)}
	if diff := gocmp.Diff([]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}, got); diff != "" {
		t.Error("bulk was not told to come back one after the other:", diff)
	}
	// One that returns is not sent to the end again.
	p.Reserve(start.Add(250*time.Millisecond), reply(1))
	a := bulk(1)
	a.Promised = first.At
	if v := p.Reserve(first.At, a); v.OK || v.At.After(start.Add(time.Second)) {
		t.Error(v)
	}
}

func TestCancelGivesBack(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Budget: Budget{Segments: 8, Messages: 2}, Caps: []Cap{{"notification", 1, time.Hour}}, Daily: 8})
	for range 50 {
		if v := p.Reserve(start, bulk(4)); !v.OK {
			t.Fatal(v)
		}
		p.Cancel(start, bulk(4))
	}
	if got := p.Export(start); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	// What is cancelled on the day after belongs to the day before.
	if v := p.Reserve(start, bulk(4)); !v.OK {
		t.Fatal(v)
	}
	tomorrow := start.Add(24 * time.Hour)
	if v := p.Reserve(tomorrow, bulk(8)); !v.OK {
		t.Fatal(v)
	}
	p.Cancel(start, bulk(4))
	if v := p.Reserve(tomorrow.Add(time.Hour+time.Minute), bulk(1)); v.Reason != OverBudget && v.Reason != DailyCap {
		t.Errorf("got %v: a late Cancel gave the new day more", v)
	}
}

func TestCancelGivesBulkItsRoomBack(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	p.Reserve(start, reply(1)) // from now on bulk is held to four fifths
	at := start.Add(2 * time.Second)
	for range 20 {
		if v := p.Reserve(at, bulk(4)); !v.OK {
			t.Fatal(v)
		}
		p.Cancel(at, bulk(4))
	}
	if v := p.Reserve(at, bulk(4)); !v.OK {
		t.Fatal(v)
	}
	if v := p.Reserve(at, bulk(4)); v.At.Sub(at) != 1250*time.Millisecond {
		t.Errorf("four segments at four fifths of the rate: wait %v, want 1.25s", v.At.Sub(at))
	}
}

func TestCancelInTheNextGeneration(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Caps: []Cap{{"notification", 2, time.Hour}}, Daily: -1})
	first, second := start.Add(50*time.Minute), start.Add(70*time.Minute)
	other := bulk(1)
	other.To = "+12025550199"
	p.Reserve(start, other) // begins the generation
	p.Reserve(first, bulk(1))
	p.Reserve(second, bulk(1))
	p.Cancel(second, bulk(1))
	p.Cancel(first, bulk(1))
	for i := range 2 {
		if v := p.Reserve(second.Add(time.Duration(i)*time.Minute), bulk(1)); !v.OK {
			t.Error(i, v)
		}
	}
}

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Budget: Budget{Messages: 100}, Classes: map[Class]Rate{TenDLC: {mostSegments, time.Second}}})
	var ok atomic.Int32
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				now := start.Add(time.Duration(g*100+i) * time.Millisecond)
				if p.Reserve(now, reply(1)).OK {
					ok.Add(1)
				}
				if i%10 == 0 {
					p.Export(now)
				}
			}
		})
	}
	wg.Wait()
	if n := ok.Load(); n != 100 {
		t.Errorf("%d left of a budget of 100", n)
	}
}

func TestDailyCap(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	now := start
	for range DailyDefault / 4 {
		if v := p.Reserve(now, bulk(4)); !v.OK {
			t.Fatal(v)
		}
		now = now.Add(time.Second)
	}
	midnight := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC) // in Pacific winter time
	want := Verdict{At: midnight, Reason: DailyCap, Rule: "daily_cap.tmobile"}
	got := p.Reserve(now, bulk(1))
	got.At = got.At.UTC()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for what, a := range map[string]Ask{
		"a reply":                  reply(1),
		"a send to AT&T":           {From: ours, Class: TenDLC, Priority: 4, Carrier: ATT},
		"a send from a short code": {From: "74736", Class: ShortCode, Priority: 4},
	} {
		now = now.Add(time.Second)
		if v := p.Reserve(now, a); !v.OK {
			t.Errorf("%s: %v", what, v)
		}
	}
	if v := p.Reserve(midnight.Add(-1), bulk(1)); v.OK {
		t.Error("the cap ended early")
	}
	if v := p.Reserve(midnight, bulk(1)); !v.OK {
		t.Error(v)
	}
}

func TestDailyCapFollowsSummerTime(t *testing.T) {
	t.Parallel()
	july := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	p := newPacer(t, Limits{Daily: 1})
	p.Reserve(july, bulk(1))
	if v := p.Reserve(july.Add(time.Minute), bulk(1)); !v.At.Equal(time.Date(2026, 7, 2, 7, 0, 0, 0, time.UTC)) {
		t.Error(v)
	}
}

func TestCampaigns(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{
		Classes: map[Class]Rate{TenDLC: {1000, time.Second}},
		Campaigns: []Campaign{
			{ID: "C1", Brand: "B", Numbers: []string{"+12025550101"}, Tier: "T", Daily: 10},
			{ID: "C2", Brand: "B", Numbers: []string{"+12025550102"}, Rate: Rate{2, time.Second}, Daily: 10},
		},
	})
	// Every question a little later, so that the class has room again; the campaign's second
	// has hardly begun.
	now := start
	ask := func(a Ask) Verdict { now = now.Add(10 * time.Millisecond); return p.Reserve(now, a) }
	from := func(n string, segments int) Ask { return Ask{From: n, Class: TenDLC, Segments: segments, Priority: 4} }
	if v := ask(from("+12025550101", 1)); !v.OK {
		t.Fatal(v)
	}
	if v := ask(from("+12025550101", 1)); v.Rule != "pace.campaign.att" || !v.At.Equal(start.Add(810*time.Millisecond)) {
		t.Errorf("75 a minute is one in 800ms: %v", v)
	}
	mms := from("+12025550101", 1)
	mms.Media = true
	if v := ask(mms); !v.OK {
		t.Errorf("media has its own rate: %v", v)
	}
	if v := ask(mms); v.Rule != "pace.campaign.att" || !v.At.Equal(start.Add(1230*time.Millisecond)) {
		t.Errorf("50 a minute is one in 1.2s: %v", v)
	}
	other := from("+12025550101", 1)
	other.Carrier = "verizon"
	if v := ask(other); !v.OK {
		t.Errorf("AT&T's rate was kept towards another carrier: %v", v)
	}
	if v := ask(from("+12025550102", 2)); !v.OK {
		t.Fatal(v)
	}
	if v := ask(from("+12025550102", 1)); v.Rule != "pace.campaign" {
		t.Errorf("got %v, want the campaign's own rate", v)
	}
	// 1 + 1 + 2 segments of the brand have left, that to another carrier not counted; the two campaigns share the ten.
	if v := p.Reserve(start.Add(time.Minute), from("+12025550102", 7)); v.Reason != DailyCap {
		t.Errorf("got %v, want the brand's cap", v)
	}
	if v := p.Reserve(start.Add(time.Minute), from("+12025550102", 6)); !v.OK {
		t.Errorf("got %v", v)
	}
}

func TestNumberAndSpace(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Number: Rate{1, time.Second}, Space: Rate{3, time.Second}, Daily: -1})
	a, b, c, d := bulk(1), bulk(1), bulk(1), bulk(1)
	b.From, c.From, d.From = "+12025550101", "+18885550102", "74736"
	c.Class, d.Class = TollFree, ShortCode
	step := 350 * time.Millisecond
	for i, ask := range []Ask{a, b, c} {
		if v := p.Reserve(start.Add(time.Duration(i)*step), ask); !v.OK {
			t.Fatal(i, v)
		}
	}
	if v := p.Reserve(start.Add(2*step), a); v.Rule != "pace.space" && v.Rule != "pace.number" {
		t.Error(v)
	}
	if v := p.Reserve(start.Add(2*step), d); v.Rule != "pace.space" {
		t.Error(v)
	}
}

func TestNumbersAreForgotten(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Number: Rate{1, time.Second}, Classes: map[Class]Rate{TenDLC: {mostSegments, time.Second}}, Daily: -1})
	for i := range 3 * numbersMost {
		a := bulk(1)
		a.From = string(rune(i)) + "x"
		p.Reserve(start.Add(time.Duration(i)*time.Millisecond), a)
	}
	if n := len(p.numbers); n > numbersMost {
		t.Errorf("%d numbers are remembered", n)
	}
}

func TestFrequencyCap(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	a := bulk(1)
	a.Category = "marketing"
	for i := range 3 {
		if v := p.Reserve(start.Add(time.Duration(i)*time.Hour), a); !v.OK {
			t.Fatal(v)
		}
	}
	day := start.Add(24 * time.Hour)
	want := Verdict{At: day, Reason: FrequencyCap, Rule: "frequency_cap.marketing"}
	got := p.Reserve(start.Add(3*time.Hour), a)
	got.At = got.At.UTC()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	other := a
	other.To = "+12025550199"
	if v := p.Reserve(start.Add(3*time.Hour), other); !v.OK {
		t.Error("another person:", v)
	}
	if v := p.Reserve(start.Add(4*time.Hour), bulk(1)); !v.OK {
		t.Error("another category:", v)
	}
	if v := p.Reserve(day.Add(-time.Second), a); v.OK {
		t.Error("a fourth in 24 hours")
	}
	if v := p.Reserve(day, a); !v.OK {
		t.Error(v)
	}
	if v := p.Reserve(day.Add(time.Minute), a); v.OK || !v.At.Equal(start.Add(25*time.Hour)) {
		t.Error(v)
	}
}

func TestFrequencyCapHoldsInEveryWindow(t *testing.T) {
	t.Parallel()
	const window = 10 * time.Minute
	p := newPacer(t, Limits{Caps: []Cap{{"m", 3, window}}, Classes: map[Class]Rate{TenDLC: {mostSegments, time.Second}}, Daily: -1})
	rnd := rand.New(rand.NewPCG(4, 5))
	sent := map[string][]time.Time{}
	now := start
	for range 20_000 {
		now = now.Add(time.Duration(rnd.Int64N(int64(20 * time.Second))))
		if rnd.IntN(500) == 0 {
			now = now.Add(time.Duration(rnd.Int64N(int64(3 * window))))
		}
		to := string(rune('a' + rnd.IntN(20)))
		a := Ask{From: ours, To: to, Class: TenDLC, Priority: 4, Category: "m"}
		if !p.Reserve(now, a).OK {
			continue
		}
		if rnd.IntN(5) == 0 {
			p.Cancel(now, a)
			continue
		}
		s := append(sent[to], now)
		sent[to] = s
		if len(s) > 3 && s[len(s)-1].Sub(s[len(s)-4]) < window {
			t.Fatalf("four in %v", s[len(s)-1].Sub(s[len(s)-4]))
		}
	}
	if n := len(sent["a"]); n < 100 {
		t.Errorf("only %d were sent: the cap holds more than it should", n)
	}
}

func TestFrequencyMemoryIsBounded(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{MaxRecipients: 10, Classes: map[Class]Rate{TenDLC: {mostSegments, time.Second}}, Daily: -1})
	a := bulk(1)
	a.Category = "marketing"
	for i := range 10 {
		a.To = string(rune('a' + i))
		if v := p.Reserve(start.Add(time.Duration(i)*time.Second), a); !v.OK {
			t.Fatal(v)
		}
	}
	a.To = "new"
	v := p.Reserve(start.Add(time.Minute), a)
	if v.OK || v.Reason != FrequencyCap {
		t.Fatalf("got %v, want a wait: nobody is forgotten to make room", v)
	}
	if v = p.Reserve(v.At, a); !v.OK {
		t.Error(v)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Budget: Budget{Segments: 10, Messages: 3}})
	now := start
	next := func(a Ask) Verdict { now = now.Add(time.Minute); return p.Reserve(now, a) }
	if v := next(bulk(8)); !v.OK {
		t.Fatal(v)
	}
	if v := next(reply(3)); v.Reason != OverBudget || v.Rule != "budget.segments" || !v.At.Equal(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)) {
		t.Error(v)
	}
	next(reply(1))
	next(reply(1))
	if v := next(reply(1)); v.Reason != OverBudget {
		t.Error(v)
	}
	a := reply(1)
	a.Priority = 1
	if v := next(a); !v.OK {
		t.Error("a consent message was held by the budget:", v)
	}
	if v := p.Reserve(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), reply(10)); !v.OK {
		t.Error(v)
	}
	m := newPacer(t, Limits{Budget: Budget{Messages: 1}})
	m.Reserve(start, reply(1))
	if v := m.Reserve(start.Add(time.Minute), reply(1)); v.Rule != "budget.messages" {
		t.Error(v)
	}
}

func TestExportImport(t *testing.T) {
	t.Parallel()
	limits := Limits{Budget: Budget{Segments: 100}, Campaigns: []Campaign{{ID: "C", Brand: "B", Numbers: []string{"+12025550101"}}}}
	p := newPacer(t, limits)
	a := bulk(3)
	a.Category = "marketing"
	p.Reserve(start, a)
	p.Reserve(start.Add(time.Minute), a)
	b := bulk(2)
	b.From = "+12025550101"
	p.Reserve(start.Add(2*time.Minute), b)
	now := start.Add(3 * time.Minute)
	state := p.Export(now)
	want := map[Scope]int{ScopeDaily: 8, ScopeBudgetSegments: 8, ScopeBudgetMessages: 3, ScopeFrequency: 2}
	got := map[Scope]int{}
	for _, c := range state {
		got[c.Scope] += c.N
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	q := newPacer(t, limits)
	q.Import(now, state)
	if diff := gocmp.Diff(state, q.Export(now)); diff != "" {
		t.Error("the state changed on its way:", diff)
	}
	q.Reserve(now, a)
	if v := q.Reserve(now.Add(time.Minute), a); v.Reason != FrequencyCap {
		t.Errorf("got %v: the cap was forgotten over a restart", v)
	}
	old := newPacer(t, limits)
	old.Import(now.Add(48*time.Hour), state)
	if got := old.Export(now.Add(48 * time.Hour)); len(got) != 0 {
		t.Errorf("counters of another day came back: %v", got)
	}
}

// half is one of two replicas that know of each other at once.
type half struct {
	other **Pacer
	now   *time.Time
}

func (h half) Share() float64 { return 0.5 }

func (h half) Counted(Counter, time.Time) {}

func (h half) Elsewhere(scope Scope, key string, since time.Time) (n int) {
	for _, c := range (*h.other).Export(*h.now) {
		if c.Scope == scope && c.Key == key && !c.Start.Before(since) {
			n += c.N
		}
	}
	return n
}

func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	var p, q *Pacer
	at := start
	limits := Limits{Daily: 100, Budget: Budget{Segments: 1000}}
	for _, r := range []struct{ it, other **Pacer }{{&p, &q}, {&q, &p}} {
		var err error
		if *r.it, err = New(limits, half{r.other, &at}); err != nil {
			t.Fatal(err)
		}
	}
	var out []event
	refused := Verdict{}
	for now := time.Duration(0); now < 2*time.Minute; now += 10 * time.Millisecond {
		at = start.Add(now)
		for _, r := range []*Pacer{p, q} {
			if v := r.Reserve(at, bulk(1)); v.OK {
				out = append(out, event{at: now, n: 1})
			} else if v.Reason != Paced {
				refused = v
			}
		}
	}
	if got := peak(out, time.Second, 4); got != 4 {
		t.Errorf("two replicas sent %d segments in a second, want 4", got)
	}
	if len(out) != 100 || refused.Reason != DailyCap {
		t.Errorf("two replicas sent %d segments of a daily cap of 100; %v", len(out), refused)
	}
}

func TestShareOfLessThanOneSegment(t *testing.T) {
	t.Parallel()
	b := newBucket(Rate{1, time.Second})
	b.divide(0.25)
	if b.rate != 1 || b.per != int64(4*time.Second) {
		t.Errorf("a quarter of one per second: got %d per %v", b.rate, time.Duration(b.per))
	}
}

func TestClockPutBack(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{})
	p.Reserve(start, bulk(1))
	v := p.Reserve(start.Add(-time.Hour), bulk(1))
	if wait := v.At.Sub(start.Add(-time.Hour)); v.OK || wait != 250*time.Millisecond {
		t.Errorf("after the clock went back an hour a send waits %v", wait)
	}
}

func TestBadLimits(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]Limits{
		"class":     {Classes: map[Class]Rate{"pigeon": {1, time.Second}}},
		"rate":      {Space: Rate{-1, time.Second}},
		"per":       {Number: Rate{1, 0}},
		"tier":      {Campaigns: []Campaign{{ID: "C", Tier: "Z"}}},
		"id":        {Campaigns: []Campaign{{}}},
		"twice":     {Campaigns: []Campaign{{ID: "C"}, {ID: "C"}}},
		"number":    {Campaigns: []Campaign{{ID: "C", Numbers: []string{ours}}, {ID: "D", Numbers: []string{ours}}}},
		"brand":     {Campaigns: []Campaign{{ID: "C", Brand: "B", Daily: 1}, {ID: "D", Brand: "B", Daily: 2}}},
		"cap":       {Caps: []Cap{{"marketing", 0, time.Hour}}},
		"budget":    {Budget: Budget{Segments: -1}},
		"recipient": {MaxRecipients: -1},
	} {
		if _, err := New(l, Alone{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestClassesAreThoseOfNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range sms.Classes() {
		if classRates[Class(c)] == (Rate{}) || classRules[Class(c)] == "" {
			t.Errorf("class %s has no rate or no rule", c)
		}
	}
	if len(classRates) != len(sms.Classes()) {
		t.Errorf("%d classes have a rate, there are %d", len(classRates), len(sms.Classes()))
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	texts := func(l Limits) map[string]Rule {
		m := map[string]Rule{}
		for _, r := range newPacer(t, l).Rules() {
			if _, twice := m[r.ID]; twice || r.Text == "" || r.Source == "" || r.Version == "" || r.Date == "" {
				t.Errorf("incomplete or twice: %+v", r)
			}
			m[r.ID] = r
		}
		return m
	}
	def := texts(Limits{})
	for id, want := range map[string]string{
		"pace.10dlc": "US long codes: 4 segments per second", "pace.canada": "Canadian long codes: 1 segment per second",
		"daily_cap.tmobile":       "10DLC numbers in no campaign: 2000 segments of bulk a day, until midnight of America/Los_Angeles",
		"frequency_cap.marketing": "3 marketing texts to a person in 24h",
	} {
		if def[id].Text != want || def[id].Source == operator {
			t.Errorf("%s: got %+v, want %q and its source", id, def[id], want)
		}
	}
	for _, id := range classRules {
		if def[id].ID == "" {
			t.Errorf("%s is not on the sheet", id)
		}
	}
	own := texts(Limits{
		Classes: map[Class]Rate{TollFree: {20, time.Second}}, Number: Rate{90, 90 * time.Second}, Space: Rate{100, time.Minute},
		Campaigns: []Campaign{{ID: "C", Rate: Rate{1, time.Hour}, Tier: "T", Daily: -1}}, Daily: -1,
		Caps: []Cap{{"notification", 5, 90 * time.Minute}}, Budget: Budget{Segments: 10, Messages: 5},
	})
	for id, want := range map[string]string{
		"pace.tollfree": "toll-free numbers: 20 segments per second", "pace.number": "each number: 90 segments per 1m30s",
		"pace.space": "all numbers together: 100 segments per minute", "pace.campaign": "campaign C: 1 segment per 1h",
		"frequency_cap.notification": "5 notification texts to a person in 1h30m", "budget.segments": "10 segments a day, UTC time",
		"budget.messages": "5 messages a day, UTC time",
	} {
		if own[id].Text != want || own[id].Source != operator {
			t.Errorf("%s: got %+v, want %q and the operator", id, own[id], want)
		}
	}
	if want := "campaign C of tier T, to AT&T: 75 segments per minute of SMS, 50 segments per minute of MMS"; own["pace.campaign.att"].Text != want {
		t.Errorf("got %q, want %q", own["pace.campaign.att"].Text, want)
	}
	if _, ok := own["daily_cap.tmobile"]; ok {
		t.Error("a cap that is off is on the sheet")
	}
}

func BenchmarkReserve(b *testing.B) {
	p := newPacer(b, Limits{Daily: -1, Classes: map[Class]Rate{TenDLC: {mostSegments, time.Second}}})
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Millisecond)
		p.Reserve(now, reply(1))
	}
}

func BenchmarkReserveRefused(b *testing.B) {
	p := newPacer(b, Limits{})
	p.Reserve(start, bulk(4))
	b.ReportAllocs()
	for b.Loop() {
		p.Reserve(start, bulk(1))
	}
}

// A change of limits forgets neither what was counted nor what left within a rate's window.
func TestAdopt(t *testing.T) {
	t.Parallel()
	campaign := Campaign{ID: "C1", Brand: "B", Daily: 100, Numbers: []string{ours}, Tier: "A", Rate: Rate{600, time.Minute}}
	l := Limits{Campaigns: []Campaign{campaign}, Number: Rate{10, time.Second}, Space: Rate{10, time.Second}, Budget: Budget{Messages: 50}}
	old := newPacer(t, l)
	now := start
	for range 4 {
		if v := old.Reserve(now, reply(1)); !v.OK {
			t.Fatalf("%+v", v)
		}
		now = now.Add(time.Millisecond)
	}
	l.Classes = map[Class]Rate{TenDLC: {5, time.Second}}
	l.Caps = []Cap{{Category: "reply", N: 1, Window: time.Hour}}
	l.Campaigns[0].Rate = Rate{601, time.Minute}
	p := newPacer(t, l)
	p.Adopt(now, old)
	if diff := gocmp.Diff(old.Export(now), p.Export(now)); diff != "" {
		t.Errorf("counted (-old +new):\n%s", diff)
	}
	for i, want := range []bool{true, false} { // the fifth of the new rate, and one too many
		a := reply(1)
		a.Category, a.To = "consent", theirs
		if v := p.Reserve(now.Add(time.Duration(i)*time.Millisecond), a); v.OK != want {
			t.Errorf("number %d: %+v", i+5, v)
		}
	}
	// The old one goes on alone: nothing is shared.
	if v := old.Reserve(now.Add(1500*time.Millisecond), reply(1)); !v.OK {
		t.Errorf("the old one: %+v", v)
	}
	if got := len(p.Export(now)); got != len(old.Export(now)) {
		t.Errorf("%d counters", got)
	}

	// A brand without a cap any more is not counted, one that is new begins with nothing.
	none := newPacer(t, Limits{Daily: -1})
	none.Adopt(now, old)
	for _, c := range none.Export(now) {
		if c.Scope == ScopeDaily {
			t.Errorf("still counted: %+v", c)
		}
	}
}

// Export may take its time: sends go on meanwhile, and it sees one moment.
func TestExportBesidesSends(t *testing.T) {
	t.Parallel()
	p := newPacer(t, Limits{Classes: map[Class]Rate{TenDLC: {}}, Daily: -1, Caps: []Cap{{Category: "marketing", N: 1000, Window: time.Hour}}})
	var wg sync.WaitGroup
	wg.Go(func() {
		a := bulk(1)
		a.Category = "marketing"
		for i := range 2000 {
			at := start.Add(time.Duration(i) * time.Millisecond)
			if p.Reserve(at, a).OK && i%3 == 0 {
				p.Cancel(at, a)
			}
		}
	})
	for range 50 {
		p.Export(start)
	}
	wg.Wait()
}

// ear hears what a Pacer tells the others.
type ear map[Counter]time.Time

func (e ear) Share() float64                         { return 1 }
func (e ear) Elsewhere(Scope, string, time.Time) int { return 0 }
func (e ear) Counted(c Counter, until time.Time) {
	maps.DeleteFunc(e, func(o Counter, _ time.Time) bool {
		return o.Scope == c.Scope && o.Key == c.Key && o.Start.Equal(c.Start)
	})
	e[c] = until
}

// What the others are told adds up to what is exported.
func TestOthersAreToldWhatIsCounted(t *testing.T) {
	t.Parallel()
	told := ear{}
	p, err := New(Limits{Daily: 100}, told)
	if err != nil {
		t.Fatal(err)
	}
	a := bulk(2)
	a.To, a.Category = "+12025550101", "marketing"
	now := start
	for i, after := range []time.Duration{100 * time.Millisecond, 900 * time.Millisecond, 10 * time.Second, 20 * time.Second} { // two in a second
		now = start.Add(after)
		if v := p.Reserve(now, a); v.OK != (i < 3) {
			t.Fatalf("send %d: %+v", i, v)
		}
	}
	p.Cancel(start.Add(100*time.Millisecond), a)
	heard := slices.DeleteFunc(slices.Collect(maps.Keys(told)), func(c Counter) bool { return c.N == 0 })
	less := func(a, b Counter) int {
		return cmp.Or(strings.Compare(string(a.Scope), string(b.Scope)), a.Start.Compare(b.Start))
	}
	want := p.Export(now)
	slices.SortFunc(heard, less)
	slices.SortFunc(want, less)
	if diff := gocmp.Diff(want, heard); diff != "" || len(want) < 4 {
		t.Errorf("told (-exported +told):\n%s", diff)
	}
	for c, until := range told {
		if c.Scope == ScopeFrequency && !until.After(c.Start.Add(24*time.Hour)) || !until.After(now) {
			t.Errorf("%+v matters until %v only", c, until)
		}
	}
}
