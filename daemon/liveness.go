package daemon

import (
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// freshWithin is how young a frame or a pong must be for the session to count as heard. The
// session itself gives a silent peer up after 22 s.
const freshWithin = 25 * time.Second

// progressWithin is how old the engine's own snapshot may grow before it counts as stuck. A
// live engine renews it every second; a machine that swaps or a paused virtual machine must
// not look like a deadlock.
const progressWithin = 10 * time.Second

// readiness is what /readyz asks: can messages be taken and answered right now?
func (d *Daemon) readiness() []check {
	return readiness(d.client.Status(), d.engine.Status(), d.draining.Load(), time.Now())
}

func readiness(s relay.Status, e messaging.EngineStatus, draining bool, now time.Time) []check {
	return []check{
		checkAuthenticated(s),
		checkSubscribed(s, draining),
		checkFresh(s, now),
		checkJournal(e),
		checkDraining(draining),
	}
}

func checkAuthenticated(s relay.Status) check {
	const name = "authenticated"
	switch s.State {
	case relay.StateSubscribed, relay.StateDraining:
		return pass(name)
	case relay.StateRejected:
		return fail(name, "the platform refuses the credentials (%s); check the project id and its token", s.LastError.Text)
	}
	if s.LastError.Text != "" {
		return fail(name, "%s; last error (%s): %s", inWords(s.State), s.LastError.What, s.LastError.Text)
	}
	return fail(name, "%s", inWords(s.State))
}

// inWords says what a session does in a state.
func inWords(s relay.State) string {
	switch s {
	case relay.StateIdle:
		return "the session has not begun"
	case relay.StateBackoff:
		return "the session waits to connect again"
	case relay.StateRejected:
		return "the platform refuses the credentials"
	case relay.StateStopped:
		return "the session has ended"
	}
	return "the session is " + s.String()
}

func checkSubscribed(s relay.Status, draining bool) check {
	const name = "subscribed"
	switch {
	case draining:
		return fail(name, "the contexts are left, because this process is stopping")
	case s.Paused != "":
		return fail(name, "contexts are unsubscribed for now: %s", s.Paused)
	case s.State != relay.StateSubscribed:
		return fail(name, "%s%s", inWords(s.State), notSubscribed(s.LastError))
	case len(s.Missing) > 0:
		return fail(name, "the platform has not confirmed: %s%s", strings.Join(s.Missing, ", "), notSubscribed(s.LastError))
	case len(s.Contexts) == 0:
		return fail(name, "no context is subscribed; name at least one under contexts")
	}
	return pass(name)
}

// notSubscribed is why the platform did not subscribe us, with its code and words; empty if the
// latest trouble is another one.
func notSubscribed(e relay.LastError) string {
	if e.What != "change subscriptions" || e.Text == "" {
		return ""
	}
	return "; last error (" + e.What + "): " + e.Text
}

func checkFresh(s relay.Status, now time.Time) check {
	const name = "fresh"
	heard := s.LastFrame
	if s.LastPong.After(heard) {
		heard = s.LastPong
	}
	if s.State == relay.StateSubscribed && s.Since.After(heard) {
		heard = s.Since // the platform's confirmation of the contexts is what began it
	}
	switch {
	case heard.IsZero():
		return fail(name, "nothing heard from the platform on this connection yet")
	case now.Sub(heard) > freshWithin:
		return fail(name, "nothing heard from the platform for %v", now.Sub(heard).Round(time.Second))
	}
	return pass(name)
}

func checkJournal(e messaging.EngineStatus) check {
	const name = "journal"
	if !e.JournalWritable {
		return fail(name, "the store takes no writes, nothing is acknowledged meanwhile: %s", e.JournalError)
	}
	return pass(name)
}

func checkDraining(draining bool) check {
	const name = "draining"
	if draining {
		return fail(name, "this process is stopping")
	}
	return pass(name)
}

// liveness is what /livez and the service manager's watchdog ask: does this process make
// progress? The platform and the store may be down without it; a restart would not mend them.
func (d *Daemon) liveness() []check {
	return liveness(d.engine.Status(), d.started.Load(), time.Now())
}

func liveness(e messaging.EngineStatus, started bool, now time.Time) []check {
	const name = "engine"
	if !started || e.At.IsZero() { // it has not had its first turn
		return []check{pass(name)}
	}
	if age := now.Sub(e.At); age > progressWithin {
		return []check{fail(name, "no progress for %v; restart the process and report this", age.Round(time.Second))}
	}
	return []check{pass(name)}
}
