package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
)

// switchable is a setup that can be changed between loads.
type switchable struct{ now func(*contexts.Router) }

func (s *switchable) setup(r *contexts.Router) { s.now(r) }

// same is a loader that gives the configuration of the space again.
func same(url string) Option {
	return WithReload(func() (Config, error) {
		cfg := simConfig(url)
		return cfg, nil
	})
}

func TestReloadAddsAndRemovesContextsWithoutAReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		space := newSpace(t)
		s := &switchable{serving("support", "sales")}
		r := startDaemon(t, space, s.setup, same(space.URL()))
		r.waitReady()
		r.text("support", "one")
		r.expectReply("support: one")

		s.now = func(r *contexts.Router) {
			serving("billing")(r)
			r.Context("support", func(r *contexts.Router) { r.OnMessage(replying("new: ")) })
		}
		got, err := r.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Empty lists and not nil: JSON has [] for them.
		want := Reloaded{Added: []string{"billing"}, Removed: []string{"sales"}, Kept: []string{"support"}, Pending: []string{}, Restart: []string{}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("reloaded (-want +got):\n%s", diff)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"billing", "support"}, subscribedTo(space)); diff != "" {
			t.Errorf("the platform's contexts (-want +got):\n%s", diff)
		}
		r.text("billing", "two")
		r.expectReply("billing: two")
		r.text("support", "three")
		r.expectReply("new: three")
		if n := space.Stats().Opened; n != 1 {
			t.Errorf("%d connections, want the one from before the reload", n)
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestReloadFinishesWhatARemovedContextHasTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		space := newSpace(t)
		tries := 0
		s := &switchable{func(r *contexts.Router) {
			serving("support")(r)
			r.Context("sales", func(r *contexts.Router) {
				r.OnMessage(messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
					if tries++; tries == 1 {
						return messaging.RetryAfter(5*time.Second, errors.New("not yet"))
					}
					w.Reply("at last: " + ev.Body)
					return nil
				}))
			})
		}}
		r := startDaemon(t, space, s.setup, same(space.URL()))
		r.waitReady()
		r.text("sales", "hello")
		s.now = serving("support")
		if _, err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.expectReply("at last: hello")
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestFailedReloadKeepsTheOldConfiguration(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		load func(good Config) (Config, error)
		next func(*contexts.Router)
		want string
	}{
		"unreadable": {func(Config) (Config, error) {
			return Config{}, errors.New("signpost.yaml:3:1: unknown-key: no such key")
		}, serving("billing"), "unknown-key"},
		"wrong wiring": {func(good Config) (Config, error) { return good, nil }, func(r *contexts.Router) {
			serving("billing", "billing")(r)
		}, "registered twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				space := newSpace(t)
				s := &switchable{serving("support")}
				good := simConfig(space.URL())
				r := startDaemon(t, space, s.setup, WithReload(func() (Config, error) { return tc.load(good) }))
				r.waitReady()
				s.now = tc.next
				if _, err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("Reload: got %v, want an error with %q", err, tc.want)
				}
				synctest.Wait()
				if diff := cmp.Diff([]string{"support"}, subscribedTo(space)); diff != "" {
					t.Errorf("the platform's contexts (-want +got):\n%s", diff)
				}
				r.text("support", "still there?")
				r.expectReply("support: still there?")
				if got := testutil.ToFloat64(r.metrics.successful); got != 0 {
					t.Errorf("config_last_reload_successful is %v, want 0", got)
				}
				s.now = serving("support", "sales")
				if name == "wrong wiring" {
					if _, err := r.Reload(t.Context()); err != nil {
						t.Errorf("the next, good reload: %v", err)
					}
					if got := testutil.ToFloat64(r.metrics.successful); got != 1 {
						t.Errorf("config_last_reload_successful is %v, want 1", got)
					}
				}
				r.stop()
				if err := <-r.ended; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

func TestReloadNamesKeysThatNeedARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		space := newSpace(t)
		r := startDaemon(t, space, serving("support"), WithReload(func() (Config, error) {
			cfg := simConfig(space.URL())
			cfg.Log.Level = slog.LevelWarn // takes effect at once
			cfg.Shutdown.Budget = time.Minute
			return cfg, nil
		}))
		r.waitReady()
		got, err := r.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"shutdown.budget"}, got.Restart); diff != "" {
			t.Errorf("keys that need a restart (-want +got):\n%s", diff)
		}
		if got := r.level.Level(); got != slog.LevelWarn {
			t.Errorf("log level %v, want warn at once", got)
		}
		r.stop()
		<-r.ended
	})
}

func TestReloadWithoutAFileSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startDaemon(t, newSpace(t), serving("support"))
		r.waitReady()
		if _, err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "restart it") {
			t.Errorf("Reload: got %v, want the mend", err)
		}
		r.stop()
		<-r.ended
	})
}

func TestReloadedReadsWell(t *testing.T) {
	t.Parallel()
	got := Reloaded{Added: []string{"a", "b"}, Restart: []string{"store"}}.String()
	want := "configuration reloaded\n  added: a, b\n  changed, but need a restart: store\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
