package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/signpost-sms/signpost/messaging"
)

var (
	errShape  = errors.New("a new send is claimed with an attempt, queued, or final, and has an id")
	errReused = errors.New("a batch id was used again for other operations")
	errClosed = fmt.Errorf("%w: the store is closed", messaging.ErrUnavailable)
	// errRaced says that another instance wrote the same id or key meanwhile.
	errRaced = errors.New("another instance wrote the same")
)

// raced reports whether a unique index found what a look-up a moment ago did not.
func raced(err error) bool {
	var e *pgconn.PgError
	if errors.Is(err, errRaced) {
		return true
	}
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == "40P01" || e.Code == "40001" || e.Code == "23505" && (e.ConstraintName == "events_id" || e.ConstraintName == "sends_key")
}

// classify says what an error of the server means for the caller.
func classify(err error) error {
	var e *pgconn.PgError
	var n net.Error
	switch {
	case err == nil, errors.Is(err, messaging.ErrFenced), errors.Is(err, messaging.ErrUnavailable), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &e):
		switch {
		case e.Code == "53100":
			return fmt.Errorf("%w: the database's disk is full: %w", messaging.ErrFull, err)
		case !blames(e.Code):
			return fmt.Errorf("%w: %w", messaging.ErrUnavailable, err)
		}
		return err
	case errors.Is(err, errRaced), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &n),
		errors.Is(err, context.DeadlineExceeded), pgconn.SafeToRetry(err), strings.Contains(err.Error(), "conn closed"):
		return fmt.Errorf("%w: %w", messaging.ErrUnavailable, err)
	}
	return err
}

// blames reports whether a code of the server can be the fault of what was to be stored:
// data that a column does not take (22), a constraint (23), a limit of the server's (54).
// All else, such as a missing right or table, a plan that a newer program's migration made
// stale, or a damaged index, would meet any batch, and passes once somebody has seen to it.
func blames(code string) bool {
	switch code[:min(len(code), 2)] {
	case "22", "23", "54":
		return true
	}
	return false
}
