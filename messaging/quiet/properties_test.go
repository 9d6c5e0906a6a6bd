package quiet

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawTime draws a minute of the years that count.
func drawTime(t *rapid.T) time.Time {
	from := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	return from.Add(time.Duration(rapid.IntRange(0, 3*365*24*60).Draw(t, "minute")) * time.Minute)
}

// drawNumber draws a number of a known American area code.
func drawNumber(t *rapid.T) string {
	var codes []int
	for code, a := range atlas().areas {
		if a != nil && inStates(a.region) {
			codes = append(codes, code)
		}
	}
	return fmt.Sprintf("+1%03d5550143", rapid.SampledFrom(codes).Draw(t, "area code"))
}

func TestDeferralStaysInTheWindow(t *testing.T) {
	t.Parallel()
	var draw func(n int64) int64
	var mu sync.Mutex
	hours := map[Preset]*Hours{}
	for _, p := range presets {
		hours[p] = mustNew(t, Config{Preset: p, Random: func(n int64) int64 { return draw(n) }})
	}
	rapid.Check(t, func(t *rapid.T) {
		mu.Lock()
		defer mu.Unlock()
		draw = func(n int64) int64 { return rapid.Int64Range(0, n-1).Draw(t, "random") }
		h := hours[rapid.SampledFrom(presets).Draw(t, "preset")]
		now, to := drawTime(t), Recipient{Number: drawNumber(t)}
		var expires time.Time
		if rapid.Bool().Draw(t, "expires") {
			expires = now.Add(time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "left")))
		}
		v := h.Ask(now, Marketing, to)
		when, ok := h.Defer(v, expires)
		switch {
		case v.Allowed:
			if ok {
				t.Fatalf("allowed, and deferred to %s", when)
			}
			return
		case !ok:
			if expires.IsZero() || v.NextOpening.Before(expires) {
				t.Fatalf("not deferred, though it opens at %s and expires at %s", v.NextOpening, expires)
			}
			return
		}
		if when.Before(v.NextOpening) || !when.Before(v.NextOpening.Add(Spread)) {
			t.Fatalf("deferred to %s, which is not within 15 minutes from %s", when, v.NextOpening)
		}
		if !expires.IsZero() && !when.Before(expires) {
			t.Fatalf("deferred to %s, after it expires at %s", when, expires)
		}
		if again := h.Ask(when, Marketing, to); !again.Allowed {
			t.Fatalf("deferred to %s, when %s forbids it", when, again.Rule.ID)
		}
	})
}

func TestDeferralIsSpread(t *testing.T) {
	t.Parallel()
	var asked []int64
	h := mustNew(t, Config{Random: func(n int64) int64 { asked = append(asked, n); return n - 1 }})
	opening := time.Date(2026, time.December, 2, 14, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		closes, expires time.Time
		want            time.Duration // the last moment that may be drawn; negative: none
	}{
		"usual":                  {opening.Add(11 * time.Hour), time.Time{}, Spread - 1},
		"short window":           {opening.Add(4 * time.Minute), time.Time{}, 4*time.Minute - 1},
		"expires soon after":     {opening.Add(11 * time.Hour), opening.Add(10 * time.Minute), 5*time.Minute - 1},
		"expires at once":        {opening.Add(11 * time.Hour), opening.Add(1), 0},
		"expires at the opening": {opening.Add(11 * time.Hour), opening, -1},
		"expires before":         {opening.Add(11 * time.Hour), opening.Add(-time.Hour), -1},
	} {
		when, ok := h.Defer(Verdict{NextOpening: opening, Closes: tc.closes}, tc.expires)
		if ok != (tc.want >= 0) || ok && when != opening.Add(tc.want) {
			t.Errorf("%s: got %s, %v, want %s after the opening", name, when.Sub(opening), ok, tc.want)
		}
	}
	if len(asked) != 4 {
		t.Errorf("the random source was asked %d times, want 4", len(asked))
	}
}

// To know less never allows more.
func TestLessKnowledgeIsStricter(t *testing.T) {
	t.Parallel()
	trust, ported := map[Preset]*Hours{}, map[Preset]*Hours{}
	for _, p := range presets {
		trust[p] = mustNew(t, Config{Preset: p})
		ported[p] = mustNew(t, Config{Preset: p, Ported: PortedStrict})
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(presets).Draw(t, "preset")
		now, number := drawTime(t), drawNumber(t)
		area, _ := atlas().areaCode(number)
		a := atlas().areas[area]
		zone := rapid.SampledFrom(a.zones).Draw(t, "zone")
		chain := []Verdict{
			trust[p].Ask(now, Marketing, Recipient{}),
			ported[p].Ask(now, Marketing, Recipient{Number: number}),
			trust[p].Ask(now, Marketing, Recipient{State: a.region}),
			trust[p].Ask(now, Marketing, Recipient{Number: number}),
			trust[p].Ask(now, Marketing, Recipient{Number: number, Zone: zone}),
			trust[p].Ask(now, Marketing, Recipient{Number: number, Zone: zone, State: a.region}),
		}
		for i, v := range chain[1:] {
			if chain[i].Allowed && !v.Allowed {
				t.Fatalf("%s at %s: step %d is allowed, and %d, with more knowledge, is held by %s", number, now, i, i+1, v.Rule.ID)
			}
		}
	})
}

