package loop

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	start = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	conv  = Conv{"+12025550100", "+12025550143"}
)

// talk plays inbounds at intervals, each answered after a moment, and gives the number of
// replies and the first refusal.
func talk(b *Breaker, now time.Time, every time.Duration, n int, inbound, reply func(i int) string) (replies int, refusal Verdict) {
	for i := range n {
		b.Inbound(now, conv, inbound(i))
		v := b.Reply(now.Add(20*time.Millisecond), conv, reply(i))
		switch {
		case v.OK:
			replies++
		case refusal == (Verdict{}):
			refusal = v
		}
		now = now.Add(every)
	}
	return replies, refusal
}

func same(s string) func(int) string { return func(int) string { return s } }

func numbered(s string) func(int) string {
	return func(i int) string { return fmt.Sprintf("%s %d", s, i) }
}

func TestPeopleAreAnswered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		every   time.Duration
		n       int
		inbound func(int) string
	}{
		"ten a minute for an hour": {6 * time.Second, 600, numbered("question")},
		"just over two seconds":    {2*time.Second + 20*time.Millisecond, 25, numbered("question")},
		"HOURS twice":              {5 * time.Second, 2, same("HOURS")},
		"HOURS five times":         {5 * time.Second, 5, same("HOURS")},
		"HOURS every ten minutes":  {10 * time.Minute, 50, same("HOURS")},
		"ok to our ok":             {5 * time.Second, 5, same("ok")},
		"quick at first": {time.Second, 5, func(i int) string {
			return []string{"hi", "are you open", "today", "?", "hello"}[i]
		}},
	} {
		reply := numbered("We're open 9 to 5")
		if name == "ok to our ok" {
			reply = same("OK")
		}
		if got, v := talk(New(Config{}), start, tc.every, tc.n, tc.inbound, reply); got != tc.n {
			t.Errorf("%s: %d of %d were answered; %v", name, got, tc.n, v)
		}
	}
}

func TestMachinesAreKnown(t *testing.T) {
	t.Parallel()
	long := "We're open Monday to Friday"
	for name, tc := range map[string]struct {
		every          time.Duration
		inbound, reply func(int) string
		rule           string
		until, answers int
	}{
		"fast":     {time.Second, numbered("beep"), numbered("answer number"), "loop.turnaround", 1, 5},
		"echo":     {10 * time.Second, func(i int) string { return fmt.Sprintf("You said: we're OPEN monday  to friday (%d)", i) }, same(long), "loop.echo", 1, 3},
		"the same": {30 * time.Second, same("I am driving."), numbered("answer number"), "loop.repeat", 1, 5},
	} {
		got, v := talk(New(Config{}), start, tc.every, tc.answers+1, tc.inbound, tc.reply)
		if got != tc.answers || v.OK || v.Reason != Loop || v.Rule != tc.rule {
			t.Errorf("%s: answered %d times, then %+v, want %d and %s", name, got, v, tc.answers, tc.rule)
		}
		if at := start.Add(time.Duration(tc.answers) * tc.every).Add(FirstPause); !v.Until.Equal(at) {
			t.Errorf("%s: until %v, want %v", name, v.Until, at)
		}
	}
}

func TestRunsMustBeRunning(t *testing.T) {
	t.Parallel()
	b := New(Config{})
	now := start
	for i := range 100 {
		gap := time.Second
		if i%5 == 4 {
			gap = 7 * time.Second // one slow answer in five: a person
		}
		b.Inbound(now, conv, fmt.Sprint("text ", i))
		if v := b.Reply(now.Add(time.Millisecond), conv, "yes"); !v.OK && v.Rule != "loop.cap" {
			t.Fatal(i, v)
		}
		now = now.Add(gap)
	}
}

func TestEchoesMustBeRunning(t *testing.T) {
	t.Parallel()
	const ours = "Reply 1 for sales or 2 for support"
	quoting := func(i int) string {
		if i%2 == 0 {
			return fmt.Sprint(i, " what do you mean: ", ours)
		}
		return fmt.Sprint("question ", i)
	}
	if got, v := talk(New(Config{}), start, 10*time.Second, 20, quoting, same(ours)); got != 20 {
		t.Errorf("answered %d times; %v", got, v)
	}
}

