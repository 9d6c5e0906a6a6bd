package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging/mediafetch"
)

// MediaConfig bounds the fetching of inbound media, which happens when a handler asks.
type MediaConfig struct {
	// Dir is where fetched media are kept. Empty: the directory media beside the SQLite file,
	// or /var/lib/signpost/media without one.
	Dir      string        `yaml:"dir"`
	MaxBytes int64         `yaml:"max_bytes" range:"1024..1073741824"` // of one medium
	MaxTotal int64         `yaml:"max_total" range:"1024.."`           // of all that are kept
	Timeout  time.Duration `yaml:"timeout" range:"100ms..1h"`          // of one fetch
	Keep     time.Duration `yaml:"keep" range:"1h.."`                  // after a handler last asked
	// Allow are hosts, or hosts with their port, that may have a private address and any port.
	Allow []string `yaml:"allow"`
}

func defaultMedia() MediaConfig {
	return MediaConfig{MaxBytes: 10 << 20, MaxTotal: 1 << 30, Timeout: 30 * time.Second, Keep: 30 * day}
}

// defaultMediaDir is where media are kept if neither media.dir nor the store says where.
const defaultMediaDir = "/var/lib/signpost/media"

// mediaDir is where media are kept.
func mediaDir(cfg *Config) string {
	if cfg.Media.Dir != "" {
		return cfg.Media.Dir
	}
	if cfg.Store.Scheme() == "sqlite" {
		if journal := sqlitePath(cfg.Store); journal != "" {
			return filepath.Join(filepath.Dir(journal), "media")
		}
	}
	return defaultMediaDir
}

// newMedia makes the fetcher of inbound media. It touches nothing before somebody asks.
func newMedia(cfg *Config) (*mediafetch.Fetcher, error) {
	m := &cfg.Media
	return mediafetch.New(mediafetch.Config{
		Dir: mediaDir(cfg), MaxBytes: m.MaxBytes, MaxTotal: m.MaxTotal, Timeout: m.Timeout, KeepFor: m.Keep, Allow: m.Allow,
	})
}

// sweepEvery is how often media are removed that have been kept for long enough.
const sweepEvery = time.Hour

// sweepMedia does so until ctx ends.
func sweepMedia(ctx context.Context, media *mediafetch.Fetcher, log *slog.Logger) {
	log = log.With("component", "retention")
	timer := time.NewTimer(pruneFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		switch removed, err := media.Sweep(ctx, time.Now()); {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("old media cannot be removed; let this process write in media.dir", "err", err)
		case removed > 0:
			log.Info("old media removed", "files", removed)
		}
		timer.Reset(sweepEvery)
	}
}

// checkMedia holds the limits against each other, and the hosts against what a URL may say.
func (l *loader) checkMedia() {
	m := &l.cfg.Media
	if m.Dir != "" && !l.reported("media.dir") {
		l.checkText("media.dir", m.Dir)
		m.Dir = l.path("media.dir", m.Dir)
	}
	if m.MaxTotal < m.MaxBytes && !l.reported("media.max_total") && !l.reported("media.max_bytes") {
		l.errorAt("media.max_total", "size-order", "max_total is smaller than max_bytes: a medium could be removed as soon as it is there", "make it at least as large as media.max_bytes")
	}
	for i, host := range m.Allow {
		key := fmt.Sprintf("media.allow[%d]", i)
		if l.reported(key) || isHostname(host) {
			continue
		}
		name, port, err := net.SplitHostPort(host)
		switch {
		case strings.Contains(host, "/"):
			l.errorAt(key, "bad-host", "an allowed host is a URL or a network", "write only the host, such as media.internal or 127.0.0.1:8080")
		case err != nil || !isHostname(name) || !isPort(port, false):
			l.errorAt(key, "bad-host", "an allowed host is neither a host nor a host with a port", "write it like media.internal or 127.0.0.1:8080")
		}
	}
}
