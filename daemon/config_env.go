package daemon

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// platformNames are the platform's own variables, which its SDKs read too, and the keys that
// they set. Of two for one key the first wins.
func platformNames() []struct{ name, key string } {
	return []struct{ name, key string }{
		{"SIGNALWIRE_PROJECT_ID", "signalwire.project"},
		{"SIGNALWIRE_API_TOKEN", "signalwire.token"},
		{"SIGNALWIRE_JWT_TOKEN", "signalwire.jwt"},
		{"SIGNALWIRE_SPACE", "signalwire.space"},
		{"SIGNALWIRE_SPACE_URL", "signalwire.space"},
	}
}

// ownVariables are variables of ours that set no key.
func ownVariables() []string {
	return []string{"SIGNPOST_CONFIG"} // names the file, and is read before it
}

// readEnvironment lays the environment over the file: SIGNPOST_ variables, then the
// platform's own.
func (l *loader) readEnvironment() {
	known := make(map[string]bool)
	for _, k := range keys() {
		known[k.env()] = true
		value, set := l.env[k.env()]
		if !set || value == "" && k.tag.Get("keep") == "" {
			continue // an empty variable is how compose files and units spell "unset"
		}
		l.set(k.path, value, setting{Place{Env: k.env()}, layerEnv})
	}
	l.readPlatform()
	for _, name := range ownVariables() {
		known[name] = true
	}
	names := slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if !strings.HasPrefix(name, envPrefix) || known[name] || isServiceLink(name, l.env[name]) {
			continue
		}
		mend := "unset it, or give it another name if it is not meant for this program"
		if near := nearest(name, names); near != "" {
			mend = "did you mean " + near + "?"
		}
		l.report(Finding{SeverityWarning, Place{Env: name}, "unknown-variable", "", "no setting has this name", mend})
	}
}

// readPlatform takes the platform's variables.
func (l *loader) readPlatform() {
	from := make(map[string]string)
	for _, p := range platformNames() {
		value := strings.TrimSpace(l.env[p.name])
		if value == "" {
			continue
		}
		if first, twice := from[p.key]; twice {
			if l.env[first] != l.env[p.name] {
				l.report(Finding{
					SeverityWarning,
					Place{Env: p.name},
					"variable-conflict", p.key,
					"it differs from " + first + ", which counts", "unset one of the two",
				})
			}
			continue
		}
		from[p.key] = p.name
		before, own := l.settings[p.key]
		if own && before.layer == layerEnv && strings.TrimSpace(l.env[before.place.Env]) != value {
			l.report(Finding{
				SeverityWarning,
				Place{Env: p.name},
				"variable-conflict", p.key,
				"it differs from " + before.place.Env + ", and it counts because it is the platform's own name", "unset one of the two",
			})
		}
		l.set(p.key, value, setting{Place{Env: p.name}, layerPlatform})
	}
}

// serviceLink matches what Kubernetes puts into every container for a service called
// signpost or signpost-something.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)$`)

func isServiceLink(name, value string) bool {
	address := strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://") || strings.HasPrefix(value, "sctp://")
	return serviceLink.MatchString(name) || address && strings.HasSuffix(name, "_PORT")
}
