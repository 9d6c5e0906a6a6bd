package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/contexts"
)

// Main is a whole signpost binary: it runs the command that the process was started with and
// returns its exit code. setup adds contexts with handlers of your own to those of the
// configuration; it may be nil, is called once for each load of the configuration, and may
// use every method of the router. Its middleware is around its own contexts only.
func Main(setup func(*contexts.Router), opts ...Option) int {
	c := &cli{
		in: os.Stdin, out: os.Stdout, errw: os.Stderr, environ: os.Environ, exit: os.Exit,
		setup: setup, opts: opts,
	}
	return c.main(os.Args[1:])
}

// cli is what the commands share: the process around them.
type cli struct {
	in        io.Reader
	out, errw io.Writer
	environ   func() []string
	exit      func(code int) // for the second signal
	setup     func(*contexts.Router)
	opts      []Option

	configPath string // --config
	asJSON     bool   // --json
	began      bool   // a command has begun: errors are its own, not of usage
}

func (c *cli) main(args []string) int {
	root := c.root()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.errw)
	ctx, stop := c.untilSignal(context.Background())
	defer stop()
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	var code *exitError
	if !c.began && !errors.As(err, &code) {
		// cobra found the arguments wrong before any command of ours ran.
		err = exitf(ExitUsage, "%w; see %s --help", err, cmd.CommandPath())
	}
	if !errors.Is(err, errSilent) {
		prefix := "signpost: "
		if errors.As(err, new(unusableError)) {
			prefix = "" // FILE:LINE:COL comes first, where editors look for it
		}
		_, _ = fmt.Fprintf(c.errw, "%s%v\n", prefix, err)
	}
	return ExitCode(err)
}

// errSilent is the error of a command whose output has said everything.
var errSilent = errors.New("see above")

// echoWithin is how soon after the first signal another one is taken for its echo: timeout of
// coreutils signals the process and then its group, a terminal and a supervisor may each pass
// on the same Ctrl+C. Nobody gives up waiting so fast.
const echoWithin = 500 * time.Millisecond

// untilSignal ends the context on SIGINT or SIGTERM, the request to stop in order, and the
// process on the second one: who asks twice does not want to wait.
func (c *cli) untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		s, ok := second(signals, time.Now())
		if !ok {
			return
		}
		_, _ = fmt.Fprintf(c.errw, "signpost: second signal (%v): leaving at once, work may be left unfinished\n", s)
		c.exit(ExitDrain)
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// second waits for a signal that is no echo of the first; false if there will be none.
func second(signals <-chan os.Signal, first time.Time) (os.Signal, bool) {
	for s := range signals {
		if time.Since(first) >= echoWithin {
			return s, true
		}
	}
	return nil, false
}

// root is the command line.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "signpost",
		Short: "Answer text messages with SignalWire Relay",
		Long: `Signpost keeps one Relay session to SignalWire, journals every text message that
arrives on your contexts, runs their handlers and sends the replies. It needs no
public webhook URL.

Begin with "signpost dev": a simulated space and a telephone in this terminal.`,
		Example:           "  signpost dev\n  signpost run --config signpost.yaml",
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRun:  func(*cobra.Command, []string) { c.began = true },
		Args:              cobra.NoArgs,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.PersistentFlags().StringVarP(&c.configPath, "config", "c", "",
		"configuration file (default: $SIGNPOST_CONFIG, else the first of "+strings.Join(configPlaces, ", ")+")")
	root.AddCommand(
		c.runCommand(), c.initCommand(), c.devCommand(), c.listenCommand(), c.simCommand(), c.triggerCommand(), c.checkCommand(), c.lintCommand(), c.reloadCommand(),
		c.healthCommand(), c.explainCommand(), c.messagesCommand(), c.deadLettersCommand(), c.doubtsCommand(),
		c.sendCommand(), c.cancelCommand(), c.bulkCommand(), c.consentCommand(), c.rulesCommand(), c.backupCommand(), c.versionCommand(), c.completionCommand(),
	)
	return root
}

// printf prints to the command's output.
func (c *cli) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // a closed pipe is the reader's choice
}

// getenv is os.Getenv of the environment that the command was given.
func (c *cli) getenv(name string) string {
	value := ""
	for _, kv := range c.environ() {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v // the last one counts
		}
	}
	return value
}
