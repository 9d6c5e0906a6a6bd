package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// prunes is a store that answers as told, and notes when it was asked for what.
type prunes struct {
	answers []func() (int64, error)
	at      []time.Duration // since the start
	before  []time.Duration // how long ago
	began   time.Time
}

func (p *prunes) prune(_ context.Context, before time.Time) (int64, error) {
	p.at = append(p.at, time.Since(p.began))
	p.before = append(p.before, time.Since(before))
	if len(p.answers) == 0 {
		return 0, nil
	}
	next := p.answers[0]
	p.answers = p.answers[1:]
	return next()
}

func rows(n int64) func() (int64, error) { return func() (int64, error) { return n, nil } }
func breaks(text string) func() (int64, error) {
	return func() (int64, error) { return 0, errors.New(text) }
}

func TestPrunerStepsWhileThereIsSomethingAndRestsOtherwise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &prunes{began: time.Now(), answers: []func() (int64, error){
			rows(1000), rows(7), rows(0), breaks("disk full"), breaks("disk full"), breaks("no such disk"), rows(0),
		}}
		var keep atomic.Int64
		keep.Store(int64(30 * day))
		log := &logBuffer{}
		p := newPruner(store.prune, func() time.Duration { return time.Duration(keep.Load()) }, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.run(ctx) }()
		time.Sleep(pruneFirst + 2*prunePause)
		synctest.Wait()
		if age := unixSeconds(time.Now()) - testutil.ToFloat64(p.success); age < -1 || age > 1 {
			t.Errorf("the last success was %v s ago, want now", age)
		}
		keep.Store(int64(90 * day)) // a reload
		time.Sleep(4 * pruneEvery)
		synctest.Wait()
		stop()
		<-done

		want := []time.Duration{pruneFirst, pruneFirst + prunePause, pruneFirst + 2*prunePause}
		for i := 1; i <= 4; i++ {
			want = append(want, want[2]+time.Duration(i)*pruneEvery)
		}
		if diff := cmp.Diff(want, store.at); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if store.before[0] != 30*day || store.before[3] != 90*day {
			t.Errorf("pruned what was older than %v, want 30 days and, after the reload, 90", store.before)
		}
		if got := testutil.ToFloat64(p.rows); got != 1007 {
			t.Errorf("pruned rows: got %v, want 1007", got)
		}
		said := log.String()
		for text, times := range map[string]int{"err=\"disk full\"": 1, "no such disk": 1, "pruned again": 1} {
			if got := strings.Count(said, text); got != times {
				t.Errorf("%q was logged %d times, want %d:\n%s", text, got, times, said)
			}
		}
	})
}

// The pruner of a daemon asks its store, and its end does not wait for the next round.
func TestDaemonPrunes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startDaemon(t, newSpace(t), serving("support"))
		r.waitReady()
		if got := testutil.ToFloat64(r.pruner.success); got != 0 {
			t.Errorf("pruned at once: %v", got)
		}
		time.Sleep(2 * pruneFirst)
		synctest.Wait()
		if got := testutil.ToFloat64(r.pruner.success); got == 0 {
			t.Error("never pruned")
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
