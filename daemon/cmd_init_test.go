package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// testWithin is how long the tests of a new project may take, for somebody who has built
// signpost itself before.
const testWithin = time.Minute

// A new project, as its README says: tested, built, and answering with its own handler.
func TestInitMakesAProjectThatAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shop := filepath.Join(dir, "shop")
	tool := func(in string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOPROXY=off", "GOWORK=off") // nothing is fetched
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	tool(root, "build", "-o", os.DevNull, "./cmd/signpost") // who has the command has built it

	if code, out := command(t, dir, "init", "shop", "--replace", root); code != ExitOK || !strings.Contains(out, "cd shop") {
		t.Fatalf("init: exit code %d:\n%s", code, out)
	}
	began := time.Now()
	if out := tool(shop, "test", "./..."); !strings.Contains(out, "ok ") {
		t.Errorf("go test: %s", out)
	}
	if took := time.Since(began); took > testWithin {
		t.Errorf("its tests took %s, want at most %s", took, testWithin)
	}
	tool(shop, "vet", "./...")
	tool(shop, "build", "-o", "shop", ".")

	space := socketSpace(t)
	p := launch(t, space, filepath.Join(shop, "shop"), "run", "--config", filepath.Join(shop, "signpost.yaml"))
	p.expect(`"msg":"ready"`)
	if _, err := space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: "support", Body: "order 77"}, relaytest.Target{}); err != nil {
		t.Fatal(err)
	}
	expectText(t, space, "Order 77 is on its way and arrives within 3 days.")
	p.signal(syscall.SIGTERM)
	if code, said := p.exit(); code != ExitOK {
		t.Errorf("the daemon of the project: exit code %d:\n%s", code, said)
	}

	if code, out := command(t, dir, "init", "shop", "--replace", root); code != ExitFindings || !strings.Contains(out, "nothing was written") {
		t.Errorf("init over a project: exit code %d:\n%s", code, out)
	}
}

func TestInitSaysWhatToDoWhenNothingCanBeFetched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "signpost", "init", "shop")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != ExitUnavailable || !strings.Contains(string(out), "--replace PATH") || !strings.Contains(string(out), "go mod edit") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "shop", "main.go")); err != nil {
		t.Errorf("the project is not written: %v", err)
	}
}
