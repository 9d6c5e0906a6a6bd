package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/mediafetch"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/relay"
)

// The budgets of the stop, in its order; the configured shutdown.budget, 25 s by default, is
// their sum. An orchestrator kills without a word after its grace period, 30 s in
// Kubernetes: the budget and one stopSlack for each step that hangs should lie below that,
// so that it is we who say what is stuck.
//
// The engine gets what the others leave, 13.5 s of the 25: more than the 10 s in which the
// platform may answer a send.
const (
	leaveBudget   = 2 * time.Second        // unreceive every context and hear the platform confirm it
	sessionBudget = 6 * time.Second        // the closing handshake, 5 s against a silent peer
	httpBudget    = 500 * time.Millisecond // scrapes under way
	storeBudget   = 3 * time.Second        // the last checkpoint
)

// finishBudget is the engine's share: journal, ack, run handlers, send.
func finishBudget(total time.Duration) time.Duration {
	return max(total-leaveBudget-sessionBudget-httpBudget-storeBudget, total/4)
}

// Daemon is one Signpost process: a store, a Relay session, an engine and the local HTTP
// endpoints. Make one with [New]; all methods are safe for concurrent use.
type Daemon struct {
	boot      Config                 // what the parts that need a restart run with
	cfg       atomic.Pointer[Config] // in force otherwise
	load      func() (Config, error) // how Reload gets the next one; nil: it cannot
	setup     func(*contexts.Router)
	opts      options
	log       *slog.Logger
	level     *slog.LevelVar
	sup       supervisor
	life      lifecycle
	store     messaging.Store
	client    *relay.Client
	platform  messaging.MessageLog // nil: there is none to ask
	policy    *policy.Policy
	counting  messaging.Counting // nil: what is counted is this daemon's alone
	keeper    keeper             // nil: what was counted ends with the process
	engine    *messaging.Engine
	reg       *prometheus.Registry
	metrics   *configMetrics
	pruner    *pruner
	media     *mediafetch.Fetcher
	outside   *handlers.Metrics
	forwards  *handlers.Forwards
	recent    *api.Recent
	jobs      *api.Jobs
	callbacks *callbacks
	served    atomic.Pointer[[]string] // the contexts
	http      http.Handler

	reloading sync.Mutex // one reload at a time
	routing   *routing   // guarded by reloading
	started   atomic.Bool
	draining  atomic.Bool
	listening atomic.Pointer[net.TCPAddr]
}

// New builds a daemon from a valid configuration: it opens the store and wires everything,
// but neither dials nor listens; Run does. setup adds contexts of your own to those of the
// configuration and may be nil. When New fails it has closed what it had opened.
func New(cfg Config, setup func(*contexts.Router), opts ...Option) (*Daemon, error) {
	d := &Daemon{setup: setup}
	for _, o := range opts {
		o(&d.opts)
	}
	if err := d.build(cfg); err != nil {
		return nil, errors.Join(err, d.life.stop())
	}
	return d, nil
}

func (d *Daemon) build(cfg Config) (err error) {
	d.boot = cfg
	d.cfg.Store(&cfg)
	d.buildLog(cfg)
	d.life.log, d.sup.log = d.log, d.log
	d.load = d.opts.load
	d.reg, d.metrics = newRegistry()

	if d.routing, err = d.route(&cfg); err != nil {
		return withExit(ExitConfig, err)
	}
	if d.store = d.opts.store; d.store == nil {
		if d.store, err = openStore(cfg, d.log); err != nil {
			return err
		}
	}
	d.life.onStop("store", storeBudget, func(context.Context) error { return d.store.Close() })

	if d.client, err = relay.New(relayConfig(cfg, d.routing.names(), d.opts, d.log)); err != nil {
		return withExit(ExitConfig, fmt.Errorf("configure the session: %w", err))
	}
	if d.platform, err = newMessageLog(cfg, d.log); err != nil {
		return err
	}
	if d.media, err = newMedia(&cfg); err != nil {
		return withExit(ExitConfig, err)
	}
	d.outside, d.forwards = handlers.NewMetrics(d.reg), handlers.NewForwards()
	d.recent, d.jobs = api.NewRecent(replyWindowMost), api.NewJobs()
	d.serve(d.routing.names())
	if err = d.buildPolicy(&cfg); err != nil {
		return err
	}
	d.engine = messaging.NewEngine(d.store, d.routing, d.client, engineConfig(cfg, d.opts, d.log, messaging.NewMetrics(d.reg), d.platform, d.gateRules(), d.policy.Instances, d.cfg.Load))
	d.jobs.Use(d.engine)
	d.buildCallbacks(cfg)
	d.reg.MustRegister(newStatusCollector(d.client.Status, d.engine.Status))
	d.pruner = newPruner(d.store.Prune, func() time.Duration { return d.cfg.Load().Retention.Texts }, d.log, d.reg)
	d.metrics.loaded(cfg.Hash())
	d.http = d.handler(cfg)
	return nil
}

