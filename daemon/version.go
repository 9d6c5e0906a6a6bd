package daemon

import (
	"runtime"
	"runtime/debug"
)

// Build says what this binary was built from.
type Build struct {
	Version string `json:"version"` // the module's version; "devel" for a build from a checkout
	Commit  string `json:"commit"`  // the commit, "-dirty" appended if files had changed; "unknown" without one
	Go      string `json:"go"`      // the toolchain
}

// version and commit are set by a release build (-ldflags -X); otherwise the binary's own
// record is used.
var version, commit string

func buildInfo() Build {
	b := Build{Version: version, Commit: commit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if ok && b.Commit == "" {
		b.Commit = vcsRevision(info.Settings)
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

func vcsRevision(settings []debug.BuildSetting) string {
	var rev, dirty string
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			rev = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if rev == "" {
		return ""
	}
	return rev + dirty
}
