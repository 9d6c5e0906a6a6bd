package loop

import (
	"hash/maphash"
	"sync"
	"time"
)

// DuplicateWindow is the default window of Duplicates: long enough for a job that was
// started twice, short enough for a notice that really comes again.
const DuplicateWindow = 10 * time.Minute

// duplicatesMost bounds how many sends each of two generations remembers. Where there are
// more within a window, the oldest are forgotten, and might be sent again.
const duplicatesMost = 250_000

// Duplicates remembers which text went to which number. Make one with [NewDuplicates]; it
// may be used by many goroutines.
type Duplicates struct {
	most int
	seed maphash.Seed

	mu         sync.Mutex
	window     time.Duration
	young, old map[uint64]sent
	turned     time.Time
}

// sent is a text that went to a number: when, and in which send.
type sent struct {
	at time.Time
	id uint64
}

// NewDuplicates makes a Duplicates; a window of zero is DuplicateWindow, a negative one lets
// everything through.
func NewDuplicates(window time.Duration) *Duplicates {
	d := &Duplicates{most: duplicatesMost, seed: maphash.MakeSeed(), young: map[uint64]sent{}}
	d.SetWindow(window)
	return d
}

// SetWindow changes the window, as NewDuplicates takes it. What is remembered stays; a
// longer window is whole only after it has passed once.
func (d *Duplicates) SetWindow(window time.Duration) {
	if window == 0 {
		window = DuplicateWindow
	}
	d.mu.Lock()
	d.window = window
	d.mu.Unlock()
}

// Ask says whether a send that is no reply may leave; if it may, it is remembered. id names
// the send: its further attempts are no duplicates of the first.
func (d *Duplicates) Ask(now time.Time, id, to, body string) Verdict {
	key, name := d.key(to, body), maphash.String(d.seed, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.window < 0 {
		return Verdict{OK: true}
	}
	if now.Sub(d.turned) >= d.window || len(d.young) >= d.most {
		d.old, d.young, d.turned = d.young, map[uint64]sent{}, now
	}
	s, found := d.young[key]
	if !found {
		s, found = d.old[key]
	}
	if found && s.id != name && now.Sub(s.at) < d.window {
		return Verdict{Reason: DuplicateContent, Rule: "duplicate_content", Until: s.at.Add(d.window)}
	}
	if !found || s.id != name {
		s = sent{now, name}
	}
	d.young[key] = s
	return Verdict{OK: true}
}

// Forget takes back what Ask remembered, for a send that will never leave.
func (d *Duplicates) Forget(id, to, body string) {
	key, name := d.key(to, body), maphash.String(d.seed, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range []map[uint64]sent{d.young, d.old} {
		if s, ok := m[key]; ok && s.id == name {
			delete(m, key)
		}
	}
}

func (d *Duplicates) key(to, body string) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seed)
	h.WriteString(to)
	h.WriteByte(0)
	h.WriteString(body)
	return h.Sum64()
}
