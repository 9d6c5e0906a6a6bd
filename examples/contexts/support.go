package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

// tickets is the ticket system. Open is asked again with the same key after a failure, and
// must then give the ticket of the first time.
type tickets interface {
	Open(ctx context.Context, key string, from messaging.Number, text string) (number int, err error)
}

// support answers what it knows and gives everything else to a person.
func (b business) support(r *contexts.Router) {
	r.Use(
		handlers.Keyword("HOURS", handlers.Reply("We're open Mon-Fri 9am-5pm. Text AGENT to reach a person.")),
		handlers.Keyword("HELP", handlers.Reply("Corner Shop support: text HOURS or AGENT, or call (202) 555-0142. Reply STOP to end.")),
	)
	r.OnMessage(messaging.HandlerFunc(b.escalate))
	// Who waits for a person should not wait in vain for a text.
	r.OnState(messaging.HandlerFunc(noteFailure), messaging.StateFailed, messaging.StateUndelivered)
}

// escalate opens a ticket, tells the customer its number, and texts the person on call. All
// of it is kept with the message, or, after an error, none of it: nobody is told of a ticket
// that there is not, and nobody is told twice.
func (b business) escalate(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	number, err := b.tickets.Open(ctx, ev.ID, ev.From, ev.Body)
	if err != nil {
		return fmt.Errorf("open a ticket: %w", err) // tried again later
	}
	w.Reply(fmt.Sprintf("Thank you. A person will text you within the hour. Your ticket is #%d.", number))
	w.Send(messaging.Send{
		To:       b.onCall,
		Category: messaging.CategoryTransactional,
		Body:     fmt.Sprintf("Ticket #%d is waiting.", number),
	})
	return nil
}

// noteFailure logs what did not arrive.
func noteFailure(_ context.Context, _ messaging.Responder, ev *messaging.Event) error {
	slog.Warn("an answer did not arrive", "message_id", ev.MessageID, "context", ev.Context, "reason", ev.Reason)
	return nil
}

// desk is a ticket system in memory, in the place of yours.
type desk struct {
	mu     sync.Mutex
	opened map[string]int
}

func newDesk() *desk { return &desk{opened: map[string]int{}} }

// Open implements tickets.
func (d *desk) Open(_ context.Context, key string, _ messaging.Number, _ string) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, again := d.opened[key]; !again {
		d.opened[key] = len(d.opened) + 1
	}
	return d.opened[key], nil
}
