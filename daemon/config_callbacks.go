package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// CallbacksConfig says whom sends may want to be told of their states.
type CallbacksConfig struct {
	// Allow are hosts, hosts with a port, or *.example.com for every host below it. This
	// machine is allowed always.
	Allow []string `yaml:"allow" reload:"yes"`
}

// replyWindowMost is the most that sending.reply_window may be.
const replyWindowMost = 24 * time.Hour

// checkCallbacks looks at the hosts that may be called.
func (l *loader) checkCallbacks() {
	for i, host := range l.cfg.Callbacks.Allow {
		if !isHostPattern(host) {
			l.errorAt(fmt.Sprintf("callbacks.allow[%d]", i), "bad-host", quote(host)+" is no host", "write a host such as hooks.example.com or 10.0.0.5:8080, or *.example.com")
		}
	}
}

// isHostPattern reports whether text is a host, with or without a port, or a star and what
// lies below a domain.
func isHostPattern(text string) bool {
	host, _, err := net.SplitHostPort(text)
	if err != nil {
		host = text
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	host = strings.TrimPrefix(host, "*.")
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
