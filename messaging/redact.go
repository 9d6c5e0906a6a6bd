package messaging

import "context"

// Redacter is implemented by a store that can remove the text of one message.
type Redacter interface {
	// Redact removes text and media of a finished message, the frame included, and keeps the
	// rest of it. The id is that of a send or of an inbound event. [ErrUnknown] if the
	// journal holds none, [ErrTooLate] while it is not finished; what has no text any more
	// is left as it is.
	Redact(ctx context.Context, id string) error
}
