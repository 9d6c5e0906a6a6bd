package daemon

import (
	"errors"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// press types keys on the screen: names such as "enter", or text.
func press(t *testing.T, s *screen, keys ...string) tea.Cmd {
	t.Helper()
	var cmd tea.Cmd
	for _, k := range keys {
		switch k {
		case "enter":
			_, cmd = s.Update(tea.KeyPressMsg{Code: tea.KeyEnter})
		case "tab":
			_, cmd = s.Update(tea.KeyPressMsg{Code: tea.KeyTab})
		case "pgup":
			_, cmd = s.Update(tea.KeyPressMsg{Code: tea.KeyPgUp})
		case "ctrl+c":
			_, cmd = s.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
		default:
			for _, r := range k {
				_, cmd = s.Update(tea.KeyPressMsg{Code: r, Text: string(r)})
			}
		}
	}
	return cmd
}

// shown is the screen as text, one line after the other, and checks that it fits.
func shown(t *testing.T, s *screen) string {
	t.Helper()
	text := ansi.Strip(s.View().Content)
	lines := strings.Split(text, "\n")
	if len(lines) != s.height {
		t.Errorf("the screen has %d lines, want %d:\n%s", len(lines), s.height, text)
	}
	for _, l := range lines {
		if w := lipgloss.Width(l); w > s.width {
			t.Errorf("a line is %d wide, the terminal %d: %q", w, s.width, l)
		}
	}
	return text
}

func newTestScreen(t *testing.T, send keypad) *screen {
	t.Helper()
	s := newScreen(t.Context(), testPhone(), newPhoneLine(), send, 0)
	s.Init()
	s.Update(tea.WindowSizeMsg{Width: 70, Height: 20})
	return s
}

func TestScreenShowsAConversation(t *testing.T) {
	t.Parallel()
	var texted []string
	s := newTestScreen(t, func(th *thread, body string) (string, error) {
		texted = append(texted, th.context+": "+body)
		return "m-" + body, nil
	})
	if got := shown(t, s); !strings.Contains(got, "Nothing leaves this machine") {
		t.Errorf("an empty conversation explains nothing:\n%s", got)
	}
	press(t, s, "hello", "enter")
	id := uuid.UUID{1}
	s.line.trace(decision("m-hello", "support", "hello", &messaging.Outcome{
		Fate: messaging.FateDone, Sends: []*messaging.Outgoing{outgoing(id, "welcome", messaging.StatusSending, "")},
	}))
	s.Update(s.listen())
	if got := shown(t, s); !strings.Contains(got, "│ hello │") || !strings.Contains(got, "│ welcome │") || !strings.Contains(got, "1 on the way") {
		t.Errorf("after the decision:\n%s", got)
	}
	s.line.trace(messaging.Trace{Send: &messaging.SendTrace{ID: id, Status: messaging.StatusUndelivered, Reason: "unreachable"}})
	s.line.put(phoneEvent{session: "backoff"})
	s.Update(s.listen())
	if got := shown(t, s); !strings.Contains(got, "✗ undelivered: unreachable") || !strings.Contains(got, "● backoff") || strings.Contains(got, "on the way") {
		t.Errorf("after the failure:\n%s", got)
	}
	press(t, s, "tab", "price", "enter")
	if len(texted) != 2 || texted[1] != "sales: price" {
		t.Errorf("texted %q, want the second to sales", texted)
	}
	if cmd := press(t, s, "ctrl+c"); cmd == nil || cmd() != tea.Quit() {
		t.Error("ctrl+c does not quit")
	}
}

func TestScreenCountsUnreadReplies(t *testing.T) {
	t.Parallel()
	s := newTestScreen(t, func(*thread, string) (string, error) { return "m-1", nil })
	press(t, s, "hello", "enter", "tab")
	s.line.trace(decision("m-1", "support", "hello", &messaging.Outcome{
		Fate: messaging.FateDone, Sends: []*messaging.Outgoing{outgoing(uuid.UUID{1}, "welcome", messaging.StatusSending, "")},
	}))
	s.Update(s.listen())
	if got := shown(t, s); !strings.Contains(got, "support (1)") {
		t.Errorf("the other tab does not count the reply:\n%s", got)
	}
	press(t, s, "tab")
	if got := shown(t, s); strings.Contains(got, "(1)") {
		t.Errorf("a read reply is still counted:\n%s", got)
	}
}

func TestScreenKeepsWhatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	s := newTestScreen(t, func(*thread, string) (string, error) { return "", errors.New("the daemon is not connected yet") })
	press(t, s, "precious words", "enter")
	if got := shown(t, s); !strings.Contains(got, "not connected yet") || !strings.Contains(got, "precious words") {
		t.Errorf("the reason or the text is lost:\n%s", got)
	}
}

func TestScreenFitsSmallTerminals(t *testing.T) {
	t.Parallel()
	s := newTestScreen(t, func(_ *thread, body string) (string, error) { return body, nil })
	for range 30 {
		press(t, s, strings.Repeat("long words ", 12), "enter")
	}
	for _, size := range [][2]int{{120, 40}, {40, 12}, {20, 8}} {
		s.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		newest := shown(t, s)
		press(t, s, "pgup")
		if shown(t, s) == newest {
			t.Errorf("%v: PgUp shows nothing older", size)
		}
		s.scroll = 0
	}
}
