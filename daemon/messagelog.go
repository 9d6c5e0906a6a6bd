package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/rest"
)

// messageLog is the platform's record of sends as the engine wants it.
type messageLog struct{ api *rest.Client }

// newMessageLog makes it if the configuration says where the space is. Without a space, or
// with a JWT, which the REST API does not take, doubts go from the states to the policy.
func newMessageLog(cfg Config, log *slog.Logger) (messaging.MessageLog, error) {
	sw := cfg.SignalWire
	if sw.SpaceURL() == "" || sw.Token.Reveal() == "" {
		return nil, nil
	}
	api, err := rest.New(rest.Config{
		Space: sw.SpaceURL(), Project: sw.Project, Token: rest.Secret(sw.Token.Reveal()),
		Insecure: cfg.Relay.Insecure, UserAgent: "signpost/" + buildInfo().Version, Logger: log,
	})
	if err != nil {
		return nil, withExit(ExitConfig, fmt.Errorf("configure signalwire.space: %w", err))
	}
	return messageLog{api}, nil
}

// Outbound implements messaging.MessageLog.
func (l messageLog) Outbound(ctx context.Context, of []messaging.Conversation, after, before time.Time) ([]messaging.LogEntry, error) {
	pairs := make([]rest.Pair, len(of))
	for i, c := range of {
		pairs[i] = rest.Pair{From: string(c.Ours), To: string(c.Theirs)}
	}
	found, err := l.api.OutboundBetween(ctx, pairs, after, before)
	if err != nil {
		return nil, err
	}
	entries := make([]messaging.LogEntry, len(found))
	for i, e := range found {
		pair := messaging.Conversation{Ours: messaging.Number(e.From), Theirs: messaging.Number(e.To)}
		entries[i] = messaging.LogEntry{Pair: pair, ID: e.ID, CreatedAt: e.CreatedAt}
	}
	return entries, nil
}
