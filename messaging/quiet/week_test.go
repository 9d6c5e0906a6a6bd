package quiet

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseWeek(t *testing.T) {
	t.Parallel()
	texas := daily(9, 21).on(12, 21, time.Sunday)
	for in, want := range map[string]Week{
		"09:00-20:00":                            daily(9, 20),
		"mon-sat 09:00-21:00, sun 12:00-21:00":   texas,
		" SUN 12:00-21:00 ,Mon-Sat 09:00-21:00 ": texas,
		"mon-fri 08:30-24:00": {
			time.Monday: {510, 1440}, time.Tuesday: {510, 1440}, time.Wednesday: {510, 1440}, time.Thursday: {510, 1440}, time.Friday: {510, 1440},
		},
		"wed 00:00-00:01": {time.Wednesday: {0, 1}},
		"none":            {},
	} {
		got, err := ParseWeek(in)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                             "write it like",
		"9-20":                         "write them like",
		"09:00":                        "write them like",
		"09:60-10:00":                  "write them like",
		"09:00-24:01":                  "write them like",
		"+9:00-10:00":                  "write them like",
		"20:00-09:00":                  "must end after",
		"09:00-09:00":                  "must end after",
		"someday 09:00-10:00":          "write mon",
		"fri-mon 09:00-10:00":          "write mon",
		"mon 09:00-10:00, 10:00-11:00": "mon has two windows",
		"mon tue 09:00-10:00":          "write it like",
		"09:00-20:00,":                 "write it like",
	} {
		if got, err := ParseWeek(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want an error with %q", in, got, err, want)
		}
	}
}

func TestWeekStringIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w Week
		for d := range w {
			if rapid.Bool().Draw(t, "open") {
				w[d].Open = rapid.Uint16Range(0, minutesPerDay-1).Draw(t, "opens")
				w[d].Close = rapid.Uint16Range(w[d].Open+1, minutesPerDay).Draw(t, "closes")
			}
		}
		if got, err := ParseWeek(w.String()); err != nil || got != w {
			t.Fatalf("%q: got %v, %v", w, got, err)
		}
	})
}

func FuzzParseWeek(f *testing.F) {
	for _, s := range []string{"09:00-20:00", "mon-sat 09:00-21:00, sun 12:00-21:00", "none", ",", "mon-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWeek(s)
		if err != nil {
			return
		}
		if err := checkWeek("it", w); err != nil {
			t.Errorf("%q was read as an impossible week: %v", s, err)
		}
		if again, err := ParseWeek(w.String()); err != nil || again != w {
			t.Errorf("%q: %q reads back as %v, %v", s, w, again, err)
		}
	})
}
