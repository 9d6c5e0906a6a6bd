package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

// batchSize is how many messages one commit writes.
const batchSize = 1024

// fill adds n messages that were answered, and whose answers the platform accepted.
func fill(ctx context.Context, s messaging.Store, n int) error {
	f := filler{owner: newID()}
	for f.made < n {
		for _, b := range f.batches(min(batchSize, n-f.made)) {
			if err := s.Commit(ctx, b); err != nil {
				return fmt.Errorf("fill the journal: %w", err)
			}
		}
	}
	if shared, ok := s.(messaging.Sharer); ok {
		if err := shared.Leave(ctx, f.owner); err != nil {
			return fmt.Errorf("leave the journal: %w", err)
		}
	}
	return nil
}

// filler makes batches like those of a busy daemon whose handlers end before their append.
type filler struct {
	owner uuid.UUID
	made  int
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// batches returns the events with their claimed replies, and the platform's answers to these.
func (f *filler) batches(size int) [2]*messaging.Batch {
	now := time.Now()
	in := &messaging.Batch{ID: newID(), Owner: f.owner, Now: now}
	out := &messaging.Batch{ID: newID(), Owner: f.owner, Now: now}
	for range size {
		ev := f.event(now)
		reply := answer(ev, now)
		in.Appends = append(in.Appends, &messaging.Append{
			Event:   ev,
			Outcome: &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{reply}, Attempt: 1, Handler: "reply"},
		})
		out.Reports = append(out.Reports, &messaging.Report{
			SendID: reply.ID, AttemptID: reply.Attempt.ID, Outcome: messaging.OutcomeAccepted,
			MessageID: uuid.NewString(), Status: messaging.StatusAccepted,
		})
	}
	return [2]*messaging.Batch{in, out}
}

// frame has the length of a wire frame.
var frame = []byte(strings.Repeat(" ", 590))

func (f *filler) event(now time.Time) *messaging.Event {
	id := uuid.NewString() // as the platform's are: in no order
	f.made++
	return &messaging.Event{
		ID: id, MessageID: id, Kind: messaging.KindMessage, Context: "support",
		From: messaging.Number(fmt.Sprintf("+1202555%04d", f.made%1000)), To: "+12025559901",
		Body: fmt.Sprintf("m=%08d Where is my order? It was due on Monday.", f.made), Segments: 1,
		ReceivedAt: now, SentAt: now, Frame: frame,
	}
}

// answer makes the claimed reply to an event.
func answer(ev *messaging.Event, now time.Time) *messaging.Outgoing {
	send := newID()
	return &messaging.Outgoing{
		Send: messaging.Send{
			ID: send, Key: ev.ID + "#0", InReplyTo: ev.ID, Context: ev.Context, From: ev.To, To: ev.From, Body: "You said: " + ev.Body,
			Priority: messaging.PriorityReply, Category: messaging.CategoryReply, ExpiresAt: now.Add(time.Hour), CreatedAt: now,
		},
		Status:  messaging.StatusSending,
		Attempt: &messaging.Attempt{ID: newID(), SendID: send, Number: 1, ClaimedAt: now},
	}
}

// The store is at rest when this process, which does nothing else, has used less than restCPU in each of restSteps steps.
const (
	restStep  = time.Second
	restSteps = 2
	restCPU   = 20 * time.Millisecond
)

// atRest waits until the store of this process works no more in the background.
func atRest(ctx context.Context) error {
	ticker := time.NewTicker(restStep)
	defer ticker.Stop()
	for quiet := 0; quiet < restSteps; {
		before, err := used()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		after, err := used()
		if err != nil {
			return err
		}
		if quiet++; after-before >= restCPU {
			quiet = 0
		}
	}
	return nil
}

// used is the processor time of this process so far.
func used() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
