package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/internal/scaffold"
)

// fetchWithin bounds the download of what a new project needs.
const fetchWithin = 5 * time.Minute

// initialized is what "signpost init --json" prints.
type initialized struct {
	Dir    string   `json:"dir"`
	Name   string   `json:"name"`
	Module string   `json:"module"`
	Files  []string `json:"files"`
}

func (c *cli) initCommand() *cobra.Command {
	var o scaffold.Options
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Begin a project of your own: a program, its configuration and tests",
		Long: `Begin a project of your own: a program with every command of signpost and a handler in Go
that its signpost.yaml uses by name, tests of both, and what it takes to run it under
Docker, systemd and Kubernetes. Nothing is overwritten.

The module ` + scaffold.Module + ` is fetched. Where it cannot be, because it is
not published or there is no network, --replace names a folder with its source.
Exit codes: 0 done, 1 files are there already, 64 a name cannot be used, 69 the module cannot
be fetched.`,
		Example: "  signpost init shop\n  signpost init shop --replace ~/src/signpost --module example.com/shop\n  cd shop && go test ./... && go run . dev",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir, o.Version = args[0], moduleVersion()
			p, err := scaffold.New(o)
			if err != nil {
				return exitf(ExitUsage, "%w", err)
			}
			if err := p.Write(); err != nil {
				var exist *scaffold.ExistError
				if errors.As(err, &exist) {
					return exitf(ExitFindings, "%w; name another folder", err)
				}
				return exitf(ExitUnavailable, "write the project: %w", err)
			}
			if o.Replace == "" {
				if err := fetchModule(cmd.Context(), p); err != nil {
					return err
				}
			}
			return c.printInitialized(p, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "name of the program (default: of the folder)")
	f.StringVar(&o.Path, "module", "", "path of the Go module (default: the name)")
	f.StringVar(&o.Context, "context", "support", "the context that it answers")
	f.StringVar(&o.Replace, "replace", "", "folder with the source of signpost, to use instead of the published module")
	_ = cmd.MarkFlagDirname("replace")
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) printInitialized(p *scaffold.Project, dir string) error {
	names := slices.Sorted(slices.Values(p.Files()))
	if c.asJSON {
		return c.printJSON(initialized{Dir: p.Dir, Name: p.Name, Module: p.Path, Files: names})
	}
	c.printf("%s is a program of your own now, in %s:\n", p.Name, p.Dir)
	for _, name := range names {
		c.printf("  %s\n", name)
	}
	c.printf("\nNext:\n  cd %s\n  go test ./...\n  go run . dev      a simulated space and a telephone: text HOURS\n\nREADME.md says how to run it against your account.\n", shellWord(filepath.Clean(dir)))
	if _, err := exec.LookPath("go"); err != nil {
		c.printf("There is no Go on this machine: install 1.26 or later from https://go.dev/dl/ first.\n")
	}
	return nil
}

// released is the version of a module that a registry has.
var released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)

// moduleVersion is the release of signpost that this binary was built from; empty if of none.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range append(slices.Clone(info.Deps), &info.Main) {
		if m.Path == scaffold.Module && m.Replace == nil && released.MatchString(m.Version) {
			return m.Version
		}
	}
	return ""
}

// fetchModule completes go.mod from the registry. Without a Go command there is nothing to
// be done, and nothing is missing that its installation would not mend.
func fetchModule(ctx context.Context, p *scaffold.Project) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	tidy := exec.CommandContext(ctx, tool, "mod", "tidy")
	tidy.Dir = p.Dir
	tidy.Env = append(os.Environ(), "GOWORK=off")
	out, err := tidy.CombinedOutput()
	if err == nil {
		return nil
	}
	return exitf(ExitUnavailable, `the project is written to %s, but the module %s cannot be fetched: %s
If it is not published, or this machine has no network, take its source from a folder:
  cd %s
  cp PATH/go.sum .
  go mod edit -require=%[2]s@v0.0.0 -replace=%[2]s=PATH
  go mod tidy
or begin anew in another folder with "signpost init DIR --replace PATH", which fetches nothing.`,
		p.Dir, scaffold.Module, lastLine(string(out), err), shellWord(p.Dir))
}

// lastLine is the end of what a failed command said, where the reason stands.
func lastLine(out string, err error) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return fmt.Sprintf("%s (%v)", printable(last), err)
	}
	return err.Error()
}
