package daemon

import "strings"

// Check is the pure part of "signpost check": it loads and validates the configuration and
// builds every handler chain, as a start would, but neither dials, listens nor opens the
// store. It returns what it found; see [Findings.ExitCode].
func Check(src Source, opts ...Option) Findings {
	_, found := checkAll(src, opts...)
	return found
}

// checkAll also gives the configuration, nil if it is unusable.
func checkAll(src Source, opts ...Option) (*Config, Findings) {
	cfg, found := LoadConfig(src, opts...)
	if cfg != nil {
		found = append(found, cfg.unnamed(src.Path)...)
	}
	return cfg, found
}

// unnamed advises on the built-in answer to HELP, which is to say who sends and how they are
// reached. A daemon starts without a word about it: whoever tries it out has no brand yet.
func (c *Config) unnamed(path string) Findings {
	var keys, lacks []string
	if c.Brand == "" {
		keys, lacks = append(keys, "brand"), append(lacks, "the name of who sends")
	}
	if c.Consent.Contact == "" {
		keys, lacks = append(keys, "consent.contact"), append(lacks, "a way to reach somebody")
	}
	if len(keys) == 0 || c.Consent.HelpMessage != "" {
		return nil
	}
	return Findings{{
		Severity: SeverityWarning, Place: Place{File: path, Line: 1, Column: 1}, Rule: "unnamed-help", Key: keys[0],
		Message: "HELP is answered without " + strings.Join(lacks, " and "),
		Mend:    "set " + strings.Join(keys, " and ") + ", or consent.help_message",
	}}
}

// buildChains builds every chain once, so that what is wrong with it is reported. What it
// builds is thrown away.
func (l *loader) buildChains() {
	b := builder{registry: l.cfg.registry, report: l.report}
	for _, name := range l.cfg.ContextNames() {
		b.context(l.cfg, name, nil)
	}
}
