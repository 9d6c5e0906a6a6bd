package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/signpost-sms/signpost/messaging/postgres"
	"github.com/signpost-sms/signpost/messaging/sqlite"
)

// configuredStore is what --store means without a value.
const configuredStore = "that of the configuration"

// examined is what "signpost check --store --json" prints.
type examined struct {
	Store string   `json:"store"`
	Sound bool     `json:"sound"`
	Lines []string `json:"lines"` // what was looked at
	Error string   `json:"error,omitempty"`
}

// journal is one that can be examined.
type journal struct {
	name   string // without a password
	verify func(ctx context.Context, w io.Writer) error
}

// checkStore examines a journal: a file that no daemon has open, or a database.
func (c *cli) checkStore(ctx context.Context, name string) error {
	j, err := c.journal(name)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	out := io.Writer(&said)
	if !c.asJSON {
		out = c.out
	}
	err = j.verify(ctx, out)
	if c.asJSON {
		x := examined{Store: j.name, Sound: err == nil, Lines: strings.FieldsFunc(said.String(), func(r rune) bool { return r == '\n' })}
		if x.Lines == nil {
			x.Lines = []string{}
		}
		if err != nil {
			x.Error = err.Error()
		}
		if err := c.printJSON(x); err != nil {
			return err
		}
	}
	switch {
	case err == nil && !c.asJSON:
		c.printf("%s: sound\n", j.name)
		return nil
	case err == nil:
		return nil
	}
	code := ExitConfig // in use, out of reach, another program's
	switch text := err.Error(); {
	case strings.Contains(text, "is damaged"):
		code = ExitFindings
	case strings.Contains(text, "in use by another daemon"):
		err = fmt.Errorf("%w; or make a copy with \"signpost backup PATH\" and examine that", err)
	}
	if c.asJSON {
		err = errSilent
	}
	return withExit(code, err)
}

// journal finds the journal to examine.
func (c *cli) journal(name string) (*journal, error) {
	if name == configuredStore {
		cfg, err := c.load(Source{ContextsInCode: true, NoCredentials: true})
		if err != nil {
			return nil, err
		}
		name = cfg.Store.Reveal()
	}
	url := StoreURL(name)
	switch scheme := url.Scheme(); {
	case !strings.Contains(name, ":"):
		return fileJournal(name)
	case scheme == "sqlite" && sqlitePath(url) != "":
		return fileJournal(sqlitePath(url))
	case scheme == "postgres" || scheme == "postgresql":
		return &journal{url.String(), func(ctx context.Context, w io.Writer) error { return postgres.Verify(ctx, url.Reveal(), w) }}, nil
	case scheme == "memory":
		return nil, exitf(ExitConfig, "the store is memory:, and there is no file to examine")
	default:
		return nil, exitf(ExitConfig, "only a journal of sqlite: or postgres: can be examined, and this is %s", url)
	}
}

func fileJournal(path string) (*journal, error) {
	switch st, err := os.Stat(path); {
	case err != nil:
		return nil, exitf(ExitConfig, "there is no journal to examine: %w; name it with --store=PATH, or the configuration with --config", err)
	case !st.Mode().IsRegular():
		return nil, exitf(ExitConfig, "%s is not a file; name the database itself with --store=PATH", path)
	}
	return &journal{path, func(ctx context.Context, w io.Writer) error { return sqlite.Verify(ctx, path, w) }}, nil
}