// Run serves until ctx ends or the platform refuses the credentials, then stops in order
// and returns. It returns nil after a stop that finished everything; the error of any other
// end carries its exit code, see [ExitCode]. It must be called once.
func (d *Daemon) Run(ctx context.Context) error {
	if d.started.Swap(true) {
		return errors.New("daemon: Run was called twice: make another Daemon")
	}
	ended := make(chan error, 2) // the session and the engine each say once that they ended
	if err := d.start(ended); err != nil {
		return errors.Join(err, d.life.stop())
	}
	var cause error
	select {
	case <-ctx.Done():
		d.log.Info("stopping")
	case cause = <-ended:
		cause = explainEnd(cause)
	}
	d.sup.stopping()
	d.draining.Store(true)
	err := errors.Join(cause, d.stopped(d.life.stop()))
	if err == nil {
		d.log.Info("stopped, nothing was left")
	}
	return err
}

// explainEnd gives the exit code of a session or an engine that ended by itself.
func explainEnd(cause error) error {
	var auth *relay.AuthError
	switch {
	case errors.As(cause, &auth):
		return withExit(ExitCredentials, cause)
	case cause == nil:
		return exitf(ExitInternal, "the session ended without a reason; please report this")
	}
	return withExit(ExitInternal, cause)
}

// stopped gives the exit code of a stop that did not go well.
func (d *Daemon) stopped(err error) error {
	if errors.Is(err, messaging.ErrDrainIncomplete) || errors.Is(err, errStuck) {
		return withExit(ExitDrain, err)
	}
	return withExit(ExitInternal, err)
}

// start brings everything up and notes how to bring it down, in reverse: leave the
// contexts, finish what was taken, close the session, the HTTP endpoints and the store.
// They answer until the end, so that a drain can be watched.
func (d *Daemon) start(ended chan<- error) error {
	if err := d.listen(); err != nil {
		return err
	}

	session, closeSession := context.WithCancel(context.Background())
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		// An error is the cause of the stop, never a result of it.
		if err := d.client.Run(session, d.observed()); session.Err() == nil {
			ended <- err
		}
	}()
	d.life.onStop("session", sessionBudget, func(ctx context.Context) error {
		closeSession()
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})

	stop, finish := context.WithCancel(context.Background())
	work, giveUp := context.WithCancel(d.equipped(context.Background()))
	engineEnd := make(chan error, 1)
	go func() {
		err := d.engine.Run(stop, work)
		engineEnd <- err
		if stop.Err() == nil {
			ended <- err
		}
	}()
	d.life.onStop("engine", finishBudget(d.cfg.Load().Shutdown.Budget), func(ctx context.Context) error {
		finish()
		defer giveUp()
		select {
		case err := <-engineEnd:
			return err
		case <-ctx.Done():
		}
		giveUp()
		return <-engineEnd
	})

	d.life.onStop("contexts", leaveBudget, func(ctx context.Context) error {
		if err := d.client.Shutdown(ctx); err != nil {
			// Harmless: what the platform still sends stays unacknowledged and is its to
			// deliver again.
			d.log.Warn("the platform did not confirm in time that we left the contexts", "err", err)
		}
		return nil
	})

	if d.keeper != nil {
		saving, stopSaving := context.WithCancel(context.Background())
		var saver sync.WaitGroup
		saver.Go(func() { d.keeper.run(saving) })
		d.life.onStop("counters", time.Second, func(context.Context) error {
			stopSaving()
			saver.Wait()
			return nil
		})
	}

	recalling, stopRecalling := context.WithCancel(context.Background())
	var recalled sync.WaitGroup
	recalled.Go(func() { d.recall(recalling) })
	recalled.Go(func() { d.followJobs(recalling) })
	if d.callbacks != nil {
		recalled.Go(func() { d.callbacks.run(recalling) })
	}
	d.life.onStop("api", time.Second, func(context.Context) error {
		stopRecalling()
		recalled.Wait()
		return nil
	})

	keep, stopPruning := context.WithCancel(context.Background())
	var pruning sync.WaitGroup
	pruning.Go(func() { d.pruner.run(keep) })
	pruning.Go(func() { sweepMedia(keep, d.media, d.log) })
	d.life.onStop("retention", pruneBudget, func(context.Context) error {
		stopPruning()
		pruning.Wait()
		return nil
	})

	watch, stopWatching := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { d.sup.watchdog(watch, func() error { return newHealth(d.liveness()).err() }) })
	watching.Go(func() { d.announce(watch) })
	d.life.onStop("service manager", time.Second, func(context.Context) error {
		stopWatching()
		watching.Wait()
		return nil
	})
	return nil
}

