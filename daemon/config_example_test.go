package daemon

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"

	"github.com/signpost-sms/signpost/messaging"
)

const examplePath = "../config.example.yaml"

// The example is what people start from: it must be clean wherever it is loaded, and without
// any environment the only remarks are that its credentials are placeholders.
func TestExampleIsClean(t *testing.T) {
	t.Parallel()
	bare := Check(Source{Path: examplePath})
	if bare.ExitCode() != ExitOK {
		t.Errorf("exit code %d:\n%s", bare.ExitCode(), bare)
	}
	for _, f := range bare {
		if f.Rule != "placeholder" && f.Rule != "unnamed-help" {
			t.Errorf("%s", f)
		}
	}
	if len(bare) != 3 {
		t.Errorf("got %d remarks on the placeholders and on HELP, want 3:\n%s", len(bare), bare)
	}
	if found := Check(Source{Path: examplePath, Environ: credentials("SIGNPOST_BRAND=Corner Shop", "SIGNPOST_CONSENT_CONTACT=call 555-0100")}); len(found) > 0 {
		t.Errorf("with credentials:\n%s", found)
	}
}

// scalarsIn lists every key of a YAML mapping with a single value or an empty list.
func scalarsIn(n *yaml.Node, prefix string, into map[string]string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := join(prefix, n.Content[i].Value), n.Content[i+1]
		switch v.Kind {
		case yaml.MappingNode:
			scalarsIn(v, key, into)
		case yaml.ScalarNode:
			into[key] = v.Value
		}
	}
}

// TestExampleListsEveryKeyWithItsDefault goes both ways: nothing is left out, and nothing in
// it differs from what the daemon does without it.
func TestExampleListsEveryKeyWithItsDefault(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Load(text, &doc); err != nil {
		t.Fatal(err)
	}
	written := make(map[string]string)
	scalarsIn(doc.Content[0], "", written)
	defaults := DefaultConfig()
	for _, k := range keys() {
		got, ok := written[k.path]
		if !ok {
			t.Errorf("%s is not in the example", k.path)
			continue
		}
		want, _ := fieldAt(reflect.ValueOf(&defaults).Elem(), k.path)
		if k.path == "signalwire.project" || k.path == "signalwire.token" {
			if !strings.HasPrefix(got, "${SIGNALWIRE_") || !strings.Contains(got, ":-") {
				t.Errorf("%s: %q does not load anywhere", k.path, got)
			}
			continue
		}
		v := reflect.New(k.kind).Elem()
		if p := setText(v, got); p != nil || !v.Equal(want) {
			t.Errorf("%s: %s in the example, %v by default", k.path, got, want)
		}
	}
	for _, list := range []string{
		"templates:", "contexts:", "    handlers:", "    states:", "  numbers: []", "  campaigns: []", "  caps:", "  countries: []", "  states: {}", "  allow: []",
	} {
		if !slices.Contains(strings.Split(string(text), "\n"), list) {
			t.Errorf("the example does not show %q", strings.TrimSpace(list))
		}
	}
	example, found := LoadConfig(Source{Path: examplePath, Environ: credentials()})
	if example == nil {
		t.Fatal(found)
	}
	if diff := cmp.Diff(defaults.policy(), example.policy(), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("the rules by default, and of the example (-default +example):\n%s", diff)
	}
	// What takes effect on reload is marked, and nothing else.
	for _, k := range keys() {
		if marked := marked(string(text), k.path); marked != k.reload {
			t.Errorf("%s is marked [reload]: %v", k.path, marked)
		}
	}
	for _, list := range []string{"templates", "contexts", "sending.numbers", "sending.campaigns", "sending.caps", "sending.countries", "quiet_hours.states"} {
		if !marked(string(text), list) {
			t.Errorf("%s is not marked [reload]", list)
		}
	}
}

// marked reports whether the comment above the key in the example ends in [reload].
func marked(text, key string) bool {
	lines := strings.Split(text, "\n")
	at, depth := 0, strings.Count(key, ".")
	for i, part := range strings.Split(key, ".") {
		for !strings.HasPrefix(lines[at], strings.Repeat("  ", i)+part+":") {
			if at++; at == len(lines) {
				return false
			}
		}
		if i == depth {
			return at > 0 && strings.HasPrefix(strings.TrimSpace(lines[at-1]), "#") && strings.HasSuffix(lines[at-1], "[reload]")
		}
	}
	return false
}

// Every handler that the documentation of the built-ins gives as an example works.
func TestExamplesOfBuiltins(t *testing.T) {
	t.Parallel()
	reg := registryOf(nil)
	if len(reg.entries) < 5 {
		t.Fatalf("only %d handlers", len(reg.entries))
	}
	for name, example := range builtinExamples() {
		chain := "handlers"
		text := "contexts:\n  support:\n    handlers:\n      - reply: a\n"
		if slices.Contains(reg.names(messaging.KindState), name) && !slices.Contains(reg.names(messaging.KindMessage), name) {
			chain = "states"
			text += "    states:\n"
		}
		if name == "template" || name == "menu" {
			text = "brand: Acme\ntemplates:\n  welcome: {text: \"Welcome to {{.shop}}.\"}\n  hours: {text: We're open.}\n" + text
		}
		text += "      - " + strings.ReplaceAll(example, "\n", "\n        ") + "\n"
		if _, found := load(t, text); len(found) > 0 {
			t.Errorf("%s, among the %s: %s:\n%s", name, chain, found, text)
		}
	}
}
