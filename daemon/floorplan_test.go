package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const modulePath = "github.com/signpost-sms/signpost"

// floors is the plan of the house: imports go down, never up, never sideways on one floor.
// A new package needs a line here, which is the moment to think about where it belongs.
var floors = map[string]int{
	"cmd/signpost":            5,
	"daemon":                  4,
	"daemon/api":              3,
	"daemon/console":          3,
	"handlers":                2,
	"contexts":                2,
	"messaging/memory":        2,
	"messaging/sqlite":        2,
	"messaging/postgres":      2,
	"messaging/messagingtest": 2,
	"messaging/policy":        2,
	"messaging/otp":           2,
	"messaging":               1,
	"messaging/sms":           0,
	"messaging/consent":       0,
	"messaging/quiet":         0,
	"messaging/pace":          0,
	"messaging/geo":           0,
	"messaging/loop":          0,
	"messaging/media":         0,
	"messaging/mediafetch":    1,
	"messaging/rules":         1,
	"messaging/lint":          1,
	"messaging/texts":         1,
	"messaging/rest":          0,
	"relay":                   0,
	"relay/relaytest":         0,

	"relay/relaytest/jssdk/simulator": 5, // a program, as cmd/signpost is
}

// listed is a package as go list describes it; its tests may import what they like.
type listed struct {
	ImportPath string
	Imports    []string
}

// arrows finds what is wrong with the imports of the packages.
func arrows(pkgs []listed) []string {
	var wrong []string
	for _, p := range pkgs {
		from := relative(p.ImportPath)
		floor, ok := floorOf(from)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s has no floor: give it one in the plan", from))
			continue
		}
		for _, imp := range p.Imports {
			if imp != modulePath && !strings.HasPrefix(imp, modulePath+"/") {
				continue
			}
			to := relative(imp)
			if inside(to, from) {
				continue
			}
			switch below, ok := floorOf(to); {
			case !ok:
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which has no floor", from, to))
			case below >= floor:
				wrong = append(wrong, fmt.Sprintf("%s (floor %d) imports %s (floor %d): imports go down only", from, floor, to, below))
			}
		}
	}
	return wrong
}

func relative(path string) string { return strings.TrimPrefix(path, modulePath+"/") }

// floorOf gives the floor of a package; an internal one lives on that of its owner, and
// every example on the roof.
func floorOf(pkg string) (int, bool) {
	if strings.HasPrefix(pkg, "examples/") {
		return 5, true
	}
	owner, _, _ := strings.Cut(pkg, "/internal/")
	floor, ok := floors[owner]
	return floor, ok
}

// inside reports whether pkg is an internal package of the one that imports it, or both are
// internal to the same owner.
func inside(pkg, importer string) bool {
	owner, _, internal := strings.Cut(pkg, "/internal/")
	from, _, _ := strings.Cut(importer, "/internal/")
	return internal && owner == from
}

func TestFloorPlan(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports", modulePath+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 5 {
		t.Fatalf("go list found only %d packages", len(pkgs))
	}
	for _, w := range arrows(pkgs) {
		t.Error(w)
	}
}

func TestFloorPlanSeesWrongArrows(t *testing.T) {
	t.Parallel()
	pkg := func(from, to string) listed {
		return listed{ImportPath: modulePath + "/" + from, Imports: []string{"fmt", modulePath + "/" + to}}
	}
	for name, tc := range map[string]struct {
		pkg   listed
		wrong bool
	}{
		"down":              {pkg("daemon", "relay"), false},
		"up":                {pkg("messaging", "contexts"), true},
		"sideways":          {pkg("handlers", "contexts"), true},
		"sideways at floor": {pkg("relay/relaytest", "relay"), true},
		"own internal":      {pkg("relay", "relay/internal/frame"), false},
		"unknown":           {pkg("util", "relay"), true},
		"to unknown":        {pkg("daemon", "util"), true},
	} {
		if got := arrows([]listed{tc.pkg}); (len(got) > 0) != tc.wrong {
			t.Errorf("%s: got %q, want an objection: %v", name, got, tc.wrong)
		}
	}
}
