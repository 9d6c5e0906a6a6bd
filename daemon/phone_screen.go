package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// screen is the handset in a terminal: a tab for each context, bubbles, a line to type in.
type screen struct {
	*phone
	ctx    context.Context //nolint:containedctx // a bubbletea model cannot be given one otherwise; it ends the wait for events
	line   *phoneLine
	send   keypad
	active int
	input  textinput.Model
	width  int
	height int
	scroll int // lines up from the newest
	hint   string
}

// textLimit is the most a text may hold on this handset: ten segments, what platforms take.
const textLimit = 1600

func newScreen(ctx context.Context, p *phone, line *phoneLine, send keypad, first int) *screen {
	in := textinput.New()
	in.Prompt = "› "
	in.CharLimit = textLimit
	in.Placeholder = "type a text, Enter sends it"
	return &screen{phone: p, ctx: ctx, line: line, send: send, active: first, input: in, width: 80, height: 24}
}

// The messages of the screen's own commands.
type (
	newsMsg []phoneEvent
)

// listen waits for the engine's next news.
func (s *screen) listen() tea.Msg {
	select {
	case <-s.line.wake:
		return newsMsg(s.line.take())
	case <-s.ctx.Done():
		return tea.Quit()
	}
}

func (s *screen) Init() tea.Cmd { return tea.Batch(s.input.Focus(), s.listen) }

func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
		s.input.SetWidth(max(msg.Width-lipgloss.Width(s.input.Prompt)-2, 1))
		return s, nil
	case newsMsg:
		for _, ev := range msg {
			s.apply(ev)
		}
		s.current().unread = 0
		return s, s.listen
	case tea.KeyPressMsg:
		if cmd, done := s.key(msg.String()); done {
			return s, cmd
		}
	}
	var cmd tea.Cmd
	s.input, cmd = s.input.Update(msg)
	return s, cmd
}

// key does what a key means on this screen; false leaves it to the line of input.
func (s *screen) key(key string) (tea.Cmd, bool) {
	switch key {
	case "ctrl+c", "esc":
		return tea.Quit, true
	case "tab":
		s.open(s.active + 1)
	case "shift+tab":
		s.open(s.active - 1)
	case "pgup":
		s.scroll += max(s.room()/2, 1)
	case "pgdown":
		s.scroll = max(s.scroll-max(s.room()/2, 1), 0)
	case "enter":
		s.enter()
	default:
		return nil, false
	}
	return nil, true
}

func (s *screen) current() *thread { return s.threads[s.active] }

func (s *screen) open(i int) {
	s.active = (i + len(s.threads)) % len(s.threads)
	s.current().unread = 0
	s.scroll = 0
}

func (s *screen) enter() {
	body := strings.TrimSpace(s.input.Value())
	if body == "" {
		return
	}
	s.hint, s.scroll = "", 0
	id, err := s.send(s.current(), body)
	if err != nil {
		s.hint = err.Error()
		return
	}
	s.input.Reset()
	s.text(s.current(), body, id)
}

// chrome is how many lines are not conversation: tabs, two rules, input, status.
const chrome = 5

// room is how many lines the conversation has.
func (s *screen) room() int { return max(s.height-chrome, 1) }

func (s *screen) View() tea.View {
	v := tea.NewView(strings.Join([]string{
		s.tabs(), s.rule(), s.conversation(), s.rule(), s.input.View(), s.statusLine(),
	}, "\n"))
	v.AltScreen = true
	v.WindowTitle = "signpost dev: " + s.current().context
	return v
}

var (
	dim       = lipgloss.NewStyle().Faint(true)
	tabActive = lipgloss.NewStyle().Bold(true).Reverse(true).Padding(0, 1)
	tabIdle   = lipgloss.NewStyle().Padding(0, 1)
	good      = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	bad       = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	warn      = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	mineBox   = lipgloss.NewStyle().Border(lipgloss.RoundedBorder()).BorderForeground(lipgloss.Color("4")).Padding(0, 1)
	theirBox  = lipgloss.NewStyle().Border(lipgloss.RoundedBorder()).BorderForeground(lipgloss.Color("7")).Padding(0, 1)
)

