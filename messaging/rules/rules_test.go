package rules

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/messaging/geo"
	"github.com/signpost-sms/signpost/messaging/loop"
	"github.com/signpost-sms/signpost/messaging/media"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/quiet"
)

func TestSheetIsComplete(t *testing.T) {
	t.Parallel()
	sheet := Sheet(InForce{})
	ids := map[string]bool{}
	id, date := regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`), regexp.MustCompile(`^20\d\d-\d\d-\d\d$`)
	topics := []Topic{Consent, Quiet, Pace, Loop, Geo, Media, Datasets}
	count := map[Topic]int{}
	at := 0
	for _, e := range sheet {
		if ids[e.ID] {
			t.Errorf("%s is there twice", e.ID)
		}
		ids[e.ID] = true
		if !id.MatchString(e.ID) {
			t.Errorf("%q is no good id", e.ID)
		}
		if e.Text == "" || strings.ContainsAny(e.Text, "\n\t") || strings.TrimSpace(e.Text) != e.Text || e.Version == "" || e.Source == "" {
			t.Errorf("incomplete, or not one line: %+v", e)
		}
		if !date.MatchString(e.Date) && e.ID != "data.tz_database" {
			t.Errorf("%s: no date: %q", e.ID, e.Date)
		}
		for topics[at] != e.Topic {
			if at++; at == len(topics) {
				t.Fatalf("%s: the topic %s is out of order", e.ID, e.Topic)
			}
		}
		count[e.Topic]++
	}
	for _, topic := range topics {
		if count[topic] == 0 {
			t.Errorf("nothing about %s", topic)
		}
	}
	rows := consent.Rules()
	if want := len(rows.Rules) + len(rows.Practice); count[Consent] != want {
		t.Errorf("%d entries about consent, the package has %d", count[Consent], want)
	}
	for _, r := range loop.Rules() {
		if !ids[r.ID] {
			t.Errorf("%s is missing", r.ID)
		}
	}
}

func TestWhatIsInForce(t *testing.T) {
	t.Parallel()
	hours, err := quiet.New(quiet.Config{Preset: quiet.Strict})
	if err != nil {
		t.Fatal(err)
	}
	pacer, err := pace.New(pace.Limits{Budget: pace.Budget{Segments: 1234}}, pace.Alone{})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := geo.New([]string{"JM"})
	if err != nil {
		t.Fatal(err)
	}
	sheet := Sheet(InForce{hours, pacer, gate})
	for id, want := range map[string]string{
		"quiet.strict.us-fl":   "Florida: ",
		"budget.segments":      "1234 segments",
		"geography.configured": "also to Jamaica",
		"consent.fcc":          "stop, quit, end, revoke, opt out, cancel, unsubscribe: opt out at once",
		"consent.five-minutes": "five minutes",
		"quiet.exempt.consent": "at any time",
	} {
		if e, ok := sheet.Find(id); !ok || !strings.Contains(e.Text, want) {
			t.Errorf("%s: got %+v, want %q in it", id, e, want)
		}
	}
	if _, ok := sheet.Find("quiet.conservative"); ok {
		t.Error("a rule that is not in force is on the sheet")
	}
	if _, ok := Sheet(InForce{}).Find("quiet.conservative"); !ok {
		t.Error("the default preset is not on the default sheet")
	}
}

func TestUnder(t *testing.T) {
	t.Parallel()
	sheet := Sheet(InForce{})
	got := sheet.Under("loop")
	if len(got) == 0 {
		t.Fatal("nothing under loop")
	}
	for _, e := range got {
		if !strings.HasPrefix(e.ID, "loop.") {
			t.Errorf("%s is not under loop", e.ID)
		}
	}
	if got := sheet.Under("pace.10dlc"); len(got) != 1 {
		t.Errorf("got %d entries for one id", len(got))
	}
	if got := sheet.Under("pac"); len(got) != 0 {
		t.Errorf("half a word found %d entries", len(got))
	}
	if len(sheet) != len(Sheet(InForce{})) {
		t.Error("looking changed the sheet")
	}
}

// TestEveryVerdictIsOnTheSheet looks up the rule that a verdict of each kind names.
func TestEveryVerdictIsOnTheSheet(t *testing.T) {
	t.Parallel()
	sheet := Sheet(InForce{})
	gate, err := geo.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{
		gate.Ask("+12025550100", "+447700900123").Rule, gate.Ask("+12025550100", "74736").Rule,
		loop.New(loop.Config{Own: func(string) bool { return true }}).Reply(time.Unix(0, 0), loop.Conv{}, "x").Rule,
	} {
		if _, ok := sheet.Find(rule); !ok {
			t.Errorf("%q is not on the sheet", rule)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if seen[r.Name] || !name.MatchString(r.Name) || r.Text == "" {
			t.Errorf("twice, or not as it should be: %+v", r)
		}
		seen[r.Name] = true
	}
	want := []string{OptedOut, QuietHours, Expired, NotBefore, ConsentReview, geo.Geography, loop.Loop, loop.DuplicateContent, media.Reason}
	for _, r := range pace.Reasons() {
		want = append(want, string(r))
	}
	for _, w := range want {
		if !seen[w] {
			t.Errorf("%s is not documented", w)
		}
	}
	if len(want) != len(seen) {
		t.Errorf("%d reasons are documented, %d are given", len(seen), len(want))
	}
}
