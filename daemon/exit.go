package daemon

import (
	"errors"
	"fmt"
)

// The exit codes of every command, by sysexits.h where it has one.
const (
	ExitOK          = 0
	ExitFindings    = 1  // the command worked and found something that wants a person: lint errors, not ready
	ExitUsage       = 64 // wrong flags or arguments
	ExitUnavailable = 69 // something needed does not answer: the local API, the database, a port in use
	ExitInternal    = 70 // a defect of ours
	ExitDrain       = 75 // stopped with work left that could not be finished in time
	ExitCredentials = 77 // the platform rejected the credentials
	ExitConfig      = 78 // the configuration is unusable
)

// exitError gives an error the exit code that its command should end with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withExit gives err the exit code; nil stays nil.
func withExit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// exitf is withExit over fmt.Errorf.
func exitf(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// ExitCode is the code that err asks the process to end with: 0 for nil, 70 for an error
// that names none.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return ExitInternal
}
