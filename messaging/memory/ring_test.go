package memory

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRing compares a ring with a slice that is searched from end to end.
func TestRing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 9).Draw(t, "capacity")
		r := newRing(capacity)
		type entry struct {
			key digest
			pos uint32
		}
		var order []entry // the newest last; a dropped key leaves a hole, which counts
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			var d digest
			// Both halves alike and close together, so that many keys have one home.
			binary.LittleEndian.PutUint64(d[8:], uint64(rapid.IntRange(1, 12).Draw(t, "key")))
			i := slices.IndexFunc(order, func(e entry) bool { return e.key == d })
			pos, ok := r.find(d)
			if ok != (i >= 0) || ok && pos != order[i].pos {
				t.Fatalf("find(%x) is %d, %v; want it there: %v", d, pos, ok, i >= 0)
			}
			if ok {
				if rapid.Bool().Draw(t, "drop") {
					r.drop(pos)
					r.drop(pos) // harmless
					order[i].key = digest{}
				}
				continue
			}
			order = append(order, entry{d, r.add(d)})
			if len(order) > capacity {
				order = order[1:]
			}
		}
		for _, e := range order {
			if e.key == (digest{}) {
				continue
			}
			if pos, ok := r.find(e.key); !ok || pos != e.pos {
				t.Fatalf("at the end find(%x) is %d, %v; want %d", e.key, pos, ok, e.pos)
			}
		}
	})
}
