package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// wholeSeconds is a log as the REST client reads it: times are whole seconds, and an entry
// counts if any instant of its second lies in the window.
type wholeSeconds struct{ entries []messaging.LogEntry }

func (l *wholeSeconds) Outbound(_ context.Context, pairs []messaging.Conversation, after, before time.Time) (in []messaging.LogEntry, _ error) {
	for _, e := range l.entries {
		if !e.CreatedAt.Before(after.Truncate(time.Second)) && !e.CreatedAt.After(before) {
			e.Pair = pairs[0]
			in = append(in, e)
		}
	}
	return in, nil
}

// A send of ours that was accepted just outside the window in which the journal is asked is
// not the work of another program.
func TestOwnSendAtTheEdgeOfTheLogIsNotForeign(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &wholeSeconds{}
		b := start(t, instant{echo}, messaging.Config{Log: log, InDoubt: messaging.InDoubt{Wait: 2 * time.Second, Settle: 2 * time.Second}})
		executed := func(id string) {
			log.entries = append(log.entries, messaging.LogEntry{ID: id, CreatedAt: time.Now().Truncate(time.Second)})
		}
		time.Sleep(300 * time.Millisecond)
		b.inbound("m1", "+12025550101", "a")
		executed("log-1")
		time.Sleep(4200 * time.Millisecond)
		b.wire.answer(nil)
		b.inbound("m2", "+12025550101", "b")
		executed("log-2")
		synctest.Wait()
		b.wire.sent()[1].done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
		time.Sleep(30 * time.Second)
		b.end()
		s := b.eng.Status()
		diff(t, "answered, in doubt", []int64{2, 0}, []int64{s.Answered, int64(s.InDoubt)})
	})
}

// A doubt that wants the log while it is being read has its turn afterwards.
func TestDoubtDuringAReadingOfTheLogHasItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &crowdedLog{} // a reading takes a second
		b := start(t, instant{echo}, messaging.Config{Log: log, InDoubt: messaging.InDoubt{Wait: 2 * time.Second, Settle: 2 * time.Second}})
		for n := range 2 {
			b.wire.answer(nil)
			b.inbound(fmt.Sprint("m", n), fmt.Sprintf("+1202555010%d", n), "a")
			synctest.Wait()
			b.wire.answer(accepted)
			b.wire.sent()[n].done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
			time.Sleep(700 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		b.end()
		s := b.eng.Status()
		diff(t, "answered, in doubt", []int64{2, 0}, []int64{s.Answered, int64(s.InDoubt)})
	})
}

// crowdedLog refuses to be read twice at once, or often, as an API with a rate limit does.
type crowdedLog struct{ asking, asked atomic.Int32 }

func (l *crowdedLog) Outbound(context.Context, []messaging.Conversation, time.Time, time.Time) ([]messaging.LogEntry, error) {
	n := l.asking.Add(1)
	defer l.asking.Add(-1)
	time.Sleep(time.Second)
	if n > 1 || l.asked.Add(1) > 3 {
		return nil, errors.New("429 too many requests")
	}
	return nil, nil
}

// A reset puts as many conversations in doubt as there were sends on the wire. The log is
// not stormed for them, and a refusal of the log is not the end of the doubt.
func TestLogIsNotStormedAfterAReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &crowdedLog{}
		b := start(t, instant{echo}, messaging.Config{Log: log, InDoubt: messaging.InDoubt{Wait: 2 * time.Second, Settle: 2 * time.Second}})
		b.wire.answer(nil)
		for n := range 100 {
			b.inbound(fmt.Sprint("m", n), fmt.Sprintf("+1202555%04d", n), "a")
		}
		synctest.Wait()
		b.wire.answer(accepted)
		for _, f := range b.wire.sent() {
			f.done(relay.Answer{Err: fmt.Errorf("reset: %w", relay.ErrInDoubt)})
		}
		time.Sleep(10 * time.Minute)
		b.end()
		s := b.eng.Status()
		diff(t, "answered, in doubt", []int64{100, 0}, []int64{s.Answered, int64(s.InDoubt)})
	})
}
