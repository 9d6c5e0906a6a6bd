// Forgetful is Signpost that keeps finished messages for half a minute, shorter than its configuration allows, so that a
// run of minutes removes as many from the journal as it adds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/signpost-sms/signpost/daemon"
)

// keeps is how long what is finished is kept.
const keeps = 30 * time.Second

// gcPercent is what the commands of Signpost run with.
const gcPercent = 35

func main() {
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "forgetful:", err)
		os.Exit(1)
	}
}

// run takes the arguments of signpost run.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "run" {
		return errors.New("write: forgetful run --config FILE")
	}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	path := flags.String("config", "", "configuration file")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	cfg, findings := daemon.LoadConfig(daemon.Source{Path: *path, Environ: os.Environ()})
	if cfg == nil {
		return fmt.Errorf("read the configuration: %v", findings)
	}
	cfg.Retention.Texts, cfg.DedupeFor = keeps, keeps
	d, err := daemon.New(*cfg, nil)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}
