package memory

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/signpost-sms/signpost/messaging"
)

// digest is what is kept of an id: its own bytes for a UUID, else a keyed 128-bit hash, so
// that nobody who chooses ids can make two of them meet.
type digest [16]byte

// hasher makes digests. Its seeds differ in every process, as nothing here outlives it.
type hasher struct{ a, b maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h hasher) digest(s string) (d digest) {
	binary.LittleEndian.PutUint64(d[:8], maphash.String(h.a, s))
	binary.LittleEndian.PutUint64(d[8:], maphash.String(h.b, s))
	return d
}

// pair hashes a conversation; false alarms are as likely as one in 2^64.
func (h hasher) pair(c messaging.Conversation) uint64 { return maphash.Comparable(h.a, c) }

// ring is a set of the newest digests, at most as many as its capacity; an added one
// overwrites the oldest. Each has a position at which the caller may keep what belongs to
// it. There is no pointer in it, so that the garbage collector never looks inside, and its
// memory is claimed from the system only as it fills.
type ring struct {
	keys []digest
	// slots is a hash table with linear probing: position+1 of a key, 0 for an empty slot.
	slots []uint32
	next  uint32 // position of the next key
	full  bool   // every position has been used
}

func newRing(capacity int) *ring {
	size := 4
	for size < 2*capacity { // at most half full, so that probes stay short
		size *= 2
	}
	return &ring{keys: make([]digest, capacity), slots: make([]uint32, size)}
}

// home is the slot where the search for a key begins. UUIDs differ little in their first
// half and hashes are even, so both halves are mixed.
func (r *ring) home(d *digest) uint32 {
	const odd = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	x := binary.LittleEndian.Uint64(d[:8])*odd ^ binary.LittleEndian.Uint64(d[8:])
	x *= odd
	return uint32(x>>32) & uint32(len(r.slots)-1)
}

// find gives the position of a key.
func (r *ring) find(d digest) (pos uint32, ok bool) {
	mask := uint32(len(r.slots) - 1)
	for i := r.home(&d); ; i = (i + 1) & mask {
		s := r.slots[i]
		if s == 0 {
			return 0, false
		}
		if r.keys[s-1] == d {
			return s - 1, true
		}
	}
}

// add puts in a key that is not there and gives its position.
func (r *ring) add(d digest) uint32 {
	pos := r.next
	if r.full {
		r.drop(pos)
	}
	if r.next++; int(r.next) == len(r.keys) {
		r.next, r.full = 0, true
	}
	r.keys[pos] = d
	mask := uint32(len(r.slots) - 1)
	i := r.home(&d)
	for r.slots[i] != 0 {
		i = (i + 1) & mask
	}
	r.slots[i] = pos + 1
	return pos
}

// drop takes the key at a position out, unless it is out already. Its position stays
// unused until its turn comes again.
func (r *ring) drop(pos uint32) {
	mask := uint32(len(r.slots) - 1)
	i := r.home(&r.keys[pos])
	for r.slots[i] != pos+1 {
		if r.slots[i] == 0 {
			return
		}
		i = (i + 1) & mask
	}
	// Move back what was pushed past this slot, so that no search ends too early.
	for j := i; ; {
		j = (j + 1) & mask
		s := r.slots[j]
		if s == 0 {
			break
		}
		if home := r.home(&r.keys[s-1]); (j-home)&mask >= (j-i)&mask {
			r.slots[i] = s
			i = j
		}
	}
	r.slots[i] = 0
}
