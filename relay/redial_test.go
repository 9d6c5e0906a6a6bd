package relay

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// ceilings draws many delays of the same history and returns their largest:
// with full jitter that shows the ceiling, and the smallest and the mean show
// that the jitter is full and uniform.
func ceilings(history func(r *redial) time.Duration) (least, mean, most time.Duration) {
	const n = 3000
	least = time.Hour
	for range n {
		d := history(newRedial())
		least, most = min(least, d), max(most, d)
		mean += d / n
	}
	return least, mean, most
}

func TestRedialDelays_R32(t *testing.T) {
	t.Parallel()
	now := time.Now()
	fails := func(r *redial, n int) (d time.Duration) {
		for range n {
			d = r.after(false, now)
		}
		return d
	}
	for _, tt := range []struct {
		name    string
		history func(r *redial) time.Duration
		ceiling time.Duration
	}{
		{"first failure", func(r *redial) time.Duration { return fails(r, 1) }, 250 * time.Millisecond},
		{"second failure", func(r *redial) time.Duration { return fails(r, 2) }, 500 * time.Millisecond},
		{"fifth failure", func(r *redial) time.Duration { return fails(r, 5) }, 4 * time.Second},
		{"eighth failure", func(r *redial) time.Duration { return fails(r, 8) }, 30 * time.Second},
		{"thousandth failure", func(r *redial) time.Duration { return fails(r, 1000) }, 30 * time.Second},
		{"loss", func(r *redial) time.Duration { return r.after(true, now) }, 250 * time.Millisecond},
		{"loss, then two failures", func(r *redial) time.Duration { r.after(true, now); return fails(r, 2) }, time.Second},
		{"loss after many failures", func(r *redial) time.Duration { fails(r, 50); return r.after(true, now) }, 250 * time.Millisecond},
		{"20 losses in a minute", func(r *redial) time.Duration { return losses(r, now, 20, time.Second) }, 250 * time.Millisecond},
		{"21 losses in a minute", func(r *redial) time.Duration { return losses(r, now, 21, time.Second) }, 500 * time.Millisecond},
		{"23 losses in a minute", func(r *redial) time.Duration { return losses(r, now, 23, time.Second) }, 2 * time.Second},
		{"200 losses in a minute", func(r *redial) time.Duration { return losses(r, now, 200, time.Second/10) }, 30 * time.Second},
		{"200 losses, each after 3.1 s", func(r *redial) time.Duration { return losses(r, now, 200, 3100*time.Millisecond) }, 250 * time.Millisecond},
		{"a storm, a quiet minute, a loss", func(r *redial) time.Duration {
			losses(r, now, 200, time.Second/10)
			return r.after(true, now.Add(20*time.Second+stormWindow))
		}, 250 * time.Millisecond},
	} {
		least, mean, most := ceilings(tt.history)
		if most > tt.ceiling || most < tt.ceiling*95/100 {
			t.Errorf("%s: most %s, want a ceiling of %s", tt.name, most, tt.ceiling)
		}
		if least > tt.ceiling/50 {
			t.Errorf("%s: least %s of %s, want full jitter", tt.name, least, tt.ceiling)
		}
		// Six standard deviations of the mean: 3 % of the ceiling.
		if off := mean - tt.ceiling/2; off.Abs() > tt.ceiling*32/1000 {
			t.Errorf("%s: mean %s of %s, want a uniform draw", tt.name, mean, tt.ceiling)
		}
	}
}

func losses(r *redial, from time.Time, n int, apart time.Duration) (d time.Duration) {
	for i := range n {
		d = r.after(true, from.Add(time.Duration(i)*apart))
	}
	return d
}

// The whole client: an opened socket, and even an accepted connect, are not a
// ready session and do not reset anything.
func TestOpenSocketResetsNothing_R32(t *testing.T) {
	for stage, fail := range map[string]func(p *peer){
		"opened":        func(p *peer) { p.upgrade(); p.conn.reset() },
		"connect read":  func(p *peer) { p.upgrade(); p.read(); p.conn.reset() },
		"authenticated": func(p *peer) { p.upgrade(); p.answer(p.read(), connectResultJSON); p.read(); p.conn.reset() },
		"not confirmed": func(p *peer) {
			p.upgrade()
			p.answer(p.read(), connectResultJSON)
			p.answer(p.await("signalwire.receive"), `{"code":"500"}`)
			p.conn.reset()
		},
	} {
		synctestRun(t, stage, func(t *testing.T, sp *space) {
			r := sp.run()
			start := time.Now()
			const n = 40
			for range n {
				fail(sp.next())
			}
			// Forty attempts with a mean of 15 s at the cap.
			if d := time.Since(start); d < 3*time.Minute {
				t.Errorf("%d attempts in %s: the delay does not grow", n, d)
			}
			sp.ready()
			r.ready(t)
		})
	}
}

func TestBackWithinASecond_R32(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		for i := range 100 {
			r.ready(t)
			synctest.Wait()
			time.Sleep(4 * time.Second) // rarer than a storm
			lost := time.Now()
			p.conn.reset()
			p = sp.next()
			if d := time.Since(lost); d > firstCeiling {
				t.Fatalf("loss %d: dialed after %s, want within %s", i, d, firstCeiling)
			}
			p.upgrade()
			p.accept()
		}
	})
}

func TestStormIsDamped_R32(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.run()
		start := time.Now()
		var marks []string
		for i := range 60 {
			p := sp.ready()
			synctest.Wait()
			p.conn.reset()
			if i == 19 || i == 59 {
				marks = append(marks, fmt.Sprint(time.Since(start)))
			}
			if i == 19 && time.Since(start) > 6*time.Second {
				t.Errorf("the first 20 losses took %s, want at most 250 ms each", time.Since(start))
			}
		}
		if d := time.Since(start); d < time.Minute {
			t.Errorf("60 accept-then-close took %s (%v): the client hammers", d, marks)
		}
	})
}
