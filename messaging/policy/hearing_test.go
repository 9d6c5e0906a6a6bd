package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/policy"
)

// hear tells the rules of a message, as the gate does.
func hear(p *policy.Policy, received, sent time.Time, body string) {
	ev := &messaging.Event{
		ID: fmt.Sprint(received.UnixNano(), body), Kind: messaging.KindMessage, From: messaging.Number(person(1)), To: ours, Body: body,
		ReceivedAt: received, SentAt: sent,
	}
	for _, r := range p.Rules() {
		if l, ok := r.(messaging.Listener); ok {
			l.Heard(ev)
		}
	}
}

// converse plays messages and asks for an answer to each at once. It gives how many were
// answered.
func converse(p *policy.Policy, n int, times func(i int) (received, sent time.Time)) (answers int) {
	for i := range n {
		received, sent := times(i)
		hear(p, received, sent, fmt.Sprint("question ", i))
		if ask(p, received, sending("reply", person(1), fmt.Sprint("answer number ", i))).Go() {
			answers++
		}
	}
	return answers
}

// What a person wrote in half an hour and comes at once after an outage was not written as
// fast as a machine does.
func TestABacklogIsNoMachine(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, policy.Config{})
	hear(p, noon.Add(-time.Hour), noon.Add(-time.Hour-50*time.Millisecond), "before the outage")
	got := converse(p, 20, func(i int) (received, sent time.Time) {
		return noon.Add(time.Duration(i) * 500 * time.Millisecond), noon.Add(time.Duration(i-30) * time.Minute)
	})
	if got != 20 {
		t.Errorf("%d of 20 were answered", got)
	}
}

// A machine is one whatever the platform's clock says.
func TestMachinesAreFoundByAnyClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, -10 * time.Second, 0, 10 * time.Second, time.Hour} {
		p := newPolicy(t, policy.Config{})
		got := converse(p, 20, func(i int) (received, sent time.Time) {
			received = noon.Add(time.Duration(i) * 500 * time.Millisecond)
			return received, received.Add(ahead - 50*time.Millisecond)
		})
		if got > 6 {
			t.Errorf("clock ahead by %v: a machine was answered %d times", ahead, got)
		}
	}
}

// What a law demands is not withheld from a machine, and does not count as an answer to it.
func TestConfirmationsAreNeverALoop(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, policy.Config{})
	machine := func(i int) (received, sent time.Time) {
		return noon.Add(time.Duration(i) * 500 * time.Millisecond), time.Time{}
	}
	converse(p, 20, machine)
	now := noon.Add(11 * time.Second)
	if v := ask(p, now, sending("reply", person(1), "x")); v.Reason != "loop" {
		t.Fatalf("no machine: %+v", v)
	}
	if v := ask(p, now, sending("consent", person(1), "You are unsubscribed.")); !v.Go() {
		t.Errorf("the confirmation: %+v", v)
	}
}

func TestConfigureChangesTheWindowOfDuplicates(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, policy.Config{})
	ask(p, noon, sending("notification", person(1), "x"))
	if err := p.Configure(noon, policy.Config{Duplicates: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if v := ask(p, noon.Add(30*time.Minute), sending("notification", person(1), "x")); v.Reason != "duplicate_content" {
		t.Errorf("after half an hour of one: %+v", v)
	}
}

// A store keeps times to the millisecond: a send must not come back before its turn.
func TestTurnsAreWholeMilliseconds(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, policy.Config{})
	for i := range 20 {
		s := sending("notification", person(i), "x")
		s.From = "+18335550100" // three a second
		v := ask(p, noon.Add(time.Duration(i)*time.Microsecond), s)
		if !v.Until.Equal(v.Until.Truncate(time.Millisecond)) {
			t.Fatalf("told to come at %v", v.Until)
		}
	}
}
