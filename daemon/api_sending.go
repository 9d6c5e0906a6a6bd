package daemon

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/otp"
	"github.com/signpost-sms/signpost/messaging/sms"
	"github.com/signpost-sms/signpost/messaging/texts"
)

// apiSending is what the local API has to know to send.
func (d *Daemon) apiSending(cfg Config) api.Sending {
	return api.Sending{
		Project: cfg.SignalWire.Project, Contexts: d.servedContexts, Recent: d.recent, Forwards: d.forwards,
		ReplyWindow:  func() time.Duration { return d.cfg.Load().Sending.ReplyWindow },
		ReplyExpires: func() time.Duration { return d.cfg.Load().Sending.ReplyExpires },
		Callback:     func(url string) error { return allowedCallback(url, d.cfg.Load().Callbacks.Allow) },
		Options:      sms.Options{Prefix: cfg.Sending.TrialPrefix},
	}
}

// servedContexts are those that the daemon serves now, sorted.
func (d *Daemon) servedContexts() []string {
	if names := d.served.Load(); names != nil {
		return *names
	}
	return nil
}

// serve notes which contexts are served from now on.
func (d *Daemon) serve(names []string) { d.served.Store(&names) }

// journalTakes says why the journal takes nothing at the moment.
func (d *Daemon) journalTakes() error {
	s := d.engine.Status()
	if s.JournalWritable || s.JournalError == "" {
		return nil
	}
	return errors.New(s.JournalError)
}

// texts are the templates of the configuration in force.
func (d *Daemon) texts() *texts.Set {
	set, _ := d.cfg.Load().texts() // its problems were found when it was loaded
	return set
}

// jobsEvery is how often the bulk jobs are read again where other daemons change them.
const jobsEvery = 15 * time.Second

// followJobs reads the bulk jobs until they are known, and changes of other daemons.
func (d *Daemon) followJobs(ctx context.Context) {
	every := time.Duration(0)
	if d.store.Traits().Shared {
		every = jobsEvery
	}
	d.jobs.Follow(ctx, every, func(err error) { d.log.Warn("the bulk jobs cannot be read; their rows wait", "err", err) })
}

// recall reads who wrote lately, before this process began.
func (d *Daemon) recall(ctx context.Context) {
	archive, ok := d.store.(messaging.Archive)
	if !ok {
		return
	}
	if err := d.recent.Load(ctx, archive); err != nil && ctx.Err() == nil {
		d.log.Warn("who wrote lately cannot be read; until they write again, what the API sends them is a notification unless it says otherwise", "err", err)
	}
}

// gateRules are asked about every send, in this order.
func (d *Daemon) gateRules() []messaging.Rule {
	return append([]messaging.Rule{d.recent, d.jobs}, d.policy.Rules()...)
}

// buildCallbacks lets the callbacks of sends be told, where the journal can be asked.
func (d *Daemon) buildCallbacks(cfg Config) {
	archive, ok := d.store.(messaging.Archive)
	if !ok {
		return
	}
	sending := d.apiSending(cfg)
	d.callbacks = newCallbacks(d.engine, archive, &sending, d.log, d.reg)
}

// bookmark begins to look after a send that has a callback; nil without one to do so.
func (d *Daemon) bookmark() func(*messaging.Send) *messaging.ValueChange {
	if d.callbacks == nil {
		return nil
	}
	return d.callbacks.bookmark
}

// heard is told of each event that is to be handled.
func (d *Daemon) heard(ev *messaging.Event) {
	if d.callbacks != nil { // set before the engine runs
		d.callbacks.heard(ev)
	}
}

// servedChains lists the contexts with what the configuration says that they run.
func (d *Daemon) servedChains() []api.Served {
	cfg, confirmed := d.cfg.Load(), d.client.Status().Contexts
	var list []api.Served
	for _, name := range d.servedContexts() {
		s := api.Served{Name: name, Subscribed: slices.Contains(confirmed, name)}
		for _, h := range cfg.Contexts[name].Handlers {
			s.Handlers = append(s.Handlers, h.Name)
		}
		for _, h := range cfg.Contexts[name].States {
			s.States = append(s.States, h.Name)
		}
		list = append(list, s)
	}
	return list
}

// codes are the one-time codes. Their secret is made of the platform's, which all daemons of
// a journal have and a restart does not change; nil without one.
func (d *Daemon) codes(cfg Config) api.Codes {
	key := cmp.Or(cfg.SignalWire.Token.Reveal(), cfg.SignalWire.JWT.Reveal())
	if key == "" {
		return nil
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("signpost one-time codes"))
	codes, err := otp.New(d.engine, otp.Config{Secret: mac.Sum(nil), Metrics: otp.NewMetrics(d.reg)})
	if err != nil {
		d.log.Error("there are no one-time codes", "err", err)
		return nil
	}
	return codes
}
