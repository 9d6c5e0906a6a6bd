package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

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

// checkStore examines a journal that no daemon has open.
func (c *cli) checkStore(ctx context.Context, name string) error {
	path, err := c.storePath(name)
	if err != nil {
		return err
	}
	switch st, err := os.Stat(path); {
	case err != nil:
		return exitf(ExitConfig, "there is no journal to examine: %w; name it with --store=PATH, or the configuration with --config", err)
	case !st.Mode().IsRegular():
		return exitf(ExitConfig, "%s is not a file; name the database itself with --store=PATH", path)
	}
	var said bytes.Buffer
	out := io.Writer(&said)
	if !c.asJSON {
		out = c.out
	}
	err = sqlite.Verify(ctx, path, out)
	if c.asJSON {
		x := examined{Store: path, Sound: err == nil, Lines: strings.FieldsFunc(said.String(), func(r rune) bool { return r == '\n' })}
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
		c.printf("%s: sound\n", path)
		return nil
	case err == nil:
		return nil
	}
	code := ExitConfig // in use, unreadable, another program's
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

// storePath is the file to examine.
func (c *cli) storePath(name string) (string, error) {
	if name == configuredStore {
		cfg, err := c.load(Source{ContextsInCode: true, NoCredentials: true})
		if err != nil {
			return "", err
		}
		name = cfg.Store.Reveal()
	}
	url := StoreURL(name)
	switch scheme := url.Scheme(); {
	case !strings.Contains(name, ":"):
		return name, nil
	case scheme == "sqlite" && sqlitePath(url) != "":
		return sqlitePath(url), nil
	case scheme == "memory":
		return "", exitf(ExitConfig, "the store is memory:, and there is no file to examine")
	default:
		return "", exitf(ExitConfig, "only a journal of sqlite: can be examined, and this is %s; ask your database", url)
	}
}
