package relay

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotSent says that no byte of a request can have reached the network:
	// the platform has not seen it and will not see it. It may be sent again
	// freely.
	ErrNotSent = errors.New("relay: not sent")

	// ErrInDoubt says that a request left, at least in part, and that its
	// answer did not come: the platform may or may not have acted on it.
	// Sending it again may do the thing twice.
	ErrInDoubt = errors.New("relay: outcome unknown")

	// ErrStaleAck says that the connection an event came from is gone. The
	// acknowledgement was discarded: it would mean nothing on another
	// connection. The platform may deliver the event again.
	ErrStaleAck = errors.New("relay: acknowledgement for a connection that is gone")

	// ErrClosed says that Run has returned, or that it was called twice.
	ErrClosed = errors.New("relay: client is closed")
)

// Codes of errors that were found on this side, before anything was written.
const (
	codeFrameTooLarge = "frame_too_large"
	codeDuplicateID   = "duplicate_id"
	codeBadParams     = "bad_params"
	codeBadResult     = "bad_result"
)

// Error is a refusal: the platform answered, and the answer was no. With Local
// set the request was refused on this side, before anything was written, and
// would be refused again.
type Error struct {
	Method  string // the method that was called
	Code    string // as the platform wrote it, number or string: "402", "-32601"
	Message string // the platform's words, credentials replaced by "[redacted]"
	Local   bool   // refused by this package, not by the platform

	authRequired bool // error.data.signalwire_error_code said AUTH_REQUIRED
}

// Error names the method, the code and the platform's message.
func (e *Error) Error() string {
	by := "refused"
	if e.Local {
		by = "refused locally"
	}
	var b strings.Builder
	b.WriteString(e.Method)
	b.WriteByte(' ')
	b.WriteString(by)
	if e.Code != "" {
		b.WriteString(", code ")
		b.WriteString(e.Code)
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	return b.String()
}

// Temporary reports whether the same request may succeed later: throttling
// (429), a fault on the platform's side (5xx, -32603) or a timeout there
// (-32000).
func (e *Error) Temporary() bool {
	if e.Local {
		return false
	}
	switch e.Code {
	case "429", "-32603", "-32000":
		return true
	}
	return len(e.Code) == 3 && e.Code[0] == '5'
}

// credentials reports whether the refusal of a connect is about who we are,
// so that trying again with the same credentials is not expected to help.
func (e *Error) credentials() bool {
	switch e.Code {
	case "-32002", // authentication failed
		"-32003", // requester validation failed
		"-32602", // no usable authentication block
		"-32401", "401", "403":
		return true
	}
	return e.authRequired
}

// AuthError is what Run returns when the platform refused the credentials
// Attempts times and had never accepted them. Everything else is retried.
type AuthError struct {
	Attempts int    // how often the platform refused
	Code     string // its last code
	Message  string // its last words, credentials replaced by "[redacted]"
}

// Error says what was refused and what to do about it.
func (e *AuthError) Error() string {
	return fmt.Sprintf("relay: the platform refused the credentials %d times (code %s: %s); check the project id and the API token (or JWT), and that the token has not been revoked",
		e.Attempts, e.Code, e.Message)
}

// outcome wraps kind, one of ErrNotSent and ErrInDoubt, around its cause.
func outcome(kind, cause error) error {
	if cause == nil {
		return kind
	}
	return fmt.Errorf("%w: %w", kind, cause)
}
