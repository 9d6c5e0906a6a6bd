package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/relay"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// devConfig is what "signpost dev" answers with when there is no configuration file.
const devConfig = `brand: Example Shop
consent: {contact: help@example.com}
contexts:
  support:
    handlers:
      - keyword: {words: [HOURS, OPEN], reply: "We're open Mon-Fri 9am-5pm."}
      - keyword: {words: [AGENT], reply: "A person will text you shortly."}
      - reply: "Thanks for writing to support. You said: {{.Body}}"
  sales:
    handlers:
      - keyword: {words: [PRICES, PRICE], reply: "Plans start at $9 a month."}
      - reply: "Sales here. Text PRICES for our prices."
  billing:
    handlers:
      - keyword: {words: [BALANCE], reply: "Your balance is $0.00."}
`

// devHandset is the number of the handset, one that fiction may use. Its ending is none of
// the simulator's magic ones.
const devHandset = "+12025550123"

func (c *cli) devCommand() *cobra.Command {
	var from, to, level, control string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Try it out: a simulated space, the daemon and a telephone in this terminal",
		Long: `Run a simulated Relay space, the daemon and a telephone in one process. No account, no
network, nothing is stored. It answers with your configuration, if there is one, else with
a small built-in one of the contexts support, sales and billing. sending.limits is off.

In a terminal it is a telephone: Tab changes the context that is texted. Otherwise it reads
lines and prints what comes back, and ends when everything has been answered:
  support: hello     texts the context support
  hello              texts the context in use
  /to sales          changes the context in use

With --from a number that has a magic ending, replies meet another fate; +12025559002 is
refused by its carrier. All endings: GET /control/magic of "signpost sim", or
relay/relaytest/CONTROL.md.`,
		Example: "  signpost dev\n  echo 'support: HOURS' | signpost dev\n  signpost dev --config signpost.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lv := slog.LevelWarn
			if err := lv.UnmarshalText([]byte(level)); err != nil {
				return exitf(ExitUsage, "--log-level %q is none of debug, info, warn, error", level)
			}
			if !ownNumber.MatchString(from) {
				return exitf(ExitUsage, "--from is no phone number; write it with + and country code, without spaces, such as %s", devHandset)
			}
			return c.dev(cmd.Context(), messaging.Number(from), to, control, lv)
		},
	}
	cmd.Flags().StringVar(&from, "from", devHandset, "the telephone's number")
	cmd.Flags().StringVar(&to, "to", "", "the context to text first (default: support, or else the first)")
	cmd.Flags().StringVar(&control, "control", "", "serve the simulator's control API at this address, for \"signpost trigger\"; usually "+simControl)
	cmd.Flags().StringVar(&level, "log-level", "warn", "what of the daemon's log to show: debug, info, warn, error")
	return cmd
}

// dev runs the three of them until the person leaves, the input ends or ctx ends.
func (c *cli) dev(ctx context.Context, from messaging.Number, to, control string, level slog.Level) error {
	space, err := relaytest.Start(relaytest.Config{InMemory: control == "", HTTPAddr: control})
	if err != nil {
		return exitf(ExitUnavailable, "start the simulator: %w", err)
	}
	defer space.Close()
	cfg, err := c.loadDev(space.URL())
	if err != nil {
		return err
	}

	onScreen := isTerminal(c.in) && isTerminal(c.out)
	logTo := c.errw
	if onScreen {
		logTo = io.Discard // the terminal is the telephone's
	}
	p, line := newPhone(from), newPhoneLine()
	d, err := New(cfg, c.setup, append(c.opts[:len(c.opts):len(c.opts)],
		WithLogger(slog.New(newLogHandler(logTo, LogAuto, level))),
		WithDial(space.DialContext),
		withStore(memory.New(memory.Config{})),
		withTrace(line.trace),
		withStates(func(s relay.State) { line.put(phoneEvent{session: s.String()}) }),
	)...)
	if err != nil {
		return err
	}
	slog.SetDefault(d.log) // what handlers log without a logger of their own belongs there too
	for i, name := range d.routing.names() {
		p.threads = append(p.threads, &thread{context: name, ours: messaging.Number(fmt.Sprintf("+1202555%04d", 100+i))})
	}
	if len(p.threads) == 0 {
		return errors.Join(noConfig(), d.life.stop())
	}
	first, err := p.first(to)
	if err != nil {
		return errors.Join(err, d.life.stop())
	}
	send := func(th *thread, body string) (string, error) {
		in, err := space.Inject(relaytest.SMS{From: string(from), To: string(th.ours), Context: th.context, Body: body}, relaytest.Target{})
		if err != nil {
			return "", err
		}
		if len(in.Deliveries) == 0 {
			return "", errors.New("the daemon is not connected yet; try again")
		}
		return in.MessageID, nil
	}
	return c.withDaemon(ctx, d, func(ctx context.Context) error {
		if onScreen {
			return runScreen(ctx, newScreen(ctx, p, line, send, first))
		}
		return (&plainPhone{phone: p, line: line, send: send, out: c.out, to: p.threads[first]}).run(ctx, c.in)
	})
}

// withDaemon runs f beside the daemon, from when it is ready until f returns, and then
// stops it.
func (c *cli) withDaemon(ctx context.Context, d *Daemon, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel() // if the daemon ends first, so does f
		ended <- d.Run(ctx)
	}()
	var err error
	if d.client.Ready(ctx) == nil {
		err = f(ctx)
	}
	cancel()
	return errors.Join(err, <-ended)
}

// loadDev gives the configuration of dev: the person's own, if there is one, with what would
// touch the world laid over by flags: the platform, secrets in files, the journal, and a port
// that a daemon may be using.
func (c *cli) loadDev(relayURL string) (Config, error) {
	src := Source{Path: "built-in", Text: []byte(devConfig), NoCredentials: true}
	if c.setup != nil { // a binary with contexts of its own needs none of ours
		src = Source{NoCredentials: true, ContextsInCode: true}
	}
	src.Flags = map[string]string{
		"signalwire.space":    "",
		"signalwire.project":  simProject,
		"signalwire.token":    simToken,
		"signalwire.jwt":      "",
		"signalwire.jwt_file": "",
		"relay.url":           relayURL,
		"relay.insecure":      "on",
		"relay.ca_file":       "",
		"store":               "memory:",
		"http.listen":         "",
		"http.token":          simToken,
		"sending.limits":      "off", // a script that types is no loop of machines
	}
	cfg, err := c.load(src)
	if err != nil {
		return Config{}, err
	}
	return *cfg.Config, nil
}
