package crashtest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

const (
	// cutRate is how many texts a second the daemons get whose connection is reset.
	cutRate = 60
	// cutsPerRun is how many resets one process gets. A client that loses more than 20
	// sessions a minute takes its time to come back.
	cutsPerRun = 18
)

// cutting is one way for a daemon to learn what became of a send after a reset.
type cutting struct {
	tags, log bool
	then      string
}

// TestCut resets the connection between the request of a send and its result. The platform
// has taken the send in some of the cuts and not in others, and what is behind the send in
// the connection is cut with it.
func TestCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]cutting{
		// States alone cannot prove that a send was not taken: silence has to.
		"tags": {tags: true, then: "resend"},
		"log":  {log: true, then: "hold"},
		"both": {tags: true, log: true, then: "hold"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, v, j := c.run(t, *cuts)
			l.judgeAll(t, v, j, c.platform(), false)
		})
	}
}

// TestCutIsSeen runs daemons that cannot know what became of a send: the account has to
// show that something was sent twice, or not at all.
func TestCutIsSeen(t *testing.T) {
	t.Parallel()
	t.Run("resend", func(t *testing.T) {
		t.Parallel()
		if _, v, _ := (cutting{then: "resend"}).run(t, 6); len(v.twice) == 0 {
			t.Error("nothing was sent twice by a daemon that resends without knowing")
		}
	})
	t.Run("hold", func(t *testing.T) {
		t.Parallel()
		if _, v, j := (cutting{then: "hold"}).run(t, 6); len(v.lost) == 0 || len(j.doubts) == 0 {
			t.Errorf("%d lost, %d doubts: want some of both of a daemon that cannot know and holds", len(v.lost), len(j.doubts))
		}
	})
}

func (c cutting) platform() platform { return platform{redeliver: true, tags: c.tags} }

// run has a daemon's connection reset so many times, under load, and judges what came out.
func (c cutting) run(t *testing.T, cuts int) (*ledger, verdict, journal) {
	t.Helper()
	rnd := random(t)
	space, l := newSpace(t, c.platform(), cuts*cutRate)
	s := setting{role: roleCoded, log: c.log, then: c.then, wait: doubtWait, store: newStoreURL(t)}
	d := newChild(t, space, s, 0)
	d.start()
	ready(t, space)

	quiet := l.begin(t, rnd, load{people: manyPeople, rate: cutRate, owed: cutRate / 2})
	for done := 0; done < cuts; {
		if done > 0 {
			d.stop()
			d.start()
		}
		n := min(cutsPerRun, cuts-done)
		space.NextSends(script(rnd, done, n)...)
		done += n
		l.waitForCuts(t, d, done)
	}
	quiet()
	v, j := l.finish(t, []*child{d}, s, func(v verdict) bool { return len(v.lost) == 0 || !c.tags && !c.log })
	taken := 0
	for _, s := range l.unanswered(t) {
		if s.Executed {
			taken++
		}
	}
	t.Logf("%d cuts, %d of them of sends that were taken; %v; %d doubts left", cuts, taken, v, len(j.doubts))
	return l, v, j
}

// script makes n cuts with answered sends between them. The first two are one of each kind,
// so that no run is without.
func script(rnd *rand.Rand, done, n int) []relaytest.Outcome {
	var outcomes []relaytest.Outcome
	for i := range n {
		outcomes = append(outcomes, relaytest.Repeat(2+rnd.IntN(8), relaytest.Deliver())...)
		taken := rnd.IntN(2) == 0
		if done+i < 2 {
			taken = i == 0
		}
		if taken {
			outcomes = append(outcomes, relaytest.AcceptThenDrop())
		} else {
			outcomes = append(outcomes, relaytest.DropUnexecuted())
		}
	}
	return outcomes
}

// unanswered lists the sends at which the connection was reset.
func (l *ledger) unanswered(t *testing.T) []relaytest.Send {
	t.Helper()
	l.verdict(t) // collects
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.sends), func(s relaytest.Send) bool { return s.Code != "" })
}

// waitForCuts waits for so many resets.
func (l *ledger) waitForCuts(t *testing.T, d *child, want int) {
	t.Helper()
	for began := time.Now(); ; {
		n := len(l.unanswered(t))
		if n >= want {
			return
		}
		if time.Since(began) > 2*patience {
			t.Fatalf("%d of %d cuts after %v", n, want, time.Since(began))
		}
		d.runFor(50 * time.Millisecond)
	}
}
