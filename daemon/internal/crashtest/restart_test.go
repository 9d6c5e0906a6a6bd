package crashtest

import (
	"testing"
	"time"
)

// restartRate is how many texts a second come during a rolling restart.
const restartRate = 50

// TestRollingRestart stops daemons in order and starts them again under load, one at a time.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	rnd := random(t)
	p := platform{redeliver: true, tags: true}
	space, l := newSpace(t, p, *restarts*10*restartRate)
	s := setting{role: roleCoded, then: "hold", wait: doubtWait, store: newStoreURL(t)}
	fleet := newFleet(t, space, s)
	ready(t, space)

	quiet := l.begin(t, rnd, load{people: fewPeople, rate: restartRate, owed: 2 * restartRate})
	for n := range *restarts {
		d := fleet[n%len(fleet)]
		d.runFor(time.Second + time.Duration(rnd.Int64N(int64(time.Second))))
		d.stop()
		d.start()
		ready(t, space)
	}
	quiet()
	v, j := l.finish(t, fleet, s, func(v verdict) bool { return v.answered == v.texts })
	t.Logf("%d restarts; %v", *restarts, v)
	l.judgeAll(t, v, j, p, false)
	if v.answered != v.texts {
		t.Errorf("%d of %d texts were answered, want all", v.answered, v.texts)
	}
}
