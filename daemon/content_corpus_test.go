package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/signpost-sms/signpost/messaging"
)

// contentHandlers are handlers of the corpus, with the texts and words that those of
// businesses have: reminders, and the messages of a campaign.
func contentHandlers() []Option {
	type remind struct {
		Question string   `yaml:"question"`
		Reminder string   `yaml:"reminder"`
		Answers  []string `yaml:"answers"`
	}
	type campaign struct {
		Template     string `yaml:"template"`
		Notification string `yaml:"notification"`
		Marketing    string `yaml:"marketing"`
		Help         string `yaml:"help_message"`
		OptOut       string `yaml:"opt_out_message"`
		OptIn        string `yaml:"opt_in_message"`
	}
	return []Option{
		Middleware("remind", func(remind) (messaging.Middleware, error) { return passOn, nil }),
		Middleware("campaign", func(campaign) (messaging.Middleware, error) { return passOn, nil }),
	}
}

func passOn(next messaging.Handler) messaging.Handler { return next }

// content gives the configurations of the corpus whose files match.
func content(t *testing.T, pattern string, least int) []txtar.File {
	t.Helper()
	paths, err := filepath.Glob("testdata/content/" + pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all []txtar.File
	names := make(map[string]bool)
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			f.Name = strings.TrimSuffix(filepath.Base(path), ".txtar") + "/" + f.Name
			if names[f.Name] {
				t.Errorf("%s is there twice", f.Name)
			}
			names[f.Name] = true
			all = append(all, f)
		}
	}
	if len(all) < least {
		t.Errorf("%s: %d configurations, want at least %d", pattern, len(all), least)
	}
	return all
}

// judged loads a configuration of the corpus, which has to be usable.
func judged(t *testing.T, f txtar.File) Findings {
	t.Helper()
	cfg, found := LoadConfig(Source{Path: f.Name, Text: f.Data, Environ: credentials()}, contentHandlers()...)
	if cfg == nil {
		t.Errorf("unusable:\n%s", found)
	}
	return found
}

// falseAlarms is how many of the good configurations may be blamed.
const falseAlarms = 2

func TestGoodContent(t *testing.T) {
	t.Parallel()
	all, blamed := content(t, "good-*.txtar", 200), 0
	for _, f := range all {
		if found := judged(t, f); len(found) > 0 {
			blamed++
			t.Logf("false alarm:\n%s", found)
		}
	}
	t.Logf("%d false alarms in %d good configurations", blamed, len(all))
	if blamed > falseAlarms {
		t.Errorf("%d false alarms, want at most %d", blamed, falseAlarms)
	}
}

// TestBadContent holds every bad configuration against the rules that its notes name, each at
// its line. There may be neither fewer nor more.
func TestBadContent(t *testing.T) {
	t.Parallel()
	for _, f := range content(t, "bad-*.txtar", 200) {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			var got []string
			found := judged(t, f)
			for _, x := range found {
				got = append(got, fmt.Sprintf("%d %s", x.Line, x.Rule))
				if x.Mend == "" || strings.Contains(x.String(), "\n") {
					t.Errorf("%s: does not say how to mend it, or is more than one line", x)
				}
			}
			want := wanted(t, string(f.Data))
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q:\n%s", got, want, found)
			}
		})
	}
}

// wanted reads the notes of a bad configuration: "want: RULE ..." in a comment is about its own
// line, "want+N: RULE ..." about the line N below.
func wanted(t *testing.T, text string) (want []string) {
	t.Helper()
	line := 0
	for l := range strings.Lines(text) {
		line++
		_, note, ok := strings.Cut(l, "# want")
		if !ok {
			continue
		}
		below, rules, _ := strings.Cut(note, ":")
		n := 0
		if below != "" {
			var err error
			if n, err = strconv.Atoi(below); err != nil {
				t.Fatalf("line %d: %v", line, err)
			}
		}
		for rule := range strings.FieldsSeq(rules) {
			want = append(want, fmt.Sprintf("%d %s", line+n, rule))
		}
	}
	if len(want) == 0 {
		t.Error("nothing is wanted")
	}
	slices.Sort(want)
	return want
}
