package daemon

import (
	"context"
	"log/slog"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// supervisor tells the service manager (systemd, Type=notify) what state the process is in.
// Without one, that is without NOTIFY_SOCKET, its methods do nothing.
type supervisor struct{ log *slog.Logger }

func (s supervisor) ready()     { s.tell(sd.SdNotifyReady) }
func (s supervisor) stopping()  { s.tell(sd.SdNotifyStopping) }
func (s supervisor) reloading() { s.tell(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec()) }

func (s supervisor) tell(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		s.log.Warn("service manager cannot be notified", "err", err)
	}
}

// watchdog pats the service manager's watchdog while alive says that the process makes
// progress, twice in its interval as systemd advises; when alive stops saying so, systemd
// restarts the process. It returns when ctx ends, at once if no watchdog is asked for.
func (s supervisor) watchdog(ctx context.Context, alive func() error) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("WATCHDOG_USEC cannot be read, the watchdog stays off", "err", err)
	}
	if err != nil || interval <= 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		if err := alive(); err != nil {
			s.log.Error("no internal progress, the watchdog is left alone", "err", err)
		} else {
			s.tell(sd.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
