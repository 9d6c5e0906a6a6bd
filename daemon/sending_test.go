package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
)

// A reload puts changed limits into force, and forgets nothing that was counted.
func TestReloadChangesTheRulesOfSending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		space := newSpace(t)
		next := simConfig(space.URL())
		r := startDaemon(t, space, serving("support"), WithReload(func() (Config, error) { return next, nil }))
		r.waitReady()
		r.text("support", "one")
		r.expectReply("support: one")
		counted := r.policy.Export(time.Now())
		if len(counted) == 0 {
			t.Fatal("the reply was not counted")
		}

		next.Sending.Budget.Messages = 2
		next.Sending.Numbers = []NumberConfig{{Number: "+12025550177"}}
		got, err := r.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Restart) > 0 {
			t.Errorf("wait for a restart: %q", got.Restart)
		}
		if diff := cmp.Diff(counted, r.policy.Export(time.Now())); diff != "" {
			t.Errorf("counted (-before +after the reload):\n%s", diff)
		}
		r.text("support", "two")
		r.expectReply("support: two")
		r.text("support", "three") // beyond the budget
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.replies(); slices.Contains(got, "support: three") {
			t.Errorf("the new budget is not in force: %q", got)
		}

		next.Sending.Budget.Messages = 0
		next.QuietHours.Preset = "no such"
		if _, err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "rules of sending") {
			t.Errorf("unusable rules: %v", err)
		}
		if _, ok := r.policy.Sheet().Find("budget.messages"); !ok {
			t.Error("a failed reload changed the rules")
		}
		r.stop()
		<-r.ended
	})
}

// What was counted outlives the process, in a file that only its owner reads.
func TestCountersFile(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Store = StoreURL("sqlite://" + filepath.Join(t.TempDir(), "signpost.db"))
	path := countersPath(&cfg)
	var log logBuffer
	open := func() *counterFile {
		p, err := policy.New(cfg.policy())
		if err != nil {
			t.Fatal(err)
		}
		return &counterFile{path: path, policy: p, log: slog.New(slog.NewTextHandler(&log, nil))}
	}
	f := open()
	f.load() // there is none
	f.save()
	want := []pace.Counter{{Scope: pace.ScopeFrequency, Key: "marketing/24h0m0s/" + person, Start: time.Now().Add(-time.Hour).Truncate(time.Second), N: 1}}
	f.policy.Import(time.Now(), want)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.run(ctx)
	f.save()

	next := open()
	next.load()
	if diff := cmp.Diff(want, next.policy.Export(time.Now())); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want mode 0600", info.Mode(), err)
	}
	before, _ := os.Stat(path)
	f.save()
	if after, _ := os.Stat(path); !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
		t.Error("written again although nothing changed")
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if log.String() != "" {
		t.Errorf("logged: %s", &log)
	}

	for _, damaged := range []string{"", "{", `{"version":2}`, `{"version":1,"counters":[{"Start":"` + person + `"}]}`} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		open().load()
	}
	if n := strings.Count(log.String(), "counting begins anew"); n != 4 || strings.Contains(log.String(), person) {
		t.Errorf("damaged files, %d of 4 logged:\n%s", n, &log)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	f.policy.Import(time.Now(), want)
	f.save()
	f.save()
	if n := strings.Count(log.String(), "cannot be saved"); n != 1 {
		t.Errorf("a failure was logged %d times, want once:\n%s", n, &log)
	}
}

func TestCountersPath(t *testing.T) {
	t.Parallel()
	for store, want := range map[StoreURL]string{
		"sqlite:///var/lib/signpost/signpost.db": "/var/lib/signpost/signpost.db.limits", "sqlite:x.db": "x.db.limits",
		"memory:": "", "postgres://h/n": "", "sqlite:": "",
	} {
		if got := countersPath(&Config{Store: store}); got != want {
			t.Errorf("%s: got %q, want %q", store, got, want)
		}
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	for text, want := range map[Rate]pace.Rate{
		"4/s": {Segments: 4, Per: time.Second}, "75/m": {Segments: 75, Per: time.Minute}, "10/5s": {Segments: 10, Per: 5 * time.Second},
		"1/h": {Segments: 1, Per: time.Hour}, "3/250ms": {Segments: 3, Per: 250 * time.Millisecond}, "none": {},
	} {
		got, err := text.parse()
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
		if back := rateOf(got); back != text {
			t.Errorf("%s is written as %s", text, back)
		}
	}
	for _, text := range []Rate{"4", "4/", "/s", "0/s", "-1/s", "4/sm", "4/0s", "4/x", "x/s", "4/s/s", "4/-1s"} {
		if got, err := text.parse(); err == nil {
			t.Errorf("%s: got %v", text, got)
		}
	}
}

func FuzzRate(f *testing.F) {
	for _, text := range []string{"4/s", "75/m", "10/5s", "none", "1/1d", "9999999999999999999/s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Rate(text).parse()
		if err != nil {
			return
		}
		if back, err := rateOf(r).parse(); err != nil || back != r {
			t.Errorf("%q is %v, written as %q it is %v, %v", text, r, rateOf(r), back, err)
		}
	})
}

// The default configuration is the default sheet.
func TestDefaultsAreThoseOfTheRules(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	ours, err := policy.New(cfg.policy())
	if err != nil {
		t.Fatal(err)
	}
	bare, err := policy.New(policy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bare.Sheet(), ours.Sheet()); diff != "" {
		t.Errorf("the rules (-of the packages +of the configuration):\n%s", diff)
	}
}

func TestNumbersAndCampaigns(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, oneContext+`
sending:
  numbers:
    - {number: "+12025550101", class: tollfree}
    - {number: "+12025550102", campaign: C1}
  campaigns: [{id: C1, brand: B1, tier: e, daily: -1, rate: 240/m, numbers: ["+12025550103"]}]
  caps: []
  duplicates: {window: 0s}
`)
	got := cfg.policy()
	want := []pace.Campaign{{
		ID: "C1", Brand: "B1", Tier: "E", Daily: -1, Rate: pace.Rate{Segments: 240, Per: time.Minute}, Numbers: []string{"+12025550102", "+12025550103"},
	}}
	if diff := cmp.Diff(want, got.Limits.Campaigns); diff != "" {
		t.Errorf("campaigns (-want +got):\n%s", diff)
	}
	for _, n := range []messaging.Number{"+12025550101", "+12025550102", "+12025550103"} {
		if _, ok := got.Numbers[n]; !ok {
			t.Errorf("%s is not known as ours", n)
		}
	}
	if got.Numbers["+12025550101"] != "tollfree" || got.Limits.Caps == nil || len(got.Limits.Caps) != 0 || got.Duplicates >= 0 {
		t.Errorf("got %+v", got)
	}
}