func TestManyTextsWithoutReplyAreNoTurns(t *testing.T) {
	t.Parallel()
	b := New(Config{})
	b.Reply(start, conv, "hello")
	for i := range 20 {
		b.Inbound(start.Add(time.Duration(i)*100*time.Millisecond), conv, fmt.Sprint("part ", i))
	}
	if v := b.Reply(start.Add(3*time.Second), conv, "thanks"); !v.OK {
		t.Error(v)
	}
}

func TestTwoMachinesStop(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second} {
		a, b := New(Config{}), New(Config{})
		there, back := Conv{"+12025550100", "+12025550101"}, Conv{"+12025550101", "+12025550100"}
		now, text := start, "hello there machine"
		var replies [2]int
		for i := range 100 {
			who, c := a, there
			if i%2 == 1 {
				who, c = b, back
			}
			now = now.Add(latency)
			who.Inbound(now, c, text)
			text = "You said: " + text
			if v := who.Reply(now, c, text); !v.OK {
				break
			}
			replies[i%2]++
		}
		if replies[0] > 5 || replies[1] > 5 {
			t.Errorf("latency %v: %v replies, want at most 5 each", latency, replies)
		}
	}
}

func TestPauseEndsAndDoubles(t *testing.T) {
	t.Parallel()
	b := New(Config{})
	now, want := start, FirstPause
	for i := range 20 {
		got, v := talk(b, now, time.Second, 6, numbered("beep"), numbered("answer number"))
		if got != 5 {
			t.Fatalf("round %d: answered %d times: a pause must end", i, got)
		}
		trip := now.Add(5 * time.Second)
		if pause := v.Until.Sub(trip); pause != want {
			t.Fatalf("round %d: a pause of %v, want %v", i, pause, want)
		}
		if v := b.Reply(v.Until.Add(-1), conv, "x"); v.OK {
			t.Fatal("the pause ended early")
		}
		want = min(2*want, LastPause)
		now = v.Until
	}
	now = now.Add(2 * LastPause)
	if _, v := talk(b, now, time.Second, 6, numbered("beep"), numbered("answer number")); v.Until.Sub(now.Add(5*time.Second)) != FirstPause {
		t.Errorf("after days of calm a pause until %v", v.Until)
	}
}

func TestCap(t *testing.T) {
	t.Parallel()
	b := New(Config{})
	for i := range MostReplies {
		if v := b.Reply(start.Add(time.Duration(i)*time.Second), conv, "x"); !v.OK {
			t.Fatal(v)
		}
	}
	want := Verdict{Reason: Loop, Rule: "loop.cap", Until: start.Add(time.Minute)}
	if diff := cmp.Diff(want, b.Reply(start.Add(time.Minute-1), conv, "x")); diff != "" {
		t.Error(diff)
	}
	if v := b.Reply(start.Add(time.Minute-1), Conv{conv.Ours, "+12025550199"}, "x"); !v.OK {
		t.Error("another conversation:", v)
	}
	if v := b.Reply(start.Add(time.Minute), conv, "x"); !v.OK {
		t.Error(v)
	}
	if v := b.Reply(start.Add(time.Minute), conv, "x"); v.OK {
		t.Error("31 in a minute")
	}
}

