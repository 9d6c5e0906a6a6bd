package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// lines are our numbers and the contexts they are bound to.
var lines = []struct{ number, context string }{
	{"+12025550198", "support"},
	{"+12125550198", "sales"},
}

// How many people write to us in turn, a few texts in a row and each to one line of ours: few,
// so that a conversation is busy all the time, or many, so that it rests for a while.
const (
	fewPeople  = 100
	manyPeople = 3000
)

// personNumber is the telephone of a person.
func personNumber(i int) string { return fmt.Sprintf("+1202555%04d", 1000+i) }

// text is an inbound as the platform knows it.
type text struct {
	from, to, context string
	at                time.Time // when it was written
	given             bool      // to a session
	first, last       uint64    // frames: the first that gave it, and the last before it was acknowledged, or with several daemons the acknowledgement
	acked             bool      // by any session
	tried             bool      // a send answers it, taken by the platform or not
}

func (t *text) conversation() string { return t.from + " " + t.to }

// The texts are numbered; their ids and bodies hold the number.
const (
	idPrefix   = "text-"
	bodyPrefix = "number "
)

func numberOf(s, prefix string) (int, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// delivery names an event that waits for its acknowledgement.
type delivery struct {
	conn int
	id   string
}

// ledger is the platform's own account of the texts. It follows the transcript of the
// space, so that it needs nothing of what a daemon says of itself.
type ledger struct {
	space *relaytest.Server
	kept  int // how much the space keeps, of its message log too

	mu      sync.Mutex
	texts   []text
	sends   []relaytest.Send
	seq     uint64 // of the last frame that was read
	fresh   int    // send requests among the frames since the sends were collected
	waiting map[delivery]int
	gap     bool // something was gone from the transcript before it was read
}

// newLedger begins to follow a space, until the test ends.
func newLedger(t *testing.T, space *relaytest.Server, kept int) *ledger {
	l := &ledger{space: space, kept: kept, waiting: map[delivery]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		for {
			if _, err := space.WaitFrameAfter(ctx, l.read(), func(relaytest.Frame) bool { return true }); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		following.Wait()
	})
	return l
}

// read enters the new frames and returns the number of the last.
func (l *ledger) read() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.space.FramesAfter(l.seq) {
		l.gap = l.gap || f.Seq != l.seq+1
		l.seq = f.Seq
		switch {
		case f.Dir == relaytest.ToClient && f.EventType == "messaging.receive":
			l.gave(f)
		case f.Dir == relaytest.FromClient && f.Method == "":
			l.answered(f)
		case f.Dir == relaytest.FromClient && f.Method == "messaging.send":
			l.tried(f)
			l.fresh++
		}
	}
	if l.fresh >= relaytest.DefaultTranscript/4 {
		l.collect()
	}
	return l.seq
}

// collect takes over the sends that are new in the transcript.
func (l *ledger) collect() {
	l.fresh = 0
	for _, s := range l.space.Sends() {
		have := uint64(len(l.sends))
		if s.Seq > have {
			l.gap = l.gap || s.Seq != have+1
			l.sends = append(l.sends, s)
		}
	}
}

func (l *ledger) gave(f relaytest.Frame) {
	var event struct {
		Params struct {
			Params struct {
				MessageID string `json:"message_id"`
			} `json:"params"`
		} `json:"params"`
	}
	if f.Decode(&event) != nil {
		return
	}
	if n, ok := numberOf(event.Params.Params.MessageID, idPrefix); ok {
		t := &l.texts[n]
		if !t.given {
			t.given, t.first = true, f.Seq
		}
		if !t.acked {
			t.last = f.Seq
		}
		l.waiting[delivery{f.Conn, string(f.ID)}] = n
	}
}

func (l *ledger) answered(f relaytest.Frame) {
	d := delivery{f.Conn, string(f.ID)}
	n, ok := l.waiting[d]
	if !ok {
		return
	}
	delete(l.waiting, d)
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	if f.Decode(&answer) == nil && (answer.Error == nil || string(answer.Error) == "null") {
		t := &l.texts[n]
		if shared() && !t.acked {
			// Of two daemons that were given one text each, the one that was given the later
			// text may be the first to commit, and the order of commits is the order.
			t.last = f.Seq
		}
		t.acked = true
	}
}

func (l *ledger) tried(f relaytest.Frame) {
	var send struct {
		Params struct {
			Body string `json:"body"`
		} `json:"params"`
	}
	if f.Decode(&send) != nil {
		return
	}
	if n, ok := numberOf(send.Params.Body, saying+bodyPrefix); ok && n < len(l.texts) {
		l.texts[n].tried = true
	}
}

// owed counts the texts of the last few seconds that nothing was sent for yet.
func (l *ledger) owed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	owed, since := 0, time.Now().Add(-3*time.Second)
	for n := len(l.texts) - 1; n >= 0 && l.texts[n].at.After(since); n-- {
		if !l.texts[n].tried {
			owed++
		}
	}
	return owed
}

// write lets a person write to us.
func (l *ledger) write(person int) error {
	line := lines[person%len(lines)]
	l.mu.Lock()
	n := len(l.texts)
	l.texts = append(l.texts, text{from: personNumber(person), to: line.number, context: line.context, at: time.Now()})
	l.mu.Unlock()
	return l.deliver(n)
}

// deliver gives a text to the sessions; a second time, as platforms do now and then.
func (l *ledger) deliver(n int) error {
	l.mu.Lock()
	t := l.texts[n]
	l.mu.Unlock()
	_, err := l.space.Inject(relaytest.SMS{
		ID: fmt.Sprintf("%s%06d", idPrefix, n), From: t.from, To: t.to, Context: t.context,
		Body: fmt.Sprintf("%s%06d", bodyPrefix, n),
	}, relaytest.Target{})
	return err
}

// load is how a crowd writes: so many people, so many texts a second. It pauses while so
// many are owed an answer, since a machine that cannot keep up has nothing to prove here.
type load struct {
	people, rate, owed int
}

// crowd writes until ctx ends: one person after the other, some of them several texts in a
// row.
func (l *ledger) crowd(ctx context.Context, rnd *rand.Rand, by load) error {
	const step = 25 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	person, due := 0, 0.0
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		due += now.Sub(last).Seconds() * float64(by.rate)
		last = now
		due = min(due, float64(by.owed-l.owed()))
		for ; due >= 1; due-- {
			if rnd.IntN(5) < 3 {
				person = (person + 1) % by.people
			}
			if err := l.write(person); err != nil {
				return err
			}
		}
	}
}

// history tells what the conversation of a text has sent, for a person to read.
func (l *ledger) history(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for m, t := range l.texts {
		if t.conversation() == l.texts[n].conversation() {
			fmt.Fprintf(&b, "%s text %d written, acknowledged: %v\n", t.at.Format(time.StampMicro), m, t.acked)
		}
	}
	for _, s := range l.sends {
		if s.To == l.texts[n].from && s.From == l.texts[n].to {
			fmt.Fprintf(&b, "%s send %q on connection %d, taken: %v, code %q, %s\n",
				s.Time.Format(time.StampMicro), s.Body, s.Conn, s.Executed, s.Code, s.Request())
		}
	}
	return b.String()
}

// verdict judges what the ledger holds by now.
func (l *ledger) verdict(t *testing.T) verdict {
	t.Helper()
	l.read()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collect()
	if l.gap || len(l.texts)+len(l.sends) > l.kept {
		t.Fatal("the transcript of the space was too short for the ledger; raise it")
	}
	return judge(l.texts, l.sends)
}
