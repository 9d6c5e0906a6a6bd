package pace

import (
	"fmt"
	"slices"
	"time"
)

// recipients remembers who was sent messages of a capped category, and when. What is older
// than the window is forgotten a generation at a time: an entry moves to the young one when
// it is used, so what is left in the old one at the end of a window counts no more.
type recipients struct {
	Cap
	rule       string
	most       int
	young, old map[string][]uint32 // seconds since 1970, rounded up
	turned     time.Time           // when the generations changed
}

func newRecipients(c Cap, most int) *recipients {
	return &recipients{Cap: c, rule: "frequency_cap." + c.Category, most: most, young: map[string][]uint32{}}
}

// key names a person under this cap for other replicas.
func (r *recipients) key(to string) string { return fmt.Sprintf("%s/%v/%s", r.Category, r.Window, to) }

// margin is more than the rounding of times to seconds can make of a difference.
const margin = 2 * time.Second

func (r *recipients) turn(now time.Time) {
	switch age := now.Sub(r.turned); {
	case r.turned.IsZero(), age < 0:
	case age > 2*r.Window+2*margin:
		r.young, r.old = map[string][]uint32{}, nil
	case age > r.Window+margin:
		r.young, r.old = map[string][]uint32{}, r.young
	default:
		return
	}
	r.turned = now
}

// times are those of a person within the window.
func (r *recipients) times(now time.Time, to string) []uint32 {
	r.turn(now)
	ts, ok := r.young[to]
	if !ok {
		ts = r.old[to]
	}
	return r.recent(now, ts)
}

// recent are those of the times that are within the window.
func (r *recipients) recent(now time.Time, ts []uint32) []uint32 {
	since := now.Add(-r.Window)
	return slices.DeleteFunc(slices.Clone(ts), func(t uint32) bool { return !time.Unix(int64(t), 0).After(since) })
}

// ask reports whether one more is allowed, and if not, when to ask again.
func (r *recipients) ask(now time.Time, to string, elsewhere int) (at time.Time, ok bool) {
	ts := r.times(now, to)
	if over := len(ts) + elsewhere + 1 - r.N; over > 0 {
		if len(ts) == 0 {
			return now.Add(min(r.Window, time.Hour)), false // when the others' age out is not known here
		}
		slices.Sort(ts)
		return time.Unix(int64(ts[min(over, len(ts))-1]), 0).Add(r.Window), false
	}
	if _, known := r.young[to]; !known && len(r.young) >= r.most {
		return r.turned.Add(r.Window + margin + 1), false
	}
	return now, true
}

func second(t time.Time) uint32 { return uint32(t.Add(time.Second - 1).Unix()) } //nolint:gosec // good until 2106

func (r *recipients) add(now time.Time, to string) {
	r.young[to] = append(r.times(now, to), second(now))
	delete(r.old, to)
}

// count is how many left for a person in the second of at.
func (r *recipients) count(at time.Time, to string) (n int) {
	ts, ok := r.young[to]
	if !ok {
		ts = r.old[to]
	}
	for _, t := range ts {
		if t == second(at) {
			n++
		}
	}
	return n
}

func (r *recipients) remove(at time.Time, to string) {
	for _, m := range []map[string][]uint32{r.young, r.old} {
		if i := slices.Index(m[to], second(at)); i >= 0 {
			// A slice that is there is never changed: see Export.
			if m[to] = slices.Concat(m[to][:i], m[to][i+1:]); len(m[to]) == 0 {
				delete(m, to)
			}
			return
		}
	}
}