func (s *screen) tabs() string {
	var b strings.Builder
	for i, th := range s.threads {
		label := th.context
		if th.unread > 0 {
			label = fmt.Sprintf("%s (%d)", label, th.unread)
		}
		style := tabIdle
		if i == s.active {
			style = tabActive
		}
		b.WriteString(style.Render(label))
	}
	return fit(b.String(), s.width)
}

func (s *screen) rule() string { return dim.Render(strings.Repeat("─", max(s.width, 1))) }

// conversation is exactly room lines: the newest ones, or those scrolled to.
func (s *screen) conversation() string {
	var lines []string
	for _, b := range s.current().bubbles {
		lines = append(lines, strings.Split(s.draw(b), "\n")...)
	}
	if len(lines) == 0 {
		lines = strings.Split(dim.Render(lipgloss.Wrap(fmt.Sprintf(
			"This is a telephone with the number %s. What you type is texted to %s, the number of the context %q; what its handlers answer appears here. Nothing leaves this machine.",
			s.number, s.current().ours, s.current().context), max(s.width-2, 10), "")), "\n")
	}
	room := s.room()
	s.scroll = min(s.scroll, max(len(lines)-room, 0))
	end := len(lines) - s.scroll
	lines = lines[max(end-room, 0):end]
	for len(lines) < room { // a short conversation sits at the bottom, as on a telephone
		lines = append([]string{""}, lines...)
	}
	return strings.Join(lines, "\n")
}

// draw shows one bubble: ours to the right, theirs to the left, remarks in the middle.
func (s *screen) draw(b *bubble) string {
	const border = 4 // two edges and two paddings
	text := lipgloss.Wrap(b.text, max(min(s.width*7/10, 60)-border, 8), "")
	switch b.kind {
	case bubbleMine:
		return lipgloss.PlaceHorizontal(s.width, lipgloss.Right, lipgloss.JoinVertical(lipgloss.Right, mineBox.Render(text), s.foot(b)))
	case bubbleTheirs:
		return lipgloss.JoinVertical(lipgloss.Left, theirBox.Render(text), s.foot(b))
	}
	return lipgloss.PlaceHorizontal(s.width, lipgloss.Center, warn.Render(lipgloss.Wrap(b.text, max(s.width-4, 8), "")))
}

// foot is the line under a bubble: when, how far it got, and why no farther.
func (s *screen) foot(b *bubble) string {
	style := dim
	switch b.tick {
	case tickDelivered:
		style = good
	case tickFailed:
		style = bad
	}
	foot := dim.Render(b.at.Format(time.TimeOnly)+" ") + style.Render(b.tick.String())
	if b.note != "" {
		foot += " " + style.Render(lipgloss.Wrap(b.note, max(s.width-14, 8), ""))
	}
	return foot
}

func (s *screen) statusLine() string {
	lamp := warn.Render("●")
	if s.session == "subscribed" {
		lamp = good.Render("●")
	}
	left := lamp + " " + s.session
	if n := s.outstanding(); n > 0 {
		left += fmt.Sprintf(", %d on the way", n)
	}
	if s.hint != "" {
		return fit(left+"  "+bad.Render(s.hint), s.width)
	}
	return fit(left+dim.Render("   Tab context · Enter send · PgUp/PgDn scroll · Ctrl+C quit"), s.width)
}

// fit cuts a line to the width of the terminal; a wrapped one would push the rest away.
func fit(line string, width int) string {
	return lipgloss.NewStyle().MaxWidth(max(width, 1)).Render(line)
}

// runScreen shows the handset in the terminal until the person leaves or ctx ends.
func runScreen(ctx context.Context, s *screen) error {
	if _, err := tea.NewProgram(s, tea.WithContext(ctx), tea.WithoutSignalHandler()).Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("show the handset: %w", err)
	}
	return nil
}
