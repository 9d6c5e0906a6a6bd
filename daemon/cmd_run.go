package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func (c *cli) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Run the daemon in the foreground until SIGINT or SIGTERM: it then leaves its
contexts, finishes and answers what it has taken, and exits with 0, or with 75 if
something could not be finished within shutdown.budget, 25 seconds by default. A second
signal ends it at once.
SIGHUP reloads the configuration, as does "signpost reload".

Exit codes: 0 stopped, nothing left; 69 something needed does not answer; 75 work left;
77 the platform rejected the credentials; 78 the configuration is unusable.`,
		Example: "  signpost run\n  signpost run --config /etc/signpost/config.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return exitf(ExitUsage, "run takes no arguments; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
}

// gcPercent trades a little of the processor, of which there is plenty, for memory: most of
// what lives long are tables of ids without pointers, which cost the collector nothing to
// keep, and the usual 100 would let as much garbage gather again.
const gcPercent = 35

func (c *cli) run(ctx context.Context) error {
	// First of all: until then a SIGHUP, which promises a reload, would end the process. One
	// that comes during the start is answered by a reload once there is a daemon.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	cfg, err := c.loadToRun()
	if err != nil {
		return err
	}
	reread := func() (Config, error) {
		next, err := c.loadToRun()
		if err != nil {
			return Config{}, err
		}
		return *next.Config, nil
	}
	d, err := New(*cfg.Config, c.setup, append(c.opts[:len(c.opts):len(c.opts)], WithReload(reread))...)
	if err != nil {
		return err
	}
	slog.SetDefault(d.log) // what handlers log without a logger of their own is masked too
	for _, f := range cfg.findings {
		d.log.Warn("configuration", "finding", f.String())
	}
	defer reloadOnHangup(ctx, d, hangups)()
	return d.Run(ctx)
}

// reloadOnHangup reloads the daemon's configuration on each hangup, one at a time.
func reloadOnHangup(ctx context.Context, d *Daemon, hangups <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-hangups:
				_, _ = d.Reload(ctx) // it logs its own outcome
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
