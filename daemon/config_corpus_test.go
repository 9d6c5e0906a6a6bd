package daemon

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// credentials is the environment of a test that is about something else.
func credentials(more ...string) []string {
	return append([]string{"SIGNALWIRE_PROJECT_ID=p", "SIGNALWIRE_API_TOKEN=secret-token"}, more...)
}

// header reads the comment lines "# name: value" at the head of a file of the corpus.
func header(text []byte, name string) (values []string) {
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, "# ")
		if !ok {
			break
		}
		if value, ok := strings.CutPrefix(rest, name+": "); ok {
			values = append(values, strings.TrimRight(value, "\r\n"))
		}
	}
	return values
}

// corpusSource is the source of a file of the corpus.
func corpusSource(t *testing.T, path string) (Source, []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := credentials()
	if e := header(text, "env"); slices.Equal(e, []string{"none"}) {
		env = nil
	} else {
		env = append(env, e...)
	}
	return Source{Path: path, Environ: env}, text
}

// TestBadConfigs holds every file of the corpus against the findings that its head lists:
// "# expect: RULE LINE:COL". There may be neither fewer nor more.
func TestBadConfigs(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/config/bad/*.yaml")
	if err != nil || len(paths) < 40 {
		t.Fatalf("found %d bad configurations, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			t.Parallel()
			src, text := corpusSource(t, path)
			want := header(text, "expect")
			cfg, found := LoadConfig(src)
			var got []string
			for _, f := range found {
				if f.File != path {
					t.Errorf("%s: is not in the file", f)
				}
				got = append(got, fmt.Sprintf("%s %d:%d", f.Rule, f.Line, f.Column))
				if f.Mend == "" && f.Rule != "handler-options" && f.Rule != "bad-regexp" && f.Rule != "bad-value" {
					t.Errorf("%s: does not say how to mend it", f)
				}
				for _, private := range []string{"secret-token", "secret-jwt", "secret token", "555012", "555-012"} {
					if strings.Contains(f.String(), private) {
						t.Errorf("%s: gives away %q", f, private)
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q:\n%s", got, want, found)
			}
			if (cfg == nil) != found.Unusable() {
				t.Errorf("configuration is nil: %v, unusable: %v", cfg == nil, found.Unusable())
			}
			if found.ExitCode() == ExitOK && !slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == SeverityWarning }) {
				t.Error("nothing is wrong with it")
			}
		})
	}
}

func TestGoodConfigs(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/config/good/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d good configurations, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			t.Parallel()
			src, _ := corpusSource(t, path)
			cfg, found := LoadConfig(src)
			if cfg == nil || len(found) > 0 {
				t.Errorf("got findings:\n%s", found)
			}
		})
	}
}

// FuzzLoadConfig: whatever the text, loading neither panics nor reports a place outside of it.
func FuzzLoadConfig(f *testing.F) {
	for _, pattern := range []string{"testdata/config/*/*.yaml", "../config.example.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("a: 1\rb: 2\n"))
	f.Add([]byte("\ufeffbrand: \u2028x\u0085: [\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		none := func(name string) (fs.File, error) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		src := Source{Path: "fuzz.yaml", Text: slices.Concat([]byte{}, text), Environ: credentials("SHOP=x"), Open: none}
		if src.Text == nil {
			src.Text = []byte{}
		}
		cfg, found := LoadConfig(src)
		if (cfg == nil) != found.Unusable() {
			t.Fatalf("configuration is nil: %v, with findings:\n%s", cfg == nil, found)
		}
		lines := strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n")
		for _, finding := range found {
			if finding.File != "fuzz.yaml" || finding.Line < 1 || finding.Line > len(lines) ||
				finding.Column < 1 || finding.Column > len([]rune(lines[finding.Line-1]))+1 {
				t.Errorf("%s: not in a file of %d lines", finding, len(lines))
			}
			if strings.ContainsAny(finding.String(), "\n") {
				t.Errorf("%q: more than one line", finding)
			}
		}
		if cfg != nil {
			if again, _ := LoadConfig(src); again.Hash() != cfg.Hash() {
				t.Errorf("two loads, two hashes")
			}
		}
	})
}
