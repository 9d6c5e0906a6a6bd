package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Source is where [LoadConfig] looks. The zero Source has neither file nor environment.
type Source struct {
	// Path names the YAML file; empty for none. Relative paths in the file are relative to
	// its folder.
	Path string
	// Text is the content of the file if it is known already; Path then only names it.
	Text []byte
	// Environ is the environment as NAME=value, such as os.Environ gives it. Of a name
	// that occurs twice the last counts.
	Environ []string
	// Flags are settings from the command line, by key: {"log.level": "debug"}.
	Flags map[string]string
	// Open opens the configuration, a file with a secret, or one with certificates. Nil
	// means os.Open.
	Open func(name string) (fs.File, error)
	// ContextsInCode says that the program registers contexts of its own, so that the
	// configuration need not have any.
	ContextsInCode bool
	// NoCredentials says that no session will be made: credentials may be missing.
	NoCredentials bool
}

// LoadConfig gives the configuration that src describes: the defaults, over them the file,
// credentials of systemd, SIGNPOST_ variables, the platform's own variables, and flags. It
// decodes strictly, checks every value, builds every handler chain to prove that it can be
// built, and reports everything it found at once, sorted. Options matter for the handlers
// they register ([Handler], [Middleware]); give those that Main or New get.
//
// Of the outside it reads the files that the configuration names, and nothing else. The
// configuration is nil if there are errors among the findings. It may be called
// concurrently.
func LoadConfig(src Source, opts ...Option) (*Config, Findings) {
	l := newLoader(src, registryOf(opts))
	l.readFile()
	l.readEnvironment()
	l.readFlags()
	l.resolveSecrets()
	if !l.broken {
		l.validate()
		l.buildChains()
		l.lint()
	}
	l.dropOverridden()
	l.findings.sort()
	if l.findings.Unusable() {
		return nil, l.findings
	}
	return l.cfg, l.findings
}

// layer is where a value came from; a higher one wins.
type layer uint8

const (
	layerDefault layer = iota
	layerFile
	layerSystemd // $CREDENTIALS_DIRECTORY: part of the unit, as the environment is
	layerEnv
	layerPlatform // SIGNALWIRE_...
	layerFlag
)

// setting is where a key got its value.
type setting struct {
	place Place
	layer layer
}

// loader is the state of one LoadConfig.
type loader struct {
	src      Source
	env      map[string]string
	doc      *document // nil without a readable file
	cfg      *Config
	settings map[string]setting // of every key that is not at its default
	findings Findings
	broken   bool // the file could not be read as YAML: what is missing in it means nothing
}

func newLoader(src Source, reg *registry) *loader {
	if src.Open == nil {
		src.Open = func(name string) (fs.File, error) { return os.Open(name) }
	}
	cfg := DefaultConfig()
	cfg.registry = reg
	l := &loader{src: src, env: make(map[string]string), cfg: &cfg, settings: make(map[string]setting)}
	for _, kv := range src.Environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			l.env[name] = value
		}
	}
	return l
}

func (l *loader) report(f Finding) { l.findings = append(l.findings, f) }

// errorAt reports that the value of a key is unusable.
func (l *loader) errorAt(key, rule, message, mend string) {
	l.report(Finding{SeverityError, l.placeOf(key), rule, key, message, mend})
}

func (l *loader) warnAt(key, rule, message, mend string) {
	l.report(Finding{SeverityWarning, l.placeOf(key), rule, key, message, mend})
}

// placeOf is where the key was set; for what is missing, the nearest section around it, or
// else the begin of the file.
func (l *loader) placeOf(key string) Place {
	for k := key; k != ""; k = parentKey(k) {
		if s, ok := l.settings[k]; ok {
			return s.place
		}
	}
	if l.src.Path != "" || l.doc != nil {
		return Place{File: l.fileName(), Line: 1, Column: 1}
	}
	return Place{}
}

// parentKey is the key of the section that holds the key; empty for a section of its own.
func parentKey(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

func (l *loader) fileName() string {
	if l.src.Path == "" {
		return "built-in"
	}
	return l.src.Path
}

// readFile lays the YAML file over the defaults.
func (l *loader) readFile() {
	text := l.src.Text
	if text == nil {
		if l.src.Path == "" {
			return
		}
		var err error
		if text, _, err = l.read(l.src.Path, maxConfigBytes); err != nil {
			l.broken = true
			l.report(Finding{
				SeverityError,
				Place{File: l.src.Path},
				"unreadable-file", "",
				fmt.Sprintf("the configuration cannot be read: %v", reason(err)), mendUnreadable(err),
			})
			return
		}
	}
	l.doc = newDocument(l.fileName(), text)
	if l.doc.parse(l.report); l.doc.root == nil {
		l.broken = true
		return
	}
	if l.doc.root.Kind != yaml.MappingNode {
		l.broken = true // not a word of it is ours
	}
	e := expander{doc: l.doc, env: l.env, report: l.report}
	e.expand(l.doc.root)
	d := decoder{
		doc: l.doc, report: l.report,
		set: func(key string, p Place) { l.settings[key] = setting{p, layerFile} },
	}
	d.decode(l.doc.root, reflect.ValueOf(l.cfg).Elem(), "")
}

func mendUnreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "name an existing file with --config or SIGNPOST_CONFIG"
	case errors.Is(err, fs.ErrPermission):
		return "let the user that runs signpost read it"
	case errors.Is(err, errIsDirectory):
		return "name the file in it"
	case errors.Is(err, errTooLarge):
		return "name the configuration file; this must be another one"
	}
	return "name a readable file with --config or SIGNPOST_CONFIG"
}

// set gives a key the text that something other than the file holds.
func (l *loader) set(key, text string, s setting) bool {
	v, ok := fieldAt(reflect.ValueOf(l.cfg).Elem(), key)
	if !ok {
		return false
	}
	if p := setText(v, text); p != nil {
		l.report(Finding{SeverityError, s.place, p.rule, key, p.message, p.mend})
	}
	// Also when it was wrong, so that nothing below it is blamed in its place.
	l.settings[key] = s
	return true
}

// readFlags lays the flags over everything else.
func (l *loader) readFlags() {
	for _, key := range slices.Sorted(maps.Keys(l.src.Flags)) {
		place := Place{Flag: key}
		if !l.set(key, l.src.Flags[key], setting{place, layerFlag}) {
			message, mend := unknownKey("setting", key, scalarKeys())
			l.report(Finding{SeverityError, place, "unknown-key", key, message, mend})
		}
	}
}

// dropOverridden takes back what was said about a variable that is unset, if the value it
// should have given was replaced by a higher layer: "signpost dev" needs no account although
// the file names one.
func (l *loader) dropOverridden() {
	l.findings = slices.DeleteFunc(l.findings, func(f Finding) bool {
		if f.Rule != ruleUnset {
			return false
		}
		credential := strings.HasPrefix(f.Key, "signalwire.") && l.src.NoCredentials
		return credential || slices.ContainsFunc(l.replacements(f.Key), func(key string) bool {
			return l.settings[key].layer > layerFile
		})
	})
}

// replacements are the keys that make a key of the file superfluous when a higher layer sets
// them: the key itself, and for a secret every other way to give it.
func (l *loader) replacements(key string) []string {
	if key == "signalwire.project" {
		return []string{key, "signalwire.jwt", "signalwire.jwt_file"} // a JWT names its project
	}
	for _, group := range l.secretGroups() {
		var ways []string
		for _, way := range group.ways {
			ways = append(ways, way.key)
		}
		if slices.Contains(ways, key) {
			return ways
		}
	}
	return []string{key}
}
