package sms

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, want string
		class    Class
		warnings int
	}{
		{"+12025550123", "+12025550123", TenDLC, 0},
		{" (202) 555-0123 ", "+12025550123", TenDLC, 0},
		{"1-202-555-0123", "+12025550123", TenDLC, 0},
		{"202.555.0123", "+12025550123", TenDLC, 0},
		{"tel:+1-202-555-0123", "+12025550123", TenDLC, 0},
		{"＋1 202 555 0123", "+12025550123", TenDLC, 0},
		{"+1\u00a0202\u2011555\u20110123", "+12025550123", TenDLC, 0},
		{"+1 800 555 0123", "+18005550123", TollFree, 0},
		{"8885550123", "+18885550123", TollFree, 0},
		{"+1 416 555 0123", "+14165550123", Canada, 0},
		{"+1 876 555 0123", "+18765550123", Local, 0},
		{"+44 (0)20 7946 0018", "+442079460018", Local, 0},
		{"0044 20 7946 0018", "+442079460018", Local, 0},
		{"011 44 20 7946 0018", "+442079460018", Local, 0},
		{"+447700900123", "+447700900123", Local, 0},
		{"12345", "12345", ShortCode, 0},
		{"123 456", "123456", ShortCode, 0},
		{"+10025550123", "+10025550123", TenDLC, 1},
		{"+12921550123", "+12921550123", TenDLC, 2},
		{"+19115550123", "+19115550123", TenDLC, 1},
		{"+1555" + "5550123", "+15555550123", TenDLC, 0}, // the fixtures of half the world
	} {
		got, err := ParseNumber(tt.in)
		if err != nil || got.Number != tt.want || got.Class != tt.class || len(got.Warnings) != tt.warnings {
			t.Errorf("%q: got %+v, %v, want %s %s with %d warnings", tt.in, got, err, tt.want, tt.class, tt.warnings)
		}
	}
}

func TestParseNumberRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                               "+12025550123",
		"   ":                            "not a telephone number",
		"hello":                          "not a telephone number",
		"+1 202 555 O123":                "not a telephone number",
		"202+5550123":                    "not a telephone number",
		"++12025550123":                  "not a telephone number",
		"1234":                           "country of the number is unknown",
		"1234567":                        "country of the number is unknown",
		"5550123999999":                  "country of the number is unknown",
		"1025550123":                     "country of the number is unknown",
		"+1202555012":                    "9 digits after the country code +1",
		"+120255501234":                  "11 digits",
		"+999 12345678":                  "no country has the code",
		"+0 12345678":                    "no country has the code",
		"+":                              "not a telephone number",
		"+1":                             "0 digits",
		"+12":                            "1 digits",
		"+44" + strings.Repeat("7", 11):  "11 digits",
		"+49" + strings.Repeat("1", 60):  "60 digits",
		"+49" + strings.Repeat("1", 100): "not a telephone number",
	} {
		got, err := ParseNumber(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v, want an error about %q", in, got, err, want)
			continue
		}
		if strings.Contains(err.Error(), "555012") && !strings.Contains(err.Error(), "+12025550123") {
			t.Errorf("%q: the error holds digits of the number: %v", in, err)
		}
	}
}

func TestErrorsAndWarningsHoldNoNumber(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"+1444777888", "4447778889999", "+999444777888", "+14441777888", "444777x888"} {
		p, err := ParseNumber(in)
		text := fmt.Sprint(err, p.Warnings)
		for _, part := range []string{"444", "777", "888"} {
			if strings.Contains(text, part) {
				t.Errorf("%q: got %s, which holds a part of it", in, text)
			}
		}
	}
}

