package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The pace of the pruner. A step holds the store for a moment; the pause after it leaves the
// store to the messages.
const (
	pruneFirst = time.Minute            // after the start, which has better to do
	prunePause = 250 * time.Millisecond // between steps that removed something
	pruneEvery = 5 * time.Minute        // when there was nothing left to remove, and after a failure
	// pruneBudget is what a step under way may take of the stop.
	pruneBudget = 2 * time.Second
)

// pruner removes from the journal what has been kept for long enough.
type pruner struct {
	prune func(ctx context.Context, before time.Time) (int64, error)
	keep  func() time.Duration // asked before each step, since a reload may change it
	log   *slog.Logger

	rows    prometheus.Counter
	success prometheus.Gauge
}

func newPruner(prune func(ctx context.Context, before time.Time) (int64, error), keep func() time.Duration, log *slog.Logger, reg prometheus.Registerer) *pruner {
	p := &pruner{
		prune: prune, keep: keep, log: log.With("component", "retention"),
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: metricsNamespace, Name: "pruned_rows_total", Help: "Rows of the journal that lost their text or were removed because of their age.",
		}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: metricsNamespace, Name: "prune_last_success_timestamp_seconds", Help: "When the journal was last searched for what is too old, without a failure; 0 if not yet.",
		}),
	}
	reg.MustRegister(p.rows, p.success)
	return p
}

// run prunes until ctx ends. A failure is logged when it begins and when it is another one,
// and its end once.
func (p *pruner) run(ctx context.Context) {
	timer := time.NewTimer(pruneFirst)
	defer timer.Stop()
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		n, err := p.prune(ctx, time.Now().Add(-p.keep()))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if text := err.Error(); text != failing {
				failing = text
				p.log.Error("the journal cannot be pruned, old texts stay in it", "err", err)
			}
			timer.Reset(pruneEvery)
			continue
		}
		if failing != "" {
			failing = ""
			p.log.Info("the journal can be pruned again")
		}
		p.rows.Add(float64(n))
		p.success.SetToCurrentTime()
		if n > 0 {
			timer.Reset(prunePause)
		} else {
			timer.Reset(pruneEvery)
		}
	}
}
