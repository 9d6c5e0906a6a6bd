package daemon

import (
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v4"
)

// alertFile is a file of Prometheus rules, as far as ours go.
type alertFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// registered lists the metrics that a daemon registers, with their labels, whether or not
// they have a value yet.
func registered(t *testing.T) map[string][]string {
	t.Helper()
	d, err := New(simConfig("ws://relay.test/"), serving("support"), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.life.stop() })
	ch := make(chan *prometheus.Desc)
	go func() { defer close(ch); d.reg.Describe(ch) }()
	desc := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	found := map[string][]string{}
	for m := range ch {
		if p := desc.FindStringSubmatch(m.String()); p != nil {
			found[p[1]] = strings.FieldsFunc(p[2], func(r rune) bool { return r == ',' })
		}
	}
	return found
}

var (
	metricIn   = regexp.MustCompile(`\b((?:signpost|process)_[a-z_]+)(?:\{([^}]*)\})?`)
	groupingIn = regexp.MustCompile(`by \(([^)]*)\)`)
	labelIn    = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
)

// TestAlerts holds every rule against what the daemon really registers, so that a metric
// cannot be renamed without its alert.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file alertFile
	if err := yaml.Load(text, &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	metrics := registered(t)
	if len(metrics) < 40 {
		t.Fatalf("only %d metrics are registered", len(metrics))
	}
	used := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			for _, name := range []string{"summary", "description", "action"} {
				if r.Annotations[name] == "" {
					t.Errorf("%s has no %s", r.Alert, name)
				}
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
			if r.For != "" {
				if _, err := parseDuration(r.For); err != nil {
					t.Errorf("%s: for: %s", r.Alert, r.For)
				}
			}
			if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
				t.Errorf("%s: the brackets of %s do not match", r.Alert, r.Expr)
			}
			var labels []string
			found := metricIn.FindAllStringSubmatch(r.Expr, -1)
			for _, m := range found {
				name := m[1]
				if _, ok := metrics[name]; !ok {
					name = strings.TrimSuffix(name, "_bucket")
				}
				of, ok := metrics[name]
				if !ok {
					t.Errorf("%s: the daemon registers no %s", r.Alert, m[1])
				}
				used[name] = true
				labels = append(labels, of...)
				for _, l := range labelIn.FindAllStringSubmatch(m[2], -1) {
					if !slices.Contains(of, l[1]) {
						t.Errorf("%s: %s has no label %s", r.Alert, name, l[1])
					}
				}
			}
			if len(found) == 0 {
				t.Errorf("%s is about no metric: %s", r.Alert, r.Expr)
			}
			for _, by := range groupingIn.FindAllStringSubmatch(r.Expr, -1) {
				for _, l := range strings.Split(by[1], ", ") {
					if l != "instance" && l != "job" && l != "le" && !slices.Contains(labels, l) {
						t.Errorf("%s: grouped by %s, which nothing in it has", r.Alert, l)
					}
				}
			}
		}
	}
	for _, name := range []string{
		"signpost_unaccounted_messages", "signpost_in_doubt", "signpost_dead_letters_total", "signpost_session_state", "signpost_session_deaf_seconds_total",
		"signpost_journal_commit_seconds", "signpost_journal_writable", "signpost_outbox_oldest_age_seconds", "signpost_config_last_reload_successful",
		"signpost_stop_latency_seconds", "signpost_consent_review_items", "signpost_consent_changes_total",
	} {
		if !used[name] {
			t.Errorf("there is no alert on %s", name)
		}
	}
}
