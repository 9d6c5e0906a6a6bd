package handlers

import (
	"context"
	"errors"
	"fmt"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/mediafetch"
)

type fetcherKey struct{}

func (fetcherKey) String() string { return "handlers: the fetcher of inbound media" }

// WithMedia gives the handlers whose context descends from the result what [OpenMedia]
// fetches with. The daemon does so for every handler; call it for an engine of your own, on
// the context that its Run gets for the work, and in tests.
func WithMedia(ctx context.Context, f *mediafetch.Fetcher) context.Context {
	return context.WithValue(ctx, fetcherKey{}, f)
}

// OpenMedia gives a medium of a message to read, ev.Media[i], with its type, its size in
// bytes and a name for a copy of it. It is fetched if it was not before, within the limits of
// the fetcher; close it. ctx is the context that the handler was given.
//
// Return the error as it is. It says to try again later for what may pass, such as a host
// that does not answer; what will stay as it is, such as an address where nothing may be
// fetched from, a medium that is too large or one that is gone, is instructed to be dropped,
// see [messaging.Drop]. Its text holds no URL.
//
// A handler that calls OpenMedia waits for the network: it must not say that it is pure, see
// [messaging.Instant].
func OpenMedia(ctx context.Context, ev *messaging.Event, i int) (*mediafetch.File, error) {
	if i < 0 || i >= len(ev.Media) {
		return nil, messaging.Drop(fmt.Errorf("medium %d of a message with %d: count from 0 to len(ev.Media)-1", i, len(ev.Media)))
	}
	f, ok := ctx.Value(fetcherKey{}).(*mediafetch.Fetcher)
	if !ok {
		return nil, messaging.Drop(errors.New("there is nothing to fetch media with: pass on the context that the handler was given, and outside of the daemon call handlers.WithMedia"))
	}
	file, err := f.Open(ctx, ev.Media[i])
	if err == nil {
		return file, nil
	}
	err = fmt.Errorf("medium %d of %d: %w", i+1, len(ev.Media), err)
	status, answered := errors.AsType[*mediafetch.StatusError](err)
	if errors.Is(err, mediafetch.ErrForbidden) || errors.Is(err, mediafetch.ErrTooLarge) || answered && !status.Temporary() {
		return nil, messaging.Drop(err)
	}
	return nil, err
}
