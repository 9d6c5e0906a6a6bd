package daemon

import (
	"fmt"
	"time"

	"charm.land/bubbles/v2/progress"
	"charm.land/lipgloss/v2"

	"github.com/signpost-sms/signpost/daemon/api"
)

// progressBar shows a person how far something long is: a bar in a terminal, and where lines
// were asked for, a line now and then elsewhere.
type progressBar struct {
	c     *cli
	what  string
	on    bool // a terminal
	every bool // lines, where there is no terminal
	bar   progress.Model
	shown bool
	last  time.Time // a line was printed
}

// barColumns is how wide a bar is, its percentage included.
const barColumns = 40

// lineEvery is how often a line is printed where there is no bar.
const lineEvery = 5 * time.Second

func (c *cli) progress(what string) *progressBar {
	return &progressBar{
		c: c, what: what, on: isTerminal(c.errw) && !c.asJSON, last: time.Now(),
		bar: progress.New(progress.WithWidth(barColumns), progress.WithColors(lipgloss.Color("4"))),
	}
}

// withLines prints lines where there is no terminal: for what takes hours.
func (b *progressBar) withLines() *progressBar {
	b.every = !b.on && !b.c.asJSON
	return b
}

func (b *progressBar) show(p api.Progress) {
	switch {
	case p.Total == 0:
	case b.on:
		b.shown = true
		// Colours are left out where the terminal or NO_COLOR does not want them.
		_, _ = lipgloss.Fprint(b.c.errw, "\r"+b.bar.ViewAs(float64(p.Done)/float64(p.Total))+fmt.Sprintf("  %d of %d %s", p.Done, p.Total, b.what)+"\033[K")
	case b.every && (time.Since(b.last) >= lineEvery || p.Done == p.Total):
		b.last = time.Now()
		_, _ = fmt.Fprintf(b.c.errw, "%d of %d %s (%d%%)\n", p.Done, p.Total, b.what, p.Done*100/p.Total)
	}
}

// clear makes room for the result.
func (b *progressBar) clear() {
	if b.shown {
		_, _ = fmt.Fprint(b.c.errw, "\r\033[K")
	}
}
