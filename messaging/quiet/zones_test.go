package quiet

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The provinces that stopped changing their clocks in 2026 tell an embedded database from
// the machine's: Go 1.26 and many machines still put them an hour off.
func TestZonesAreTheEmbeddedOnes(t *testing.T) {
	t.Parallel()
	if got := ZoneVersion(); got < "2026f" {
		t.Errorf("tz database %s is older than 2026f", got)
	}
	winter := time.Date(2026, time.December, 1, 12, 0, 0, 0, time.UTC)
	for zone, want := range map[string]int{
		"America/Vancouver": -7, "America/Edmonton": -6, "America/Yellowknife": -6, "America/Winnipeg": -5,
		"America/New_York": -5, "US/Eastern": -5, "America/Los_Angeles": -8, "Pacific/Honolulu": -10, "America/Phoenix": -7,
	} {
		if got := offset(t, zone, winter); got != want*3600 {
			t.Errorf("%s in the winter of 2026: got %d s from UTC, want %d h", zone, got, want)
		}
	}
	for name := range zones().bodies {
		if zones().location(name) == nil {
			t.Errorf("%s cannot be read", name)
		}
	}
	for _, name := range []string{"", "Local", "America/Atlantis", "../../etc/passwd"} {
		if loc, err := Location(name); err == nil {
			t.Errorf("zone %q: got %v, want an error", name, loc)
		}
	}
}

// A machine without zoneinfo, or with an old one, must come to the same verdicts.
func TestNothingAsksTheMachine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "mkzones.go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		read++
		for _, imp := range f.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if slices.Contains([]string{"os", "io/fs", "net", "net/http", "syscall"}, path) || strings.Contains(path, ".") {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"LoadLocation", "Local", "Now"}, sel.Sel.Name) {
				t.Errorf("%s uses %s", name, sel.Sel.Name)
			}
			return true
		})
	}
	if read < 5 {
		t.Errorf("only %d files were read", read)
	}
}
