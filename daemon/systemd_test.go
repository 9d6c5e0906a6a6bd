package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// notifySocket stands in for systemd: it returns the next datagram that the process sends.
func notifySocket(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("no notification: %v", err)
		}
		return string(buf[:n])
	}
}

func TestSupervisorSpeaksSystemd(t *testing.T) {
	next := notifySocket(t)
	s := supervisor{slog.New(slog.NewTextHandler(io.Discard, nil))}
	s.ready()
	s.reloading()
	s.stopping()
	if got := next(); got != "READY=1" {
		t.Errorf("ready: got %q", got)
	}
	// systemd refuses a reload notification without the time it began.
	if got := next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("reloading: got %q", got)
	}
	if got := next(); got != "STOPPING=1" {
		t.Errorf("stopping: got %q", got)
	}
}

func TestWatchdogStopsWithoutProgress(t *testing.T) {
	next := notifySocket(t)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(int((20 * time.Millisecond).Microseconds())))
	s := supervisor{slog.New(slog.NewTextHandler(io.Discard, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int32
	stuck := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watchdog(ctx, func() error {
			switch n := asked.Add(1); {
			case n <= 2:
				return nil
			case n == 5:
				close(stuck)
			}
			return errors.New("the engine does not answer")
		})
	}()
	<-stuck
	cancel()
	<-done
	s.stopping() // whatever came before it is all that the watchdog sent
	for i, want := range []string{"WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"} {
		if got := next(); got != want {
			t.Errorf("notification %d: got %q, want %q", i+1, got, want)
		}
	}
}

func TestWatchdogOffWithoutSystemd(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "")
	s := supervisor{slog.New(slog.NewTextHandler(io.Discard, nil))}
	s.watchdog(t.Context(), func() error { t.Error("asked for progress with no watchdog"); return nil })
}

func TestDaemonReportsItsLifeToSystemd(t *testing.T) {
	next := notifySocket(t)
	space := newSpace(t)
	r := startDaemon(t, space, serving("support"), same(space.URL()))
	if got := next(); got != "READY=1" {
		t.Errorf("start: got %q", got)
	}
	if _, err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := next(); !strings.HasPrefix(got, "RELOADING=1\n") {
		t.Errorf("reload: got %q", got)
	}
	if got := next(); got != "READY=1" {
		t.Errorf("after the reload: got %q", got)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "STOPPING=1" {
		t.Errorf("stop: got %q", got)
	}
}
