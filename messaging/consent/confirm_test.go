package consent

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	stop, start := Verdict{Kind: Stop}, Verdict{Kind: Start}
	for _, tt := range []struct {
		name string
		o    Occasion
		want Reason
		send bool
	}{
		{"first stop", Occasion{Verdict: stop}, Confirmed, true},
		{"wrong number", Occasion{Verdict: Verdict{Kind: Stop, WrongNumber: true}}, Confirmed, true},
		{"exactly five minutes old", Occasion{Verdict: stop, Age: 5 * time.Minute}, Confirmed, true},
		{"older than five minutes", Occasion{Verdict: stop, Age: 5*time.Minute + 1}, TooLate, false},
		{"toll-free", Occasion{Verdict: stop, TollFree: true}, NetworkConfirms, false},
		{"repeated", Occasion{Verdict: stop, OptedOut: true, SinceLast: 48 * time.Hour}, Repeated, false},
		{"repeated, silent by name", Occasion{Verdict: stop, OptedOut: true, Repeat: RepeatSilent, SinceLast: -1}, Repeated, false},
		{"repeated within a day", Occasion{Verdict: stop, OptedOut: true, Repeat: RepeatDaily, SinceLast: 24*time.Hour - 1}, Repeated, false},
		{"repeated after a day", Occasion{Verdict: stop, OptedOut: true, Repeat: RepeatDaily, SinceLast: 24 * time.Hour}, Confirmed, true},
		{"repeated, never confirmed", Occasion{Verdict: stop, OptedOut: true, Repeat: RepeatDaily, SinceLast: -1}, Confirmed, true},
		{"repeated after a day, late", Occasion{Verdict: stop, OptedOut: true, Repeat: RepeatDaily, SinceLast: -1, Age: time.Hour}, TooLate, false},
		{"start", Occasion{Verdict: start, OptedOut: true}, Confirmed, true},
		{"late start", Occasion{Verdict: start, OptedOut: true, Age: time.Hour}, Confirmed, true},
		{"start on toll-free", Occasion{Verdict: start, OptedOut: true, TollFree: true}, NetworkConfirms, false},
		{"start of somebody who is in", Occasion{Verdict: start}, NothingToConfirm, false},
		{"help", Occasion{Verdict: Verdict{Kind: Help}}, SeeHelpDue, false},
		{"review", Occasion{Verdict: Verdict{Kind: Review}}, NothingToConfirm, false},
		{"nothing", Occasion{}, NothingToConfirm, false},
	} {
		if send, why := Confirm(tt.o); send != tt.send || why != tt.want {
			t.Errorf("%s: got %v, %q, want %v, %q", tt.name, send, why, tt.send, tt.want)
		}
	}
}

func TestHelpDue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sent  int
		since time.Duration
		want  bool
	}{
		{0, 0, true}, {1, time.Second, true}, {2, time.Second, false}, {2, 24*time.Hour - 1, false}, {2, 24 * time.Hour, true}, {99, 25 * time.Hour, true},
	} {
		if got := HelpDue(tt.sent, tt.since); got != tt.want {
			t.Errorf("after %d, the last %v ago: got %v, want %v", tt.sent, tt.since, got, tt.want)
		}
	}
}

// gsm is the basic alphabet of GSM 03.38 as far as our texts use it.
const gsm = "@£$¥èéùìòÇ\nØø\rÅåÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

func TestWordingSaysWhatItMust(t *testing.T) {
	t.Parallel()
	brand, contact := strings.Repeat("B", 32), strings.Repeat("9", 32)
	for _, lang := range []Language{English, Spanish, French, "xx"} {
		texts := Wording(brand, contact, lang)
		for kind, text := range map[string]string{"stop": texts.Stop, "wrong number": texts.WrongNumber, "start": texts.Start, "help": texts.Help} {
			if !strings.HasPrefix(text, brand+": ") {
				t.Errorf("%s %s: got %q, want it to name the brand first", lang, kind, text)
			}
			if n := utf8.RuneCountInString(text); n > 160 {
				t.Errorf("%s %s: got %d characters, want one segment: %q", lang, kind, n, text)
			}
			if i := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(gsm, r) }); i >= 0 {
				t.Errorf("%s %s: got %q, which needs UCS-2 for %q", lang, kind, text, text[i:])
			}
		}
		for kind, text := range map[string]string{"stop": texts.Stop, "wrong number": texts.WrongNumber} {
			if !strings.Contains(text, "START") {
				t.Errorf("%s %s: got %q, want it to say how to return", lang, kind, text)
			}
		}
		for _, word := range []string{"HELP", "STOP"} {
			if !strings.Contains(texts.Start, word) {
				t.Errorf("%s start: got %q, want it to name %s", lang, texts.Start, word)
			}
		}
		if strings.Contains(strings.ToLower(texts.WrongNumber), "subscri") {
			t.Errorf("%s wrong number: got %q, want no word of a subscription", lang, texts.WrongNumber)
		}
		if !strings.Contains(texts.Help, contact) || !strings.Contains(texts.Help, "STOP") {
			t.Errorf("%s help: got %q, want contact and STOP", lang, texts.Help)
		}
		// Nobody who quotes our texts back may be opted out or in by that.
		for _, text := range []string{texts.Stop, texts.WrongNumber, texts.Start, texts.Help} {
			if v := Classify(text, State{}); v.Kind == Stop || v.Kind == Start {
				t.Errorf("%s: our own text %q is taken for %s", lang, text, v.Kind)
			}
		}
	}
	if got := Wording("", "", English).Stop; strings.HasPrefix(got, ":") || strings.HasPrefix(got, " ") {
		t.Errorf("without a brand: got %q, want the sentence alone", got)
	}
}

func TestTextsFor(t *testing.T) {
	t.Parallel()
	texts := Texts{Stop: "s", WrongNumber: "w", Start: "b", Help: "h"}
	for text, want := range map[string]string{"stop": "s", "wrong number": "w", "start": "b", "help": "h", "hello": "", "please stop by": ""} {
		if got := texts.For(Classify(text, State{})); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
