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

	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
)

// buildPolicy makes the gate's rules, and gives them what was counted before a restart.
func (d *Daemon) buildPolicy(cfg *Config) (err error) {
	rules := cfg.policy()
	rules.Metrics = d.reg
	if d.policy, err = policy.New(rules); err != nil {
		return withExit(ExitConfig, fmt.Errorf("the rules of sending: %w", err))
	}
	path := countersPath(cfg)
	if path == "" || d.opts.store != nil {
		return nil
	}
	d.counters = &counterFile{path: path, policy: d.policy, log: d.log.With("component", "counters")}
	d.counters.load()
	d.life.onStop("last counters", time.Second, func(context.Context) error { d.counters.save(); return nil })
	return nil
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
