package scaffold

import (
	"bytes"
	"errors"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, o Options) *Project {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, p *Project, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProjectIsWhole(t *testing.T) {
	t.Parallel()
	p := write(t, Options{Dir: filepath.Join(t.TempDir(), "Corner_Shop"), Context: "orders"})
	if p.Name != "corner-shop" || p.Brand != "Corner Shop" {
		t.Errorf("name %q, brand %q", p.Name, p.Brand)
	}
	for _, name := range p.Files() {
		text := read(t, p, name)
		if strings.Contains(text, "[[") || strings.Contains(text, "<no value>") {
			t.Errorf("%s has something of its template left:\n%s", name, text)
		}
		if strings.HasSuffix(name, ".go") {
			if tidy, err := format.Source([]byte(text)); err != nil || !bytes.Equal(tidy, []byte(text)) {
				t.Errorf("%s is not as gofmt writes it: %v", name, err)
			}
		}
	}
	for _, want := range []string{"main.go", "signpost.yaml", "Dockerfile", ".gitignore", ".dockerignore", "README.md", "go.mod", "deploy/corner-shop.service", "deploy/kubernetes.yaml"} {
		if !slices.Contains(p.Files(), want) {
			t.Errorf("there is no %s", want)
		}
	}
	if n := strings.Count(read(t, p, "main.go"), "\n"); n >= 40 {
		t.Errorf("main.go has %d lines, want fewer than 40", n)
	}
	if !strings.Contains(read(t, p, "signpost.yaml"), "\n  orders: ") {
		t.Error("the context is not that of the option")
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// The last of the files is there, as a link to nowhere: no file may come before the look.
	if err := os.Symlink("nowhere", filepath.Join(dir, "signpost.yaml")); err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var exist *ExistError
	if err := p.Write(); !errors.As(err, &exist) || len(exist.Paths) != 1 || !strings.HasSuffix(exist.Paths[0], "signpost.yaml") {
		t.Errorf("got %v, want that signpost.yaml is there", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("there are %d files, %v; want the one that was there", len(entries), err)
	}
}

func TestNamesAreJudged(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		"--name, of small letters": {Dir: "my shop"},
		"--name \"9\"":             {Dir: "x", Name: "9"},
		"something else":           {Dir: "signpost"},
		"--module \"a b\"":         {Dir: "x", Path: "a b"},
		"--module \"../x\"":        {Dir: "x", Path: "../x"},
		"Signpost itself":          {Dir: "x", Path: Module},
		"--context":                {Dir: "x", Context: "a: b"},
		"--replace":                {Dir: "x", Replace: "nowhere"},
		"and not " + Module:        {Dir: "x", Replace: "testdata/other"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}

func TestReplaceTakesWhatTheSourceNeeds(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	p := write(t, Options{Dir: filepath.Join(t.TempDir(), "shop"), Replace: root, Path: "example.com/shop"})
	mod := read(t, p, "go.mod")
	for _, want := range []string{"module example.com/shop\n", "replace " + Module + " => " + root + "\n", "github.com/spf13/cobra v"} {
		if !strings.Contains(mod, want) {
			t.Errorf("go.mod lacks %q:\n%s", want, mod)
		}
	}
	if !strings.Contains(read(t, p, "go.sum"), "github.com/spf13/cobra v") {
		t.Error("go.sum is not that of the source")
	}
	if !strings.Contains(read(t, p, "README.md"), "go mod vendor") {
		t.Error("the README does not tell of the replaced module")
	}
}

func TestRelativeReplaceStaysRelative(t *testing.T) {
	t.Parallel()
	p := &Project{Options: Options{Dir: "/home/ann/bots/shop", Replace: "x"}}
	source, target, err := p.source()
	if err != nil || !filepath.IsAbs(source) || !strings.HasPrefix(target, "../../../../") {
		t.Errorf("got %q, %q, %v", source, target, err)
	}
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	got := requirements([]byte("module m\n\nrequire a/b v1.0.0 // indirect\n\nrequire (\n\tc v2.0.0\n\t// none\n\td v3.0.0 // indirect\n)\n\nreplace c v2.0.0 => ../c\n"))
	if want := []string{"a/b v1.0.0", "c v2.0.0", "d v3.0.0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnitIsValid(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	p := write(t, Options{Dir: filepath.Join(t.TempDir(), "shop")})
	// The program is not installed, and verify looks for it.
	unit := strings.Replace(read(t, p, "deploy/shop.service"), "/usr/local/bin/shop", "/bin/true", 1)
	verify := func(text string) string {
		path := filepath.Join(t.TempDir(), "shop.service")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), tool, "verify", "--man=no", path).CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return string(out)
	}
	if out := verify(unit); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	if out := verify(strings.Replace(unit, "WatchdogSec=", "WatchdogSecs=", 1)); out == "" {
		t.Error("systemd-analyze verify finds nothing wrong in a wrong unit")
	}
}
