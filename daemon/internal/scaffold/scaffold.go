// Package scaffold writes a new project: a program with a handler of its own, its
// configuration and tests, and what it takes to run it under Docker, systemd and Kubernetes.
//
// Begin with [New], which writes nothing; [Project.Write] does, and overwrites nothing.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed all:files
var files embed.FS

// Module is the path of the module that a project needs.
const Module = "github.com/signpost-sms/signpost"

// Options say what to write.
type Options struct {
	Dir     string // the folder; made if it is not there
	Name    string // of the program; default: of the folder
	Path    string // of the Go module; default: the name
	Context string // default: support
	Replace string // a folder with the source of Module; empty to fetch it
	Version string // of Module to require; empty leaves it to "go mod tidy"
}

// Project is a project to be written.
type Project struct {
	Options

	Brand string
	files []file
}

type file struct {
	name string // slash-separated, below the folder
	text []byte
}

// A name is that of a file, of a systemd unit, and a DNS label, as Kubernetes wants it.
var goodName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// reserved are names that something else has already.
var reserved = map[string]bool{"signpost": true, "main": true, "test": true, "vendor": true, "internal": true, "deploy": true}

// Go's rule for module paths is wider; this is what needs no quotes anywhere.
var goodPath = regexp.MustCompile(`^[a-z0-9]([a-zA-Z0-9._~-]*[a-zA-Z0-9])?(/[a-zA-Z0-9_~-]([a-zA-Z0-9._~-]*[a-zA-Z0-9])?)*$`)

var goodContext = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// New prepares a project. It reads the folder of Replace and writes nothing. The errors say
// which option to change.
func New(o Options) (*Project, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	o.Dir = dir
	named := o.Name != ""
	if !named {
		o.Name = strings.ToLower(strings.ReplaceAll(filepath.Base(dir), "_", "-"))
	}
	if o.Path == "" {
		o.Path = o.Name
	}
	if o.Context == "" {
		o.Context = "support"
	}
	switch {
	case !goodName.MatchString(o.Name) && !named:
		return nil, fmt.Errorf("%q, the name of the folder, cannot be that of a program: give one with --name, of small letters, digits and dashes", o.Name)
	case !goodName.MatchString(o.Name):
		return nil, fmt.Errorf("--name %q: use small letters, digits and dashes, a letter first", o.Name)
	case reserved[o.Name]:
		return nil, fmt.Errorf("the program cannot be called %q, which is something else: give another name with --name", o.Name)
	case !goodPath.MatchString(o.Path):
		return nil, fmt.Errorf("--module %q is no module path: use one such as example.com/%s", o.Path, o.Name)
	case o.Path == Module || strings.HasPrefix(o.Path, Module+"/"):
		return nil, fmt.Errorf("--module %q is that of Signpost itself: use one such as example.com/%s", o.Path, o.Name)
	case !goodContext.MatchString(o.Context):
		return nil, fmt.Errorf("--context %q: use small letters, digits, dashes and underscores", o.Context)
	}
	p := &Project{Options: o, Brand: brandOf(o.Name)}
	if err := p.render(); err != nil {
		return nil, err
	}
	return p, p.module()
}

// brandOf is what the texts call the business until somebody says better.
func brandOf(name string) string {
	words := strings.Split(name, "-")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

// places are where files go whose name is not that of their template.
func (p *Project) place(name string) string {
	switch name {
	case "gitignore", "dockerignore":
		return "." + name
	case "deploy/service":
		return "deploy/" + p.Name + ".service"
	}
	return name
}

// render makes the files of the templates.
func (p *Project) render() error {
	return fs.WalkDir(files, "files", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "files/"), ".tmpl")
		// The files have braces of their own, of templates and of YAML.
		t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, p); err != nil {
			return err
		}
		p.files = append(p.files, file{p.place(name), b.Bytes()})
		return nil
	})
}

// Files are the names of what will be written, slash-separated, below the folder.
func (p *Project) Files() []string {
	names := make([]string, len(p.files))
	for i, f := range p.files {
		names[i] = f.name
	}
	return names
}

// ExistError says that files are there already.
type ExistError struct{ Paths []string }

func (e *ExistError) Error() string {
	return "nothing was written, these files are there already: " + strings.Join(e.Paths, ", ")
}

// Write writes the project, or nothing if one of its files is there already: the error is
// then an *ExistError.
func (p *Project) Write() error {
	var there []string
	for _, f := range p.files {
		path := filepath.Join(p.Dir, filepath.FromSlash(f.name))
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(there) > 0 {
		return &ExistError{there}
	}
	for _, f := range p.files {
		path := filepath.Join(p.Dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := writeNew(path, f.text); err != nil {
			return err
		}
	}
	return nil
}

// writeNew writes a file that nobody else has made meanwhile.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