// The stricter preset never allows what the federal one forbids.
func TestPresetsAreOrdered(t *testing.T) {
	t.Parallel()
	fed, cons, str := mustNew(t, Config{Preset: Federal}), mustNew(t, Config{}), mustNew(t, Config{Preset: Strict})
	rapid.Check(t, func(t *rapid.T) {
		now, to := drawTime(t), Recipient{Number: drawNumber(t)}
		federal := fed.Ask(now, Marketing, to).Allowed
		if cons.Ask(now, Marketing, to).Allowed && !federal || str.Ask(now, Marketing, to).Allowed && !federal {
			t.Fatalf("%s at %s: allowed against the federal window", to.Number, now)
		}
	})
}

// Many goroutines ask about many times at once: a timeline that is replaced under one of
// them must not change its answer.
func TestConcurrentQuestions(t *testing.T) {
	t.Parallel()
	h := mustNew(t, Config{Preset: Strict})
	to := Recipient{Number: "+13055550143", State: "FL"}
	places := refPlaces(t, "US-FL", atlas().regions["US-FL"])
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 400 {
				now := time.Date(2026, time.January, 1, g+i*7, 0, 0, 0, time.UTC)
				if got, want := h.Ask(now, Marketing, to).Allowed, refAllowed(Strict, places, now); got != want {
					t.Errorf("%s: allowed is %v, want %v", now, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzAsk(f *testing.F) {
	f.Add("+12125550143", "", "", "", int64(1796220000), uint8(0))
	f.Add("", "America/Chicago", "TX", "75001-1234", int64(1772956800), uint8(2))
	f.Add("+447700900123", "Europe/London", "CA-ON", "x", int64(946684800), uint8(1))
	f.Add("+1", "\x00", "ÅÅ", "96799", int64(1861833600), uint8(3))
	var all []*Hours
	for _, p := range presets {
		all = append(all, mustNew(f, Config{Preset: p}), mustNew(f, Config{Preset: p, Ported: PortedStrict}))
	}
	all = append(all, mustNew(f, Config{Preset: Custom, Week: daily(6, 24).on(0, 0, time.Monday)}))
	zoneNames := slices.Sorted(maps.Keys(zones().bodies))
	f.Fuzz(func(t *testing.T, number, zone, state, zip string, sec int64, which uint8) {
		const year2100 = 4102444800
		sec = min(max(sec, 0), year2100)
		if which >= 128 { // a fuzzer seldom finds a zone
			zone = zoneNames[int(which)*7%len(zoneNames)]
		}
		h := all[int(which)%len(all)]
		now := time.Unix(sec, 0)
		to := Recipient{Number: number, Zone: zone, State: state, Zip: zip}
		v := h.Ask(now, Notification, to)
		if len(v.Zones) == 0 || v.Rule.ID == "" || v.Zone == "" {
			t.Fatalf("a verdict without zones or rule: %+v", v)
		}
		if v.Allowed {
			if !v.NextOpening.IsZero() || !v.Closes.After(now) {
				t.Fatalf("allowed at %s, but %+v", now, v)
			}
			return
		}
		if v.NextOpening.IsZero() {
			return // three rules of the world over may leave nothing in common
		}
		if !v.NextOpening.After(now) || !v.Closes.After(v.NextOpening) {
			t.Fatalf("held at %s until %s, shut again at %s", now, v.NextOpening, v.Closes)
		}
		when, ok := h.Defer(v, time.Time{})
		if !ok {
			t.Fatal("not deferred, though it opens again")
		}
		if again := h.Ask(when, Notification, to); !again.Allowed {
			t.Fatalf("deferred to %s, when %s forbids it", when, again.Rule.ID)
		}
	})
}

// The hot path must not allocate: it stands before every bulk message.
func TestAskDoesNotAllocate(t *testing.T) {
	h := mustNew(t, Config{Preset: Strict})
	now := time.Date(2026, time.December, 2, 3, 0, 0, 0, time.UTC)
	for _, to := range []Recipient{
		{Number: "+12125550143"},
		{Number: "+447700900123"},
		{Number: "+18005550143"},
		{Number: "+12125550143", Zone: "America/Chicago", State: "TX", Zip: "75001"},
	} {
		h.Ask(now, Marketing, to)
		if n := testing.AllocsPerRun(100, func() { h.Ask(now, Marketing, to) }); n != 0 {
			t.Errorf("%+v: %v allocations", to, n)
		}
	}
}

func BenchmarkAsk(b *testing.B) {
	h := mustNew(b, Config{Preset: Strict})
	now := time.Date(2026, time.December, 2, 3, 0, 0, 0, time.UTC)
	for name, to := range map[string]Recipient{
		"number":  {Number: "+12125550143"},
		"nowhere": {Number: "+18005550143"},
		"contact": {Number: "+12125550143", Zone: "America/Chicago", State: "TX", Zip: "75001"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Ask(now, Marketing, to)
			}
		})
	}
	b.Run("unpack", func(b *testing.B) { // what the first New costs
		for b.Loop() {
			t := &zoneTable{bodies: map[string]string{}}
			if err := t.unpack(zoneinfo); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("timeline", func(b *testing.B) { // what one question in ten days costs more
		p := h.profile(Recipient{})
		for b.Loop() {
			newTimeline(p.places, now.Unix())
		}
	})
}
