package crashtest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// rate is how many texts a second the killed daemons get.
const rate = 200

// doubtWait is how long a doubt may wait for a state before the log is asked.
const doubtWait = 2 * time.Second

// logRest is how long the log is not asked after an attempt, however short the wait is.
const logRest = 6 * time.Second

// platform is how a space behaves.
type platform struct {
	redeliver bool // what is unacknowledged when a connection ends comes again
	tags      bool // states carry the tags of their send
}

// newSpace starts a platform and its ledger, for at most so many texts.
func newSpace(t *testing.T, p platform, texts int, options ...relaytest.Option) (*relaytest.Server, *ledger) {
	t.Helper()
	kept := max(relaytest.DefaultTranscript, 2*texts)
	options = append([]relaytest.Option{func(c *relaytest.Config) {
		c.NoMagic = true
		c.Transcript = kept
		c.Faults.HideTags = !p.tags
		c.Faults.QueueUnsubscribed = p.redeliver
		c.Faults.Redelivery.OnReconnect = p.redeliver
	}}, options...)
	space := relaytest.NewServer(t, options...)
	return space, newLedger(t, space, kept)
}

// TestKill kills daemons at random instants under load and restarts them at once.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		platform
		role   string
		log    bool
		people int
	}{
		"redelivery":      {platform{redeliver: true, tags: true}, roleConfigured, true, manyPeople},
		"no redelivery":   {platform{redeliver: false, tags: true}, roleCoded, true, manyPeople},
		"no tags, no log": {platform{redeliver: true, tags: false}, roleConfigured, false, fewPeople},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rnd := random(t)
			const longest = 1500 * time.Millisecond             // at work
			space, l := newSpace(t, tc.platform, *kills*2*rate) // a kill every two seconds or so
			s := setting{role: tc.role, log: tc.log, then: "hold", wait: doubtWait, store: newStoreURL(t)}
			fleet := newFleet(t, space, s)
			ready(t, space)

			quiet := l.begin(t, rnd, load{people: tc.people, rate: rate, owed: rate / 5})
			open := 0 // answers that were owed at the instant of a kill
			for range *kills {
				victim := fleet[rnd.IntN(len(fleet))]
				switch rnd.IntN(4) {
				case 0: // while it starts
					victim.runFor(time.Duration(rnd.Int64N(int64(time.Second / 2))))
				case 1: // at work
					victim.untilFrame(patience)
					victim.runFor(time.Duration(rnd.Int64N(int64(longest))))
				default: // at work, right after it has said something
					victim.untilFrame(patience)
					victim.runFor(time.Duration(rnd.Int64N(int64(longest))))
					victim.untilFrame(time.Second)
				}
				victim.kill()
				open += len(l.verdict(t).lost)
				victim.start()
			}
			quiet()

			v, j := l.finish(t, fleet, s, func(v verdict) bool {
				return (len(v.lost) == 0 || !tc.log) && (len(v.unacked) == 0 || !tc.redeliver)
			})
			t.Logf("%d kills, with %d answers owed at their instants; %v; %d doubts left", *kills, open, v, len(j.doubts))
			l.judgeAll(t, v, j, tc.platform, !tc.log)
		})
	}
}

// begin lets the crowd write until the function that it returns is called.
func (l *ledger) begin(t *testing.T, rnd *rand.Rand, by load) (quiet func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	own := rand.New(rand.NewPCG(rnd.Uint64(), 0)) // rnd is used by the test meanwhile
	var writing sync.WaitGroup
	writing.Go(func() {
		if err := l.crowd(ctx, own, by); err != nil {
			t.Error(err)
		}
	})
	quiet = func() {
		cancel()
		writing.Wait()
	}
	t.Cleanup(quiet)
	return quiet
}

// finish lets the daemons finish and stops them. On a slow machine they may have been quiet
// for want of a turn: while the journal says that they were not done, they go on.
func (l *ledger) finish(t *testing.T, fleet []*child, s setting, complete func(verdict) bool) (verdict, journal) {
	t.Helper()
	for began := time.Now(); ; {
		v := l.settle(t, s.log, complete)
		for _, c := range fleet {
			c.stop()
		}
		j := readJournal(t, s.store)
		if j.unfinished+j.waiting == 0 || time.Since(began) > patience {
			return v, j
		}
		for _, c := range fleet {
			c.start()
		}
	}
}

// settle waits until the account is complete and nothing has been sent for longer than a
// doubt takes, so that what would be sent twice has been.
func (l *ledger) settle(t *testing.T, log bool, complete func(verdict) bool) verdict {
	t.Helper()
	quiet := doubtWait + 2*time.Second
	if log {
		quiet += logRest
	}
	if shared() {
		quiet += takeover
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began, changed, sends := time.Now(), time.Now(), 0
	for {
		<-tick.C
		now := time.Now()
		if n := l.space.Stats().Sends; n != sends {
			sends, changed = n, now
			continue
		}
		if late := now.Sub(began) > patience+quiet; late || now.Sub(changed) > quiet {
			if v := l.verdict(t); late || complete(v) {
				return v
			}
		}
	}
}

// judgeAll compares the platform's account and the journal with the promises. Doubts are
// answers that may be lost; they are allowed only where nothing can settle them.
func (l *ledger) judgeAll(t *testing.T, v verdict, j journal, p platform, doubtful bool) {
	t.Helper()
	j.atRest(t)
	for _, sin := range v.sins() {
		t.Error(sin)
	}
	for _, n := range slices.Concat(v.twice, v.swapped) {
		t.Logf("how text %d went:\n%s", n, l.history(n))
	}
	if v.acked == 0 {
		t.Error("nothing was acknowledged")
	}
	if p.redeliver && len(v.unacked) > 0 {
		t.Errorf("never acknowledged, although the platform delivers again: %v", v.unacked)
	}
	if len(slices.Compact(slices.Clone(j.doubts))) != len(j.doubts) {
		t.Errorf("one text has several doubts: %v", j.doubts)
	}
	if !doubtful && len(j.doubts) > 0 {
		t.Errorf("doubts left that could have been settled: %v", j.doubts)
	}
	for _, n := range v.lost {
		if _, ok := slices.BinarySearch(j.doubts, n); !ok || !doubtful {
			t.Errorf("text %d was acknowledged and is not answered; a doubt about it: %v", n, ok)
		}
	}
}