// What is possible is judged as libphonenumber does, for every country code and length.
func TestLengthsAgreeWithLibphonenumber(t *testing.T) {
	t.Parallel()
	for code := 1; code < 1000; code++ {
		text := strconv.Itoa(code)
		known := phonenumbers.GetRegionCodeForCountryCode(code) != phonenumbers.UNKNOWN_REGION
		set, ok := countries()[text]
		if ok != known {
			t.Errorf("+%d: got known %v, want %v", code, ok, known)
			continue
		}
		for n := 2; known && n <= 17; n++ {
			country, national := int32(code), uint64(2)
			for range n - 1 {
				national *= 10
			}
			number := &phonenumbers.PhoneNumber{CountryCode: &country, NationalNumber: &national}
			want := phonenumbers.IsPossibleNumberWithReason(number) == phonenumbers.IS_POSSIBLE
			if got := set&(1<<n) != 0; got != want {
				t.Errorf("+%d with %d digits: got possible %v, want %v", code, n, got, want)
			}
		}
	}
}

// The tables of area codes against those of libphonenumber, for every code.
func TestClassesAgreeWithLibphonenumber(t *testing.T) {
	t.Parallel()
	territories := map[string]bool{"US": true, "PR": true, "VI": true, "GU": true, "AS": true, "MP": true}
	seen := map[Class]int{}
	for area := 200; area < 1000; area++ {
		text := fmt.Sprintf("+1%d2345678", area)
		number, err := phonenumbers.Parse(text, "US")
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want := TenDLC
		switch region := phonenumbers.GetRegionCodeForNumber(number); {
		case phonenumbers.GetNumberType(number) == phonenumbers.TOLL_FREE:
			want = TollFree
		case region == "CA" && area != 600 && area != 622 && area != 633 && area != 644 && area != 655 && area != 677 && area != 688:
			want = Canada // the exceptions are for machines and satellites, and belong to no place
		case region != "" && region != "CA" && !territories[region]:
			want = Local
		}
		if got := ClassOf(text); got != want {
			t.Errorf("%s (%s): got %s, want %s", text, phonenumbers.GetRegionCodeForNumber(number), got, want)
		}
		seen[want]++
	}
	if seen[TollFree] != 7 || seen[Canada] < 40 || seen[Local] < 20 || seen[TenDLC] < 300 {
		t.Errorf("got classes %v, want every one of them", seen)
	}
}

func TestClassOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Class{
		"12345": ShortCode, "123456": ShortCode, "1234567": TenDLC, "": TenDLC, "+": TenDLC, "+1": TenDLC, "+12": TenDLC, "hello": TenDLC,
		"+33123456789": Local, "+1x": TenDLC, "+18005550123": TollFree, "+12365550123": Canada, "+12025550123": TenDLC, "+17875550123": TenDLC,
	} {
		if got := ClassOf(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	for _, c := range Classes() {
		want := 153
		if c == TollFree {
			want = 152
		}
		if got := c.Limits().PartGSM7; got != want {
			t.Errorf("%s: got segments of %d, want %d", c, got, want)
		}
	}
}

func TestClassOfDoesNotAllocate(t *testing.T) {
	if got := testing.AllocsPerRun(100, func() { ClassOf("+12025550123") }); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"+12025550123", "(202) 555-0123", "tel:+44 (0)20", "12345", "0011", "＋1", "+(0)1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseNumber(s)
		if err != nil {
			if p.Number != "" {
				t.Errorf("%q: got %+v with an error", s, p)
			}
			return
		}
		again, err := ParseNumber(p.Number)
		if err != nil || again.Number != p.Number || again.Class != p.Class {
			t.Errorf("%q: got %s, which parses as %+v, %v", s, p.Number, again, err)
		}
		if p.Class == ShortCode {
			return
		}
		number, err := phonenumbers.Parse(p.Number, "")
		if err != nil || !phonenumbers.IsPossibleNumber(number) {
			t.Errorf("%q: accepted as %s, which libphonenumber calls impossible: %v", s, p.Number, err)
		}
	})
}

func BenchmarkClassOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ClassOf("+12025550123")
	}
}

func BenchmarkParseNumber(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseNumber("(202) 555-0123"); err != nil {
			b.Fatal(err)
		}
	}
}
