package daemon

// Check is the pure part of "signpost check": it loads and validates the configuration and
// builds every handler chain, as a start would, but neither dials, listens nor opens the
// store. It returns what it found; see [Findings.ExitCode].
func Check(src Source, opts ...Option) Findings {
	_, found := LoadConfig(src, opts...)
	return found
}

// buildChains builds every chain once, so that what is wrong with it is reported. What it
// builds is thrown away.
func (l *loader) buildChains() {
	b := builder{registry: l.cfg.registry, report: l.report}
	for _, name := range l.cfg.ContextNames() {
		b.context(l.cfg, name, nil)
	}
}
