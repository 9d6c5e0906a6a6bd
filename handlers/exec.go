package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// The exit codes of a program of [Exec] that mean something, by sysexits.h.
const (
	exitRefused = 65 // EX_DATAERR: never again
	exitLater   = 75 // EX_TEMPFAIL: not now
)

// killDelay is how long the output of a program is waited for that has ended or been killed:
// a process that it started may hold it open.
const killDelay = time.Second

// Exec runs a program for every message; see [ExecOptions]. It panics if there is none.
func Exec(command ...string) messaging.Middleware {
	mw, err := (&ExecOptions{Command: command}).Middleware(Env{Where: "handlers.Exec"})
	if err != nil {
		panic("handlers: Exec: " + err.Error())
	}
	return mw
}

// ExecOptions are the options of [Exec].
//
// The program gets the event as JSON on standard input: for a message
//
//	{"message_id", "from", "to", "body", "media", "timestamp", "context"}
//
// and for a delivery state {"message_id", "status", "timestamp", "context"}. It prints nothing,
// or a JSON object that may have a reply: {"reply": "...", "media": ["https://..."]}. What it
// writes to standard error goes to that of the daemon.
//
// Exit code 0 is a success, which ends the chain. 65 refuses the message, which becomes a dead
// letter. 75 asks for later, until Patience is over. Any other is an error: the message is
// tried again as after any handler's. A message is given to the program at least once; the
// variable IDEMPOTENCY_KEY is the same each time.
//
// The program is run without a shell, one process for each message, in a process group that
// is killed as a whole when the time is over. Of the daemon's environment it has PATH, HOME,
// USER, LANG, TZ and TMPDIR alone: no secret of the daemon.
type ExecOptions struct {
	// Command is the program with its arguments. Required. A name without a slash is looked
	// up in PATH.
	Command []string `yaml:"command"`
	// Dir is where it runs. Default: where the daemon does.
	Dir string `yaml:"dir"`
	// Env are more variables of its environment.
	Env map[string]string `yaml:"env"`
	// Timeout is how long it may take. Default: 10s.
	Timeout Duration `yaml:"timeout"`
	// Patience is how long a message waits while the program exits with 75, from its arrival;
	// then it is a dead letter. Default: 1h.
	Patience Duration `yaml:"patience"`
	// Continue gives the event to the handlers after it too, after a success.
	Continue bool `yaml:"continue"`
}

// SetScalar sets Command to a program without arguments.
func (o *ExecOptions) SetScalar(text string) error {
	if strings.ContainsAny(text, " \t") {
		return errors.New("command: there is no shell to part it: write exec: {command: [program, argument]}")
	}
	if o.Command = nil; text != "" {
		o.Command = []string{text}
	}
	return nil
}

// Middleware makes the middleware.
func (o *ExecOptions) Middleware(env Env) (messaging.Middleware, error) {
	switch {
	case len(o.Command) == 0 || o.Command[0] == "":
		return nil, errors.New("command: there is none: write the program and its arguments, such as [/usr/local/bin/answer, --sms]")
	case o.Timeout < 0:
		return nil, fmt.Errorf("timeout: %v leaves no time: give it a positive duration such as 10s", time.Duration(o.Timeout))
	case o.Patience < 0:
		return nil, fmt.Errorf("patience: %v is negative: give it a positive duration such as 1h", time.Duration(o.Patience))
	}
	p := &program{
		command: slices.Clone(o.Command), dir: o.Dir, timeout: orDuration(o.Timeout, 10*time.Second),
		patience: orDuration(o.Patience, time.Hour), where: env,
	}
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, fmt.Errorf("env: %q is not the name of a variable: write letters, digits and underscores", name)
		}
		p.env = append(p.env, name+"="+o.Env[name])
	}
	goOn := o.Continue
	return func(next messaging.Handler) messaging.Handler {
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind == messaging.KindState && forwardedStatus(ev.State) == "" {
				return next.HandleEvent(ctx, w, ev)
			}
			began := time.Now()
			r, err := p.run(ctx, ev)
			observeOutside(ctx, "exec", began, err)
			if err != nil {
				return err
			}
			if ev.Kind == messaging.KindMessage {
				r.give(w, p.where)
			}
			if goOn {
				return next.HandleEvent(ctx, w, ev)
			}
			return nil
		})
	}, nil
}

