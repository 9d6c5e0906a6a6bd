package scaffold

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// goVersion is the oldest language version that Module takes.
const goVersion = "1.26.0"

// module adds go.mod, and go.sum if the source of Module is here: then all that its packages
// need is known, and nothing has to be asked of the network.
func (p *Project) module() error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "module %s\n\ngo %s\n", p.Path, goVersion)
	if p.Replace == "" {
		if p.Version != "" {
			fmt.Fprintf(&b, "\nrequire %s %s\n", Module, p.Version)
		}
		p.files = append(p.files, file{"go.mod", b.Bytes()})
		return nil
	}
	source, target, err := p.source()
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return fmt.Errorf("--replace: %w; name the folder with the source of Signpost", err)
	}
	if path := moduleOf(mod); path != Module {
		return fmt.Errorf("--replace: %s holds the module %q and not %s; name the folder with the source of Signpost", source, path, Module)
	}
	sum, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return fmt.Errorf("--replace: %w; name the folder with the whole source of Signpost", err)
	}
	fmt.Fprintf(&b, "\nrequire %s v0.0.0\n\nreplace %s => %s\n\nrequire (\n", Module, Module, target)
	for _, r := range requirements(mod) {
		fmt.Fprintf(&b, "\t%s // indirect\n", r)
	}
	b.WriteString(")\n")
	p.files = append(p.files, file{"go.mod", b.Bytes()}, file{"go.sum", sum})
	return nil
}

// source finds the folder of Replace, and how go.mod names it: as it was given, relative to
// the project or absolute.
func (p *Project) source() (source, target string, err error) {
	if source, err = filepath.Abs(p.Replace); err != nil {
		return "", "", fmt.Errorf("--replace: %w", err)
	}
	target = source
	if !filepath.IsAbs(p.Replace) {
		rel, err := filepath.Rel(p.Dir, source)
		if err == nil {
			target = filepath.ToSlash(rel)
			if !strings.HasPrefix(target, "../") && target != ".." {
				target = "./" + target
			}
		}
	}
	if strings.ContainsAny(target, " \t\"'`") {
		target = fmt.Sprintf("%q", target)
	}
	return source, target, nil
}

func moduleOf(mod []byte) string {
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "module" {
			return f[1]
		}
	}
	return ""
}

// requirements lists what a go.mod requires, as "path version". It reads what the go command
// writes: one requirement a line, in blocks or by themselves.
func requirements(mod []byte) (list []string) {
	inside := false
	for line := range strings.Lines(string(mod)) {
		line, _, _ = strings.Cut(line, "//")
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "require" && f[1] == "(":
			inside = true
		case len(f) == 1 && f[0] == ")":
			inside = false
		case inside && len(f) == 2:
			list = append(list, f[0]+" "+f[1])
		case len(f) == 3 && f[0] == "require":
			list = append(list, f[1]+" "+f[2])
		}
	}
	return list
}
