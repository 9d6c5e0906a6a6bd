package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// findSignpost builds the product, and makes one client of it for each store.
func (b *bench) findSignpost(ctx context.Context) (clients []client, err error) {
	if files, _ := filepath.Glob(filepath.Join(b.root(), "cmd", "signpost", "*.go")); len(files) == 0 {
		return nil, fmt.Errorf("signpost: no program in cmd/signpost: %w", errAbsent)
	}
	program, err := b.build(ctx, b.root(), "./cmd/signpost", "signpost")
	if err != nil {
		return nil, err
	}
	for _, store := range split(b.opts.stores) {
		scheme, _, _ := strings.Cut(store, ":")
		switch scheme {
		case "memory", "sqlite":
		case "postgres", "postgresql":
			scheme = "postgres"
		default:
			return nil, fmt.Errorf("-store: no store %q; give memory:, sqlite:, sqlite://PATH, postgres: or a postgres:// URL", scheme)
		}
		c := client{name: "signpost " + scheme, store: scheme, start: startSignpost(program, configuration(replying))}
		c.journal = b.fresh(store)
		clients = append(clients, c)
	}
	return clients, nil
}

// root is the directory of Signpost's own module.
func (b *bench) root() string { return filepath.Join(b.module, "..", "..", "..") }

// product builds a program of the folder product, once.
func (b *bench) product(ctx context.Context, name string) (program string, err error) {
	if program, ok := b.built[name]; ok {
		return program, nil
	}
	program, err = b.build(ctx, filepath.Join(b.module, "product"), "./cmd/"+name, name)
	if err == nil {
		b.built[name] = program
	}
	return program, err
}

// startSignpost starts a program of daemon.Main with a configuration.
func startSignpost(program, config string) func(p place) (*child, error) {
	return func(p place) (*child, error) {
		file := filepath.Join(p.dir, "signpost.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, fmt.Errorf("write the configuration of signpost: %w", err)
		}
		env := append(environment(p.url), "SIGNPOST_STORE="+p.store, "SIGNPOST_HTTP_LISTEN=127.0.0.1:0", "SIGNPOST_LOG_FORMAT=json")
		return startChild(p.log(), env, program, "run", "--config", file)
	}
}

// replying answers as the reference clients do.
const replying = `contexts:
  support:
    handlers:
      - reply: "You said: {{.Body}}"
  sales:
    handlers:
      - reply: "You said: {{.Body}}"
  billing:
    handlers:
      - reply: "You said: {{.Body}}"
`

// configuration completes the configuration of Signpost. The limits are off, since they would pace the load; a doubt is
// resent after two seconds, since the runs with resets are shorter than its usual wait.
func configuration(parts ...string) string {
	return strings.Join(parts, "") + `sending:
  limits: off
  in_doubt: {wait: 2s, then: resend}
`
}

// journal is what one run keeps its work in.
type journal struct {
	url  string
	drop func() error // nil if it goes with the directory of the run
}

// fresh makes an empty journal for each run. A store that names its place keeps it from run to run.
func (b *bench) fresh(store string) func(ctx context.Context, dir string) (journal, error) {
	return func(ctx context.Context, dir string) (journal, error) {
		switch store {
		case "sqlite:":
			return journal{url: "sqlite://" + filepath.Join(dir, "signpost.db")}, nil
		case "postgres:", "postgresql:":
			return b.newSchema(ctx, fmt.Sprintf("signpost_bench_%d_%d", os.Getpid(), b.runs))
		}
		return journal{url: store}, nil
	}
}

// newSchema makes a journal of a schema of its own.
func (b *bench) newSchema(ctx context.Context, name string) (journal, error) {
	url := b.opts.postgres
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	url += separator + "search_path=" + name
	if err := b.runJournal(ctx, "create", "-store", url); err != nil {
		return journal{}, err
	}
	return journal{url: url, drop: func() error {
		return b.runJournal(context.WithoutCancel(ctx), "drop", "-store", url)
	}}, nil
}

// runJournal runs the program that prepares journals.
func (b *bench) runJournal(ctx context.Context, args ...string) error {
	program, err := b.product(ctx, "journal")
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("prepare the journal: %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// durable reports whether the store outlives its process.
func (c client) durable() bool { return slices.Contains([]string{"sqlite", "postgres"}, c.store) }