func orDuration(d Duration, otherwise time.Duration) time.Duration {
	if d > 0 {
		return time.Duration(d)
	}
	return otherwise
}

// program is a program that is ready to be run.
type program struct {
	command  []string
	dir      string
	env      []string
	timeout  time.Duration
	patience time.Duration
	where    Env
}

// inherited are the variables that a program has of the daemon's environment.
var inherited = []string{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"}

func (p *program) environment(ev *messaging.Event) []string {
	env := []string{"IDEMPOTENCY_KEY=" + ev.ID}
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, p.env...)
}

// input is the event as the program gets it.
func input(ev *messaging.Event) ([]byte, error) {
	if ev.Kind == messaging.KindState {
		return json.Marshal(struct {
			plainStateShape
			Context string `json:"context"`
		}{plainState(ev), ev.Context})
	}
	return json.Marshal(struct {
		plainMessageShape
		Context string `json:"context"`
	}{plainMessage(ev), ev.Context})
}

// run gives an event to a process of its own. No error holds what it printed.
func (p *program) run(ctx context.Context, ev *messaging.Event) (outsideReply, error) {
	in, err := input(ev)
	if err != nil {
		return outsideReply{}, messaging.Drop(fmt.Errorf("exec: encode the event: %w", err))
	}
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	out := &firstBytes{most: maxAnswer + 1}
	cmd := exec.CommandContext(limited, p.command[0], p.command[1:]...)
	cmd.Dir, cmd.Env = p.dir, p.environment(ev)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), out, os.Stderr
	cmd.WaitDelay = killDelay
	inGroup(cmd)
	err = cmd.Run()
	killGroup(cmd) // what it started and left behind
	if limited.Err() != nil && ctx.Err() == nil {
		return outsideReply{}, fmt.Errorf("exec: %s took longer than %v and was killed: make it faster, or raise the timeout", p.command[0], p.timeout)
	}
	if err != nil {
		return outsideReply{}, p.failed(err, ev)
	}
	printed := bytes.TrimSpace(out.buf.Bytes())
	if len(printed) > 0 && printed[0] != '{' && len(printed) <= maxAnswer {
		return outsideReply{}, messaging.Drop(fmt.Errorf(`exec: %s printed something that is no JSON object: print {"reply": "..."} or nothing, and logs to standard error`, p.command[0]))
	}
	r, err := readReply(printed)
	if err != nil {
		return outsideReply{}, messaging.Drop(fmt.Errorf("exec: %s succeeded, but %w", p.command[0], err))
	}
	return r, nil
}

// failed is the error of a program that could not be run or did not succeed.
func (p *program) failed(err error, ev *messaging.Event) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return fmt.Errorf("exec: %s cannot be run: %w", p.command[0], err)
	}
	says := fmt.Errorf("exec: %s ended with %v: see what it wrote to standard error", p.command[0], exit.ProcessState)
	switch exit.ExitCode() {
	case exitRefused:
		return messaging.Drop(fmt.Errorf("exec: %s refused the message with exit code %d: mend it and replay the dead letter", p.command[0], exitRefused))
	case exitLater:
		return pauseFor(0, ev.ReceivedAt, p.patience, says)
	}
	return says
}

// firstBytes keeps the first bytes that are written to it and lets the others go.
type firstBytes struct {
	buf  bytes.Buffer
	most int
}

func (f *firstBytes) Write(p []byte) (int, error) {
	if room := f.most - f.buf.Len(); room > 0 {
		f.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
