package relay

// State is where the session stands. Its String is the label of the metric.
type State uint8

const (
	// StateIdle is before Run.
	StateIdle State = iota
	// StateConnecting covers TCP, TLS and the WebSocket upgrade.
	StateConnecting
	// StateAuthenticating lasts from the upgrade until the platform has
	// accepted the credentials and confirmed the whole set of contexts.
	StateAuthenticating
	// StateSubscribed is the one in which requests are accepted.
	StateSubscribed
	// StateDraining follows signalwire.disconnect: events still come and can
	// be acknowledged, requests are refused as not sent.
	StateDraining
	// StateBackoff is the wait before the next attempt.
	StateBackoff
	// StateRejected is the wait after the platform refused the credentials.
	StateRejected
	// StateStopped is after Run.
	StateStopped
)

// States lists every state in which a running session can be, for metrics that
// show all of them.
var States = []State{StateConnecting, StateAuthenticating, StateSubscribed, StateDraining, StateBackoff, StateRejected}

var stateNames = [...]string{"idle", "connecting", "authenticating", "subscribed", "draining", "backoff", "rejected", "stopped"}

// String returns the state's name in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Handler is what a Client serves. Both methods must return at once, must not
// call Run, Ready, Call or Shutdown, and may call everything else.
type Handler interface {
	// HandleEvent is called for each event on the goroutine that reads the
	// socket, in socket order. While it runs nothing else is read: no answer,
	// no ping. It keeps ev and calls Ack when what the event asks for is safe.
	HandleEvent(ev *Event)

	// HandleState is called for each change of state, in order, one at a time.
	HandleState(s State)
}