func TestOwnNumber(t *testing.T) {
	t.Parallel()
	b := New(Config{Own: func(n string) bool { return strings.HasSuffix(n, "43") }})
	want := Verdict{Reason: Loop, Rule: "loop.own_number"}
	if diff := cmp.Diff(want, b.Reply(start, conv, "x")); diff != "" {
		t.Error(diff)
	}
	if v := b.Reply(start, Conv{conv.Ours, "+12025550199"}, "x"); !v.OK {
		t.Error(v)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	b := New(Config{Conversations: 100})
	trip := func(c Conv) {
		for i := range 6 {
			b.Inbound(start.Add(time.Duration(i)*time.Second), c, "same text")
		}
	}
	busy, quiet := Conv{"a", "busy"}, Conv{"a", "quiet"}
	trip(busy)
	trip(quiet)
	for i := range 10_000 {
		b.Inbound(start.Add(10*time.Second), Conv{"a", fmt.Sprint(i)}, "hi")
		if v := b.Reply(start.Add(10*time.Second), busy, "x"); v.OK {
			t.Fatal("a busy conversation was forgotten")
		}
	}
	if len(b.states) != 100 || b.recent.Len() != 100 {
		t.Errorf("%d conversations are remembered, %d in order", len(b.states), b.recent.Len())
	}
	if v := b.Reply(start.Add(10*time.Second), quiet, "x"); !v.OK {
		t.Error("the quiet one should have been forgotten")
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	d := NewDuplicates(0)
	ask := func(after time.Duration, id, to, body string) Verdict { return d.Ask(start.Add(after), id, to, body) }
	if v := ask(0, "1", "+1", "Your order is ready"); !v.OK {
		t.Fatal(v)
	}
	want := Verdict{Reason: DuplicateContent, Rule: "duplicate_content", Until: start.Add(DuplicateWindow)}
	if diff := cmp.Diff(want, ask(time.Minute, "2", "+1", "Your order is ready")); diff != "" {
		t.Error(diff)
	}
	for what, v := range map[string]Verdict{
		"another attempt": ask(time.Minute, "1", "+1", "Your order is ready"),
		"another person":  ask(time.Minute, "3", "+2", "Your order is ready"),
		"another text":    ask(time.Minute, "4", "+1", "Your order is late"),
		"shifted":         ask(time.Minute, "5", "+1Y", "our order is ready"),
	} {
		if !v.OK {
			t.Errorf("%s: %v", what, v)
		}
	}
	if v := ask(DuplicateWindow-1, "6", "+1", "Your order is ready"); v.OK {
		t.Error("the window ended early")
	}
	if v := ask(DuplicateWindow, "6", "+1", "Your order is ready"); !v.OK {
		t.Error(v)
	}
	d.Forget("9", "+1", "Your order is ready")
	if v := ask(DuplicateWindow+1, "7", "+1", "Your order is ready"); v.OK {
		t.Error("what another send did was forgotten")
	}
	d.Forget("6", "+1", "Your order is ready")
	if v := ask(DuplicateWindow+1, "7", "+1", "Your order is ready"); !v.OK {
		t.Error(v)
	}
	off := NewDuplicates(-1)
	for range 2 {
		if v := off.Ask(start, fmt.Sprint(time.Now()), "+1", "x"); !v.OK {
			t.Error(v)
		}
	}
}

func TestDuplicatesOverGenerations(t *testing.T) {
	t.Parallel()
	d := NewDuplicates(time.Minute)
	last := map[string]time.Duration{}
	for i := range 20_000 {
		now := time.Duration(i) * 700 * time.Millisecond
		body := fmt.Sprint("text ", i*i%97)
		at, seen := last[body]
		fresh := !seen || now-at >= time.Minute
		if v := d.Ask(start.Add(now), fmt.Sprint(i), "+1", body); v.OK != fresh {
			t.Fatalf("%d: got %v, want %v: last %v, now %v", i, v.OK, fresh, at, now)
		}
		if fresh {
			last[body] = now
		}
	}
	d.most = 10
	for i := range 1000 {
		d.Ask(start.Add(24*time.Hour), fmt.Sprint(i), fmt.Sprint(i), "x")
	}
	if n := len(d.young) + len(d.old); n > 20 {
		t.Errorf("%d are remembered", n)
	}
}

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	b, d := New(Config{Conversations: 10}), NewDuplicates(0)
	var replies, sends atomic.Int32
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				if b.Reply(start, conv, "x").OK {
					replies.Add(1)
				}
				b.Inbound(start, Conv{"a", fmt.Sprint(i % 9)}, "hi")
				if d.Ask(start, fmt.Sprint(g, i), "+1", fmt.Sprint("text ", i%10)).OK {
					sends.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if replies.Load() != MostReplies || sends.Load() != 10 {
		t.Errorf("%d replies and %d sends, want %d and 10", replies.Load(), sends.Load(), MostReplies)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, r := range Rules() {
		if ids[r.ID] || r.Text == "" || r.Source == "" || r.Version == "" || r.Date == "" {
			t.Errorf("incomplete or twice: %+v", r)
		}
		ids[r.ID] = true
	}
}

func FuzzNormal(f *testing.F) {
	for _, s := range []string{"", "Hello  World", "\xff\xfe", "ÀÉ ß", strings.Repeat("x", 500)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := normal(s)
		if len(n) >= longestText+4 || strings.ContainsAny(n, " \t\n") {
			t.Errorf("%q: %q", s, n)
		}
		if len(n) < longestText && normal(n) != n {
			t.Errorf("%q: %q is not normal: %q", s, n, normal(n))
		}
	})
}

func BenchmarkInboundAndReply(b *testing.B) {
	br := New(Config{})
	convs := make([]Conv, 1000)
	for i := range convs {
		convs[i] = Conv{"+12025550100", fmt.Sprintf("+1202555%04d", i)}
	}
	now := start
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		c := convs[i%len(convs)]
		i++
		now = now.Add(10 * time.Millisecond)
		br.Inbound(now, c, "When do you open on Saturday?")
		br.Reply(now, c, "We are open from 9 to 5 on all days but Sunday.")
	}
}

// A reply that is taken back counts neither for the cap nor as one that was answered.
func TestCancelTakesAReplyBack(t *testing.T) {
	t.Parallel()
	b := New(Config{})
	now := start
	for range 2 * MostReplies {
		now = now.Add(10 * time.Millisecond)
		if v := b.Reply(now, conv, "We're open from nine to five."); !v.OK {
			t.Fatalf("%+v", v)
		}
		b.Cancel(now, conv, "We're open from nine to five.")
	}
	for i := range 2 * FastTurns { // nothing of ours was there to be answered, or echoed
		now = now.Add(time.Second)
		b.Inbound(now, conv, fmt.Sprint("We're open from nine to five. ", i))
	}
	if v := b.Reply(now, conv, "hello"); !v.OK {
		t.Errorf("%+v", v)
	}
	b.Cancel(now.Add(time.Second), conv, "hello") // no such reply
	if v, _ := talk(b, now, time.Second, 10, numbered("x"), numbered("y")); v >= 10 {
		t.Error("a machine was answered after a cancel of nothing")
	}
	b.Cancel(now, Conv{"+12025550100", "+12025550199"}, "hello") // no such conversation
}

// A reply that left before one that was taken back still awaits its answer.
func TestCancelKeepsTheTurn(t *testing.T) {
	t.Parallel()
	b := New(Config{})
	now := start
	for i := range FastTurns {
		b.Reply(now, conv, fmt.Sprint("left ", i))
		b.Reply(now.Add(time.Millisecond), conv, "stayed")
		b.Cancel(now.Add(time.Millisecond), conv, "stayed")
		now = now.Add(time.Second)
		b.Inbound(now, conv, fmt.Sprint("answer ", i))
	}
	if v := b.Reply(now, conv, "once more"); v.Rule != "loop.turnaround" {
		t.Errorf("got %+v, want a machine by its turnaround", v)
	}
}

func TestSetWindow(t *testing.T) {
	t.Parallel()
	d := NewDuplicates(time.Minute)
	d.Ask(start, "1", conv.Theirs, "x")
	d.SetWindow(time.Hour)
	if v := d.Ask(start.Add(2*time.Minute), "2", conv.Theirs, "x"); v.OK {
		t.Error("the longer window is not in force")
	}
	d.SetWindow(-1)
	if v := d.Ask(start.Add(2*time.Minute), "2", conv.Theirs, "x"); !v.OK {
		t.Errorf("turned off: %+v", v)
	}
}