// readyPatience is when the service manager is told that the start is over although there is
// no session yet. systemd ends a start after 90 s by default, and a restart would not bring
// the platform back; until then a refusal of the credentials still fails the start.
const readyPatience = 60 * time.Second

// announce tells the service manager that the start is over once the session is ready.
func (d *Daemon) announce(ctx context.Context) {
	began := time.Now()
	patience := time.AfterFunc(readyPatience, func() {
		d.log.Warn("still not ready; retrying for as long as it takes", "state", d.client.Status().State.String())
		d.sup.ready()
	})
	defer patience.Stop()
	if d.client.Ready(ctx) != nil {
		return
	}
	d.log.Info("ready", "contexts", d.client.Status().Contexts, "after", time.Since(began).Round(time.Millisecond))
	d.sup.ready()
}

// listen opens the local HTTP endpoints.
func (d *Daemon) listen() error {
	cfg := d.cfg.Load()
	if cfg.HTTP.Listen == "" {
		return nil
	}
	if !loopbackListener(cfg.HTTP.Listen) && cfg.HTTP.Token == "" {
		// LoadConfig refuses this too; a Config made in code has not been through it.
		return exitf(ExitConfig, "http.listen can be reached by other machines, so that http.token is needed; set it, or listen on 127.0.0.1")
	}
	ln, err := net.Listen("tcp", cfg.HTTP.Listen)
	if err != nil {
		return exitf(ExitUnavailable, "listen on http.listen: %w; is another signpost running? Choose another address, or \"\" to turn the local HTTP endpoints off", err)
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
		d.listening.Store(tcp)
	}
	srv := newHTTPServer(d.http, d.log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("the local HTTP endpoints ended", "err", err)
		}
	}()
	d.life.onStop("http", httpBudget, func(ctx context.Context) error {
		if err := srv.Shutdown(ctx); err != nil {
			err = srv.Close() // a scrape that takes its time is not worth waiting for
			<-done
			return err
		}
		<-done
		return nil
	})
	d.log.Info("local HTTP endpoints", "url", "http://"+ln.Addr().String())
	return nil
}

// Addr is where the local HTTP endpoints listen; nil before Run and when they are off.
func (d *Daemon) Addr() net.Addr {
	if a := d.listening.Load(); a != nil {
		return a
	}
	return nil
}

// observed is the engine, with whoever else wants to hear of the session's states.
func (d *Daemon) observed() relay.Handler {
	if d.opts.onState == nil {
		return d.engine
	}
	return stateObserver{d.engine, d.opts.onState}
}

type stateObserver struct {
	relay.Handler
	onState func(relay.State)
}

func (o stateObserver) HandleState(s relay.State) {
	o.Handler.HandleState(s)
	o.onState(s)
}
