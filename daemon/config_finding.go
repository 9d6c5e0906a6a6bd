package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a finding means for the daemon.
type Severity uint8

// The severities, from harmless to fatal.
const (
	SeverityWarning Severity = iota // worth knowing; changes no exit code
	SeverityLint                    // "check" fails with exit code 1, "run" logs it and starts
	SeverityError                   // the configuration is unusable, exit code 78
)

// String is warning, lint or error.
func (s Severity) String() string {
	switch s {
	case SeverityLint:
		return "lint"
	case SeverityError:
		return "error"
	}
	return "warning"
}

// MarshalText is String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Place is where a setting came from: a position in a file, an environment variable or a
// flag. The zero Place is nowhere, for what is missing when there is no file.
type Place struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // 1 is the first; 0 means the file as a whole
	Column int    `json:"column,omitempty"` // in characters, 1 is the first
	Env    string `json:"env,omitempty"`    // name of the environment variable
	Flag   string `json:"flag,omitempty"`   // key that a flag set
}

// String is FILE:LINE:COL, FILE, "env NAME" or "flag KEY".
func (p Place) String() string {
	switch {
	case p.Env != "":
		return "env " + p.Env
	case p.Flag != "":
		return "flag " + p.Flag
	case p.File == "":
		return "configuration"
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Finding is one thing that is wrong with a configuration, or worth a look. It names no
// secret, no phone number and no message text.
type Finding struct {
	Severity Severity `json:"severity"`
	Place
	Rule    string `json:"rule"`           // stable kebab-case name of what was violated
	Key     string `json:"key,omitempty"`  // path of the setting, such as relay.url
	Message string `json:"message"`        // what is wrong
	Mend    string `json:"mend,omitempty"` // what to do about it
}

// String is PLACE: rule: message; mend.
func (f Finding) String() string {
	s := f.Place.String() + ": " + f.Rule + ": " + f.Message
	if f.Mend != "" {
		s += "; " + f.Mend
	}
	return s
}

// Findings is everything that was found, sorted: environment and flags first, then files by
// position.
type Findings []Finding

// Worst is the highest severity; false if there are no findings.
func (fs Findings) Worst() (Severity, bool) {
	if len(fs) == 0 {
		return 0, false
	}
	return slices.MaxFunc(fs, func(a, b Finding) int { return cmp.Compare(a.Severity, b.Severity) }).Severity, true
}

// Unusable reports whether there is an error among the findings.
func (fs Findings) Unusable() bool {
	worst, _ := fs.Worst()
	return worst == SeverityError
}

// ExitCode is what "signpost check" exits with: 78 with errors, 1 with lint findings, else 0.
func (fs Findings) ExitCode() int {
	switch worst, _ := fs.Worst(); worst {
	case SeverityError:
		return ExitConfig
	case SeverityLint:
		return ExitFindings
	}
	return ExitOK
}

// tally counts them by severity, the worst first.
func (fs Findings) tally() string {
	var parts []string
	for _, s := range []Severity{SeverityError, SeverityLint, SeverityWarning} {
		n := len(fs.Of(s))
		name := map[Severity]string{SeverityError: "error", SeverityLint: "broken rule of texting", SeverityWarning: "warning"}[s]
		switch {
		case n > 1 && s == SeverityLint:
			parts = append(parts, fmt.Sprintf("%d broken rules of texting", n))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, name))
		case n == 1:
			parts = append(parts, "1 "+name)
		}
	}
	return strings.Join(parts, ", ")
}

// Of gives the findings of one severity.
func (fs Findings) Of(s Severity) Findings {
	var of Findings
	for _, f := range fs {
		if f.Severity == s {
			of = append(of, f)
		}
	}
	return of
}

// Err is nil for a usable configuration; else an error with exit code 78 that prints every
// error among the findings, one a line.
func (fs Findings) Err() error {
	if !fs.Unusable() {
		return nil
	}
	return withExit(ExitConfig, unusableError{fs.Of(SeverityError)})
}

// unusableError is findings as an error.
type unusableError struct{ findings Findings }

func (e unusableError) Error() string { return strings.TrimSuffix(e.findings.String(), "\n") }

// String is one line for each finding.
func (fs Findings) String() string {
	var b strings.Builder
	for _, f := range fs {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func (fs Findings) sort() {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Env, b.Env),
			cmp.Compare(a.Flag, b.Flag),
			cmp.Compare(a.Rule, b.Rule),
		)
	})
}
