package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// bench holds what all runs share: the programs, built once, and the directory they are in.
type bench struct {
	opts      options
	module    string // directory of this module
	scratch   string
	temporary bool
	progress  io.Writer
	clients   []client
	runs      int
	built     map[string]string // programs of product by name
}

// client is a program that can be measured.
type client struct {
	name  string
	store string // of signpost, otherwise ""
	base  string // name of the client that its figures are compared with, if not the reference
	// journal makes what a run keeps its work in; nil if that is nothing.
	journal func(ctx context.Context, dir string) (journal, error)
	start   func(p place) (*child, error)
}

// place is where one run of a client happens.
type place struct {
	url   string // of the Relay server
	dir   string // a new directory that lives as long as the run
	store string // URL of the journal, from client.journal
}

// log is where the programs of the run write to.
func (p place) log() string { return filepath.Join(p.dir, "log") }

// reference is the client that the columns "to plain" compare with.
const reference = "plain"

var errAbsent = errors.New("not here")

func newBench(ctx context.Context, opts options, progress io.Writer) (*bench, error) {
	b := &bench{opts: opts, scratch: opts.scratch, progress: progress, built: map[string]string{}}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module of the bench; run it in its directory: %w", err)
	}
	b.module = string(bytes.TrimSpace(out))
	if _, err := os.Stat(filepath.Join(b.module, "cmd", "floor")); err != nil {
		return nil, fmt.Errorf("this is not the module of the bench; run it in its directory: %w", err)
	}
	if b.scratch == "" {
		b.temporary = true
		if b.scratch, err = os.MkdirTemp("", "signpost-bench-"); err != nil {
			return nil, fmt.Errorf("make a scratch directory: %w", err)
		}
	} else if b.scratch, err = filepath.Abs(b.scratch); err == nil {
		err = os.MkdirAll(b.scratch, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make the scratch directory: %w", err)
	}
	for _, name := range split(opts.clients) {
		found, err := b.find(ctx, name)
		if errors.Is(err, errAbsent) && !opts.set["clients"] {
			fmt.Fprintf(progress, "%s is left out: %v\n", name, err)
			continue
		}
		if err != nil {
			b.close()
			return nil, err
		}
		b.clients = append(b.clients, found...)
	}
	if len(b.clients) == 0 {
		b.close()
		return nil, errors.New("-clients: name at least one of floor, plain, signpost, jssdk")
	}
	return b, nil
}

func (b *bench) close() {
	if b.temporary {
		os.RemoveAll(b.scratch)
	}
}

// find builds the clients that a name stands for.
func (b *bench) find(ctx context.Context, name string) ([]client, error) {
	switch name {
	case "floor", "plain":
		program, err := b.build(ctx, b.module, "./cmd/"+name, name)
		if err != nil {
			return nil, err
		}
		return []client{{name: name, start: func(p place) (*child, error) {
			return startChild(p.log(), environment(p.url), program)
		}}}, nil
	case "jssdk":
		return b.findJS()
	case "signpost":
		return b.findSignpost(ctx)
	}
	return nil, fmt.Errorf("-clients: no client %q; there are floor, plain, signpost and jssdk", name)
}

func (b *bench) build(ctx context.Context, dir, pkg, name string) (program string, err error) {
	program = filepath.Join(b.scratch, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=") // the directory decides, whatever is set
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return program, nil
}

// environment tells a client where to go. All clients read the same names.
func environment(url string) []string {
	return []string{
		"SIGNALWIRE_PROJECT_ID=6f7d1c40-52a1-4b0e-9d57-1f0c2a9be001",
		"SIGNALWIRE_API_TOKEN=PTbench",
		"SIGNPOST_RELAY_URL=" + url,
	}
}

// findJS finds the official JavaScript SDK, if it was installed in the folder beside this one.
func (b *bench) findJS() ([]client, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("jssdk: no node in PATH: %w", errAbsent)
	}
	dir := filepath.Join(b.module, "..", "jssdk")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@signalwire", "realtime-api")); err != nil {
		return nil, fmt.Errorf("jssdk: run `npm ci` in %s: %w", dir, errAbsent)
	}
	return []client{{name: "jssdk", start: func(p place) (*child, error) {
		return startChild(p.log(), environment(p.url), node, filepath.Join(dir, "client.mjs"))
	}}}, nil
}
