package daemon

import (
	"context"
	"log/slog"
	"net/url"
	"os"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/relay"
)

// buildLog makes the logger: of the options, or to standard error; masked either way.
func (d *Daemon) buildLog(cfg Config) {
	d.level = new(slog.LevelVar)
	d.level.Set(cfg.Log.Level)
	next := newLogHandler(os.Stderr, cfg.Log.Format, d.level)
	if d.opts.logger != nil {
		next = d.opts.logger.Handler()
	}
	d.log = slog.New(newMaskingHandler(next, cfg.secrets()...))
}

// relayConfig is the session's part of the configuration.
func relayConfig(cfg Config, names []string, opts options, log *slog.Logger) relay.Config {
	return relay.Config{
		URL:         cfg.Relay.URL,
		Insecure:    cfg.Relay.Insecure,
		Project:     cfg.SignalWire.Project,
		Token:       cfg.SignalWire.Token,
		JWT:         cfg.SignalWire.JWT,
		CAFile:      cfg.Relay.CAFile,
		Agent:       "signpost/" + buildInfo().Version,
		Contexts:    names,
		DialContext: opts.dial,
		Logger:      log,
	}
}

// engineConfig is the engine's part of the configuration.
func engineConfig(cfg Config, opts options, log *slog.Logger, m *messaging.Metrics, platform messaging.MessageLog, rules []messaging.Rule, instances func(int), inForce func() *Config) messaging.Config {
	return messaging.Config{
		Consent:        consentPolicy(&cfg, inForce),
		Rules:          rules,
		Instances:      instances,
		Logger:         log,
		Metrics:        m,
		Concurrency:    cfg.Handling.Concurrency,
		HandlerTimeout: cfg.Handling.Timeout,
		MaxAttempts:    cfg.Handling.Attempts,
		GiveUpAfter:    cfg.Handling.GiveUp,
		ReplyExpires:   cfg.Sending.ReplyExpires,
		InDoubt: messaging.InDoubt{
			Wait:    cfg.Sending.InDoubt.Wait,
			Settle:  cfg.Sending.InDoubt.Settle,
			Release: cfg.Sending.InDoubt.Release,
			Resend:  cfg.Sending.InDoubt.Then == DoubtResend,
		},
		Redeliver: messaging.Redeliver{Attempts: cfg.Sending.Redeliver.Attempts, Wait: cfg.Sending.Redeliver.Wait},
		Log:       platform,
		Trace:     opts.trace,
	}
}

// consentPolicy is what the operator chose about consent. Texts, and which contexts are shown
// what people write who opted out, are those of the configuration in force.
func consentPolicy(boot *Config, inForce func() *Config) messaging.ConsentPolicy {
	return messaging.ConsentPolicy{
		Scope:      messaging.Reach(boot.Consent.Scope),
		RepeatStop: consent.Repeat(boot.Consent.RepeatStop),
		Wording:    func(_ string, lang consent.Language) consent.Texts { return inForce().wording(lang) },
		Observe:    func(context string) bool { return inForce().Contexts[context].OptedOut == OptedOutObserve },
	}
}

// route builds the routing of a configuration.
func (d *Daemon) route(cfg *Config) (*routing, error) {
	rt, err := newRouting(func(r *contexts.Router) error { return cfg.addContexts(r, d.log) }, d.setup)
	if err == nil {
		rt.heard = d.heard
	}
	return rt, err
}

// equipped is ctx with what handlers use that is the daemon's.
func (d *Daemon) equipped(ctx context.Context) context.Context {
	ctx = handlers.WithMedia(ctx, d.media)
	ctx = handlers.WithForwards(ctx, d.forwards)
	return handlers.WithMetrics(ctx, d.outside)
}

// secrets are the literal values that no log may hold.
func (c *Config) secrets() []string {
	s := []string{c.SignalWire.Token.Reveal(), c.SignalWire.JWT.Reveal(), c.HTTP.Token.Reveal()}
	if u, err := url.Parse(c.Store.Reveal()); err == nil && u.User != nil {
		password, _ := u.User.Password()
		s = append(s, password)
	}
	return s
}
