package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/relay"
)

// confirmWithin is how long a reload waits for the platform to confirm the new set of
// contexts before it reports them as still to come. The reload stands either way.
const confirmWithin = 5 * time.Second

// Reloaded says what a reload changed.
type Reloaded struct {
	Added   []string `json:"added"`   // contexts subscribed now
	Removed []string `json:"removed"` // contexts left
	Kept    []string `json:"kept"`    // contexts in both, with their new handlers
	Pending []string `json:"pending"` // contexts that the platform has not confirmed yet
	Restart []string `json:"restart"` // changed keys that take effect with the next start only
}

// Reload reads the configuration anew and switches to it, all or nothing: contexts come and
// go and handlers change without a reconnect. On an error everything stays as it was.
// Events that have begun to run finish with their old chain.
func (d *Daemon) Reload(ctx context.Context) (Reloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.sup.reloading()
	defer d.sup.ready()
	done, err := d.reload()
	if err != nil {
		d.metrics.failed()
		d.log.Error("reload failed, the old configuration stays in force", "err", err)
		return Reloaded{}, fmt.Errorf("reload: %w", err)
	}
	done.Pending = append([]string{}, d.unconfirmed(ctx)...)
	d.log.Info("configuration reloaded", "added", done.Added, "removed", done.Removed, "kept", done.Kept, "pending", done.Pending)
	if len(done.Restart) > 0 {
		d.log.Warn("changed keys wait for a restart", "keys", done.Restart)
	}
	return done, nil
}

func (d *Daemon) reload() (Reloaded, error) {
	if d.load == nil {
		return Reloaded{}, errors.New("this process was not started from a configuration file; restart it instead")
	}
	if d.draining.Load() {
		return Reloaded{}, errors.New("the process is stopping")
	}
	cfg, err := d.load()
	if err != nil {
		return Reloaded{}, err
	}
	next, err := d.route(&cfg)
	if err != nil {
		return Reloaded{}, withExit(ExitConfig, err)
	}
	if err := d.policy.Configure(time.Now(), d.rules(&cfg)); err != nil {
		return Reloaded{}, withExit(ExitConfig, fmt.Errorf("the rules of sending: %w", err))
	}
	// Nothing can fail from here on.
	old := d.routing
	next.after(old)
	// In JSON an empty list is [] and not null.
	done := Reloaded{Added: []string{}, Removed: []string{}, Kept: []string{}, Restart: append([]string{}, Diff(&d.boot, &cfg).Restart...)}
	for _, name := range next.names() {
		if slices.Contains(old.names(), name) {
			done.Kept = append(done.Kept, name)
		} else {
			done.Added = append(done.Added, name)
		}
	}
	for _, name := range old.names() {
		if !slices.Contains(next.names(), name) {
			done.Removed = append(done.Removed, name)
		}
	}
	d.routing = next
	d.engine.SetHandler(next) // before the first message of a new context can come
	d.client.SetContexts(next.names())
	d.serve(next.names())
	d.level.Set(cfg.Log.Level)
	d.cfg.Store(&cfg)
	d.metrics.loaded(cfg.Hash())
	return done, nil
}

// unconfirmed waits a little for the platform and names what it has not confirmed.
func (d *Daemon) unconfirmed(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, confirmWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s := d.client.Status()
		if len(s.Missing) == 0 || s.State != relay.StateSubscribed {
			return s.Missing
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s.Missing
		}
	}
}

// String is the summary that a person reads.
func (r Reloaded) String() string {
	var b strings.Builder
	b.WriteString("configuration reloaded\n")
	for _, l := range []struct {
		what  string
		names []string
	}{
		{"added", r.Added},
		{"removed", r.Removed},
		{"kept", r.Kept},
		{"waiting for the platform", r.Pending},
		{"changed, but need a restart", r.Restart},
	} {
		if len(l.names) > 0 {
			fmt.Fprintf(&b, "  %s: %s\n", l.what, strings.Join(l.names, ", "))
		}
	}
	return b.String()
}
