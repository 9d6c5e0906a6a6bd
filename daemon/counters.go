package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
)

// buildPolicy makes the gate's rules, and gives them what was counted before a restart.
func (d *Daemon) buildPolicy(cfg *Config) (err error) {
	if d.store.Traits().Shared {
		d.counting, _ = d.store.(messaging.Counting)
	}
	rules := d.rules(cfg)
	rules.Metrics = d.reg
	if d.policy, err = policy.New(rules); err != nil {
		return withExit(ExitConfig, fmt.Errorf("the rules of sending: %w", err))
	}
	if d.counting != nil {
		x := &exchanger{journal: d.counting, policy: d.policy, log: d.log.With("component", "counters")}
		if err := x.exchange(context.Background()); err != nil {
			return withExit(ExitUnavailable, fmt.Errorf("read what was counted for the limits: %w", err))
		}
		d.keeper = x
		d.life.onStop("last counters", time.Second, x.exchange)
		return nil
	}
	path := countersPath(cfg)
	if path == "" || d.opts.store != nil {
		return nil
	}
	f := &counterFile{path: path, policy: d.policy, log: d.log.With("component", "counters")}
	f.load()
	d.keeper = f
	d.life.onStop("last counters", time.Second, func(context.Context) error { f.save(); return nil })
	return nil
}

// rules is what the gate's rules are made from.
func (d *Daemon) rules(cfg *Config) policy.Config {
	rules := cfg.policy()
	rules.Exchanged = d.counting != nil
	return rules
}

// keeper keeps what was counted until ctx ends.
type keeper interface{ run(ctx context.Context) }

// exchanger keeps what was counted in a journal that several daemons share, which makes it
// the others' too.
type exchanger struct {
	journal messaging.Counting
	policy  *policy.Policy
	log     *slog.Logger
}

const (
	// exchangeEvery is how much counting a crash may lose. The others know within twice that.
	exchangeEvery = time.Second
	// exchangeWithin bounds one exchange.
	exchangeWithin = 30 * time.Second
)

// run exchanges counters until ctx ends.
func (x *exchanger) run(ctx context.Context) {
	tick := time.NewTicker(exchangeEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := x.exchange(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			x.log.Error("the counters of the limits cannot be exchanged; until they can, each daemon counts for itself", "err", err)
		}
		failing = err != nil
	}
}

func (x *exchanger) exchange(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeWithin)
	defer cancel()
	return x.policy.Exchange(ctx, x.journal)
}

// countersPath is where the counters of the limits are kept: beside the journal's file.
// Empty if the journal is none.
func countersPath(cfg *Config) string {
	if cfg.Store.Scheme() != "sqlite" {
		return ""
	}
	if journal := sqlitePath(cfg.Store); journal != "" {
		return journal + ".limits"
	}
	return ""
}

// saveEvery is how much counting a crash may lose; more where so much is counted that saving
// would otherwise take more than one part in saveShare of the time.
const (
	saveEvery = 15 * time.Second
	saveShare = 50
)

// counterFile keeps what the limits have counted over a restart: the day's segments, and who
// was sent what. It holds phone numbers. Losing it is no more than counting from zero, so
// that no failure of it stops anything.
type counterFile struct {
	path    string
	policy  *policy.Policy
	log     *slog.Logger
	saved   [sha256.Size]byte // of what is in the file
	failing string            // the last failure that was logged
}

// counters is the content of the file.
type counters struct {
	Version  int            `json:"version"`
	Counters []pace.Counter `json:"counters"`
}

const countersVersion = 1

func (f *counterFile) load() {
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var c counters
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil && c.Version != countersVersion {
		err = fmt.Errorf("version %d, and this program reads %d", c.Version, countersVersion)
	}
	if err != nil {
		f.log.Warn("the counters of the limits cannot be read, counting begins anew", "file", f.path, "err", safe(err))
		return
	}
	f.policy.Import(time.Now(), c.Counters)
}

// safe is an error without what was read: that holds numbers.
func safe(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var parse *time.ParseError
	if errors.As(err, &syntax) || errors.As(err, &kind) || errors.As(err, &parse) {
		return errors.New("the file is damaged; remove it")
	}
	return err
}

// run saves from time to time until ctx ends.
func (f *counterFile) run(ctx context.Context) {
	timer := time.NewTimer(saveEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			began := time.Now()
			f.save()
			timer.Reset(max(saveEvery, saveShare*time.Since(began)))
		case <-ctx.Done():
			return
		}
	}
}

// save writes the file if anything has changed, whole or not at all.
func (f *counterFile) save() {
	text, err := json.Marshal(counters{countersVersion, f.policy.Export(time.Now())})
	sum := sha256.Sum256(text)
	if err == nil {
		if sum == f.saved {
			return
		}
		err = replaceFile(f.path, text)
	}
	switch {
	case err == nil:
		f.saved, f.failing = sum, ""
	case reason(err).Error() != f.failing: // without the name of the file, which is another each time
		f.failing = reason(err).Error()
		f.log.Error("the counters of the limits cannot be saved, a restart will count from what was saved last", "err", err)
	}
}

// replaceFile puts a file in the place of another at once; only its owner can read it.
func replaceFile(path string, text []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
