package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/loadserver"
)

// sample is what one run of one client gave.
type sample struct {
	loadserver.Result
	start time.Duration // from the start of the process to subscribed
	cpu   time.Duration // from the first inbound to the end of the process: work put off until then counts
	rss   int64         // peak, in bytes, when the last answer was in
	idle  float64       // fraction of one core used without any message

	growth growth

	commits *commits // of the journal during the load; nil if the client has none, or was killed in between
}

// measure runs one client once.
func (b *bench) measure(ctx context.Context, c client, sc scenario) (s sample, err error) {
	b.runs++
	dir := filepath.Join(b.scratch, fmt.Sprintf("run-%03d-%s", b.runs, sc.name))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return s, fmt.Errorf("make a directory for the run: %w", err)
	}
	if b.temporary {
		defer os.RemoveAll(dir)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	life := &life{client: c, place: place{dir: dir}}
	if c.journal != nil {
		j, err := c.journal(ctx, dir)
		if err != nil {
			return s, err
		}
		if j.drop != nil {
			defer func() { err = errors.Join(err, j.drop()) }()
		}
		life.place.store = j.url
	}
	defer life.end()
	cfg := sc.load
	if sc.crash && c.store == "postgres" {
		cfg.Patience, cfg.Linger = takeoverPatience, takeoverLinger
	}
	if sc.crash {
		cfg.Disrupt = func() {
			if err := life.crash(); err != nil {
				cancel(err)
			}
		}
	}
	server, err := loadserver.Start(cfg)
	if err != nil {
		return s, err
	}
	defer server.Close()
	life.place.url = server.URL()

	began := time.Now()
	proc, err := life.begin()
	if err != nil {
		return s, err
	}
	if !sc.crash {
		ended := proc.ended // proc itself is looked up again at the end of the load
		go func() {
			select {
			case <-ended:
				cancel(errors.New("the client ended by itself"))
			case <-ctx.Done():
			}
		}()
	}
	waiting, stopWaiting := context.WithTimeout(ctx, subscribeWithin)
	err = server.WaitSubscribed(waiting)
	stopWaiting()
	if err != nil {
		return s, fmt.Errorf("%w; the client wrote:\n%s", err, proc.tail())
	}
	s.start = time.Since(began)

	before, err := proc.cpu()
	if err != nil {
		return s, err
	}
	if sc.idle > 0 {
		return s.afterIdle(ctx, proc, before, sc.idle)
	}
	if sc.startOnly {
		s.rss, err = proc.peakRSS()
		return s, err
	}
	s.Result, s.growth, err = serve(ctx, server, proc, sc)
	if err != nil {
		return s, fmt.Errorf("%w; the client wrote:\n%s", err, proc.tail())
	}
	if proc = life.current(); proc == nil {
		return s, errors.New("the client is gone at the end of the load")
	}
	if s.rss, err = proc.peakRSS(); err != nil {
		return s, err
	}
	if c.store != "" && !sc.crash {
		told, err := scrapeCommits(life.place.log())
		if err != nil {
			return s, err
		}
		s.commits = &told
	}
	s.cpu = life.end() - before
	return s, nil
}

// A killed daemon on PostgreSQL is taken for dead by the next one when its lease of 10 s and the margin of 5 s are over:
// what was under way waits for so long.
const (
	takeoverPatience = 40 * time.Second
	takeoverLinger   = 20 * time.Second
)

// serve runs the load, and watches the memory of the client meanwhile if the scenario asks for it.
func serve(ctx context.Context, server *loadserver.Server, proc *child, sc scenario) (r loadserver.Result, g growth, err error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan []rssAt, 1)
	if sc.growth > 0 {
		go func() { watched <- watchRSS(watching, proc, server.Answered) }()
	}
	r, err = server.Load(ctx)
	stop()
	if err == nil && sc.growth > 0 {
		g, err = growthOf(<-watched, sc.growth)
	}
	return r, g, err
}

// afterIdle watches a subscribed client that gets nothing but pings.
func (s sample) afterIdle(ctx context.Context, proc *child, before time.Duration, watch time.Duration) (sample, error) {
	began := time.Now()
	select {
	case <-time.After(watch):
	case <-ctx.Done():
		return s, context.Cause(ctx)
	}
	after, err := proc.cpu()
	if err != nil {
		return s, err
	}
	s.idle = (after - before).Seconds() / time.Since(began).Seconds()
	s.rss, err = proc.peakRSS()
	return s, err
}

// life is the sequence of processes of one client in one run: more than one where the run kills it. The server kills on its
// own goroutine.
type life struct {
	client client
	place  place

	mu   sync.Mutex
	proc *child
	past time.Duration // processor time of the processes that are gone
}

func (l *life) begin() (*child, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beginLocked()
}

func (l *life) beginLocked() (*child, error) {
	proc, err := l.client.start(l.place)
	if err == nil {
		l.proc = proc
	}
	return proc, err
}

// crash kills the process and starts it again on what it left behind.
func (l *life) crash() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proc == nil {
		return nil // the run is over
	}
	l.proc.kill()
	l.past += l.proc.used()
	l.proc = nil
	_, err := l.beginLocked()
	return err
}

// current returns the running process, nil when there is none.
func (l *life) current() *child {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proc
}

// end stops the process, if there is one, and returns the processor time of all.
func (l *life) end() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proc != nil {
		l.proc.stop()
		l.past += l.proc.used()
		l.proc = nil
	}
	return l.past
}
