package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// answerWithin is how long the end of the input waits for what is still outstanding. It is
// longer than the default timeout of a handler, so that a slow one can still answer.
const answerWithin = 45 * time.Second

// turnWithin is how long the next line waits for the answer to the one before, so that a
// piped conversation reads like one. A slower answer does not hold it up.
const turnWithin = 2 * time.Second

// sentIsFinal is how long, once everything else is done, a reply that was sent may still become
// delivered. Many carriers never report that, so that sent is a last word too.
const sentIsFinal = 5 * time.Second

// keypad is what sends what was typed on the handset: to the number of a context.
type keypad func(th *thread, body string) (messageID string, err error)

// plainPhone is the handset without a screen: lines in, lines out, for pipes and scripts.
//
//	support: hello      texts the context support
//	hello               texts the context in use
//	/to sales           uses another context from now on
type plainPhone struct {
	*phone
	line *phoneLine
	send keypad
	out  io.Writer
	to   *thread
}

// run reads lines until in ends, and returns once everything has had its last word, but
// waits no longer than answerWithin for it.
func (p *plainPhone) run(ctx context.Context, in io.Reader) error {
	p.told = p.print
	lines := make(chan string)
	ended := make(chan error, 1)
	go func() {
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			select {
			case lines <- sc.Text():
			case <-ctx.Done():
				return
			}
		}
		ended <- sc.Err()
	}()
	var overdue, turn, settled <-chan time.Time
	eof := false
	for !eof || p.outstanding() > 0 {
		next := lines
		if turn != nil && p.outstanding() > 0 {
			next = nil
		}
		select {
		case l := <-next:
			p.typedLine(l)
			turn = time.After(turnWithin)
		case <-turn:
			turn = nil
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("read what to text: %w", err)
			}
			eof, ended = true, nil
			t := time.NewTimer(answerWithin)
			defer t.Stop()
			overdue = t.C
			settled = p.settling()
		case <-p.line.wake:
			for _, ev := range p.line.take() {
				p.apply(ev)
			}
			if eof {
				settled = p.settling()
			}
		case <-settled:
			return nil
		case <-overdue:
			return exitf(ExitFindings, "%d messages have had no last word within %v; look at the log with --log-level debug", p.outstanding(), answerWithin)
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// settling is when to stop waiting because nothing is left but replies that were sent; nil
// while there is something else.
func (p *plainPhone) settling() <-chan time.Time {
	if len(p.typed) > 0 {
		return nil
	}
	for _, b := range p.replies {
		if b.tick != tickSent {
			return nil
		}
	}
	return time.After(sentIsFinal)
}

// typedLine does what one line asks for.
func (p *plainPhone) typedLine(l string) {
	l = strings.TrimSpace(l)
	if l == "" {
		return
	}
	if name, ok := strings.CutPrefix(l, "/to "); ok {
		p.use(strings.TrimSpace(name))
		return
	}
	to, body := p.to, l
	if name, rest, ok := strings.Cut(l, ":"); ok {
		if th := p.threadOf(strings.TrimSpace(name)); th != nil {
			to, body = th, strings.TrimSpace(rest)
		}
	}
	id, err := p.send(to, body)
	if err != nil {
		p.printf("! not sent: %v\n", err)
		return
	}
	p.text(to, body, id)
}

func (p *plainPhone) use(name string) {
	th := p.threadOf(name)
	if th == nil {
		p.printf("! there is no context %q; there are: %s\n", name, strings.Join(p.contexts(), ", "))
		return
	}
	p.to = th
}

// print shows a change as one line.
func (p *plainPhone) print(th *thread, b *bubble, what phoneChange) {
	switch {
	case b.kind == bubbleMine && what == changeNew:
		p.printf("> %s: %s\n", th.context, b.text)
	case b.kind == bubbleMine:
		if b.note != "" {
			p.printf("  %s %s\n", b.tick, b.note)
		}
	case b.kind == bubbleRemark:
		p.printf("  ✗ %s\n", b.text)
	case what == changeNew:
		p.printf("< %s\n", strings.ReplaceAll(b.text, "\n", "\n  "))
	case b.note != "":
		p.printf("  %s %s\n", b.tick, b.note)
	default:
		p.printf("  %s %s\n", b.tick, tickWord[b.tick])
	}
}

// tickWord says in words what a reply's tick means.
var tickWord = map[tick]string{tickWaiting: "waiting", tickSent: "sent", tickDelivered: "delivered", tickFailed: "failed"}

func (p *plainPhone) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format, args...) // nobody reads a closed pipe
}
