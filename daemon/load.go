package daemon

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// configPlaces are where a configuration file is looked for, in order, when neither
// --config nor SIGNPOST_CONFIG names one.
var configPlaces = []string{"./signpost.yaml", "./config.yaml", "/etc/signpost/config.yaml"}

// loaded is a usable configuration and what was found in it all the same.
type loaded struct {
	*Config
	path     string // of the file; empty without one
	findings Findings
}

// load reads the configuration that the command line, the environment and the usual places
// name. The error lists everything that makes it unusable.
func (c *cli) load(src Source) (loaded, error) {
	path, err := c.findConfig()
	if err != nil {
		return loaded{}, err
	}
	if path != "" {
		src.Path, src.Text = path, nil
	}
	src.Environ = c.environ()
	cfg, findings := LoadConfig(src, c.opts...)
	if err := findings.Err(); err != nil {
		return loaded{}, err
	}
	return loaded{cfg, path, findings}, nil
}

// loadToRun is load for a daemon on the platform.
func (c *cli) loadToRun() (loaded, error) {
	path, err := c.findConfig()
	if err != nil {
		return loaded{}, err
	}
	if path == "" && c.setup == nil {
		return loaded{}, noConfig()
	}
	return c.load(Source{ContextsInCode: c.setup != nil})
}

// whereToAsk gives what a command needs to find the running daemon: http.listen and
// http.token. It is LoadConfig for the section http alone: whatever else is wrong with the
// file is for the daemon to judge and to report; it runs with an older state of it.
func whereToAsk(src Source) (HTTPConfig, error) {
	const section = "http"
	l := newLoader(src, nil)
	l.readFile()
	if l.broken && l.doc != nil && l.doc.root == nil {
		// Not even YAML. The section itself may be well all the same.
		src.Text = l.doc.section(section)
		l = newLoader(src, nil)
		l.readFile()
	}
	l.readEnvironment()
	l.resolveSecrets()
	l.dropOverridden()
	var ours Findings
	for _, f := range l.findings {
		if strings.HasPrefix(f.Key, section+".") && f.Rule != "unknown-key" {
			ours = append(ours, f)
		}
	}
	return l.cfg.HTTP, ours.Err()
}

// findConfig gives the path of the configuration file to read; empty if there is none.
func (c *cli) findConfig() (string, error) {
	for _, named := range []string{c.configPath, c.getenv("SIGNPOST_CONFIG")} {
		if named == "" {
			continue
		}
		if _, err := os.Stat(named); err != nil {
			return "", exitf(ExitConfig, "read the configuration: %w; name an existing file with --config or SIGNPOST_CONFIG", err)
		}
		return named, nil
	}
	for _, place := range configPlaces {
		_, err := os.Stat(place)
		if err == nil {
			return place, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", exitf(ExitConfig, "read the configuration: %w; make it readable, or name another file with --config", err)
		}
	}
	return "", nil
}

// exampleConfig is the least that works, for whoever has no file yet.
const exampleConfig = `signalwire:
  project: ${SIGNALWIRE_PROJECT_ID}
  token: ${SIGNALWIRE_API_TOKEN}
store: sqlite:signpost.db
contexts:
  support:
    handlers:
      - keyword: {words: [HOURS], reply: "We are open Mon-Fri 9am-5pm."}
      - reply: "You said: {{.Body}}"
`

// noConfig says what is missing when there is no file, and what to write.
func noConfig() error {
	return exitf(ExitConfig,
		"no configuration file was found (looked for %s), and a context with handlers can only be written in one; write this to signpost.yaml:\n%s\nor try \"signpost dev\", which needs no account",
		strings.Join(configPlaces, ", "), indent(exampleConfig))
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}
