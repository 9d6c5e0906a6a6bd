package messaging

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// Resolution is an operator's word on a doubt.
type Resolution string

// The resolutions.
const (
	ResolveAccepted Resolution = "accepted" // the person has it
	ResolveResend   Resolution = "resend"   // the person does not have it: send it again, through the gate
	ResolveFailed   Resolution = "failed"   // the person does not have it, and need not
)

var (
	// ErrNotHere is returned for what another instance owns; ask that one.
	ErrNotHere = errors.New("messaging: another instance holds it")
	// ErrTooLate is returned when what was to be changed has gone on.
	ErrTooLate = errors.New("messaging: too late, it has gone on")
)

var errSoon = errors.New("messaging: not built yet")

// Replay runs the chain of a dead letter again, as it is now. [ErrUnknown] if the id names
// none.
func (e *Engine) Replay(ctx context.Context, eventID string) error { return errSoon }

// Drop lets a dead letter go. [ErrUnknown] if the id names none.
func (e *Engine) Drop(ctx context.Context, eventID string) error { return errSoon }

// Cancel takes back a send that has not left. [ErrUnknown] if there is none, [ErrTooLate] if
// it is claimed, in doubt or final.
func (e *Engine) Cancel(ctx context.Context, send uuid.UUID) error { return errSoon }

// Resolve ends a doubt. [ErrUnknown] if the id names no send, [ErrTooLate] if it is not in
// doubt any more.
func (e *Engine) Resolve(ctx context.Context, send uuid.UUID, r Resolution) error { return errSoon }
