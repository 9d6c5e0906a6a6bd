package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
)

// hashOf is 64 bits of an id of a kind. It is stored, so it never changes.
func hashOf(kind int64, s string) int64 {
	var small [128]byte
	sum := sha256.Sum256(append(append(small[:0], byte(kind)), s...))
	return int64(binary.LittleEndian.Uint64(sum[:]))
}

// filterSize is the size of a filter in bits, as a power of two: 4 MiB, of which the heap's
// growth makes 8. With a million ids in it, it sends one new id in 6000 to the disk, with
// ten million one in four.
const filterSize = 25

// filter is a Bloom filter: it knows for certain that an id is new, and for all but a few
// of the others that it may not be. Its size is fixed, so it forgets nothing and is built
// anew when much of what it holds has left the journal.
type filter struct {
	words []uint64
	added int
}

func newFilter() *filter { return &filter{words: make([]uint64, 1<<filterSize/64)} }

// places is how many bits an id sets.
const places = 4

// at gives the n-th place of a hash. The hash is even as it is, so its own bits, turned and
// mixed once, are as good as further hashes.
func at(h uint64, n uint) (word uint64, bit uint64) {
	x := (h>>(n*11) | h<<(64-n*11)) * 0x9E3779B97F4A7C15 >> (64 - filterSize)
	return x / 64, 1 << (x % 64)
}

// add counts an id and sets its bits.
func (f *filter) add(hash int64) {
	f.set(hash)
	f.added++
}

// set sets the bits of an id. It may be called while others do the same.
func (f *filter) set(hash int64) {
	for n := range uint(places) {
		w, b := at(uint64(hash), n)
		atomic.OrUint64(&f.words[w], b)
	}
}

// may reports whether the hash may have been added.
func (f *filter) may(hash int64) bool {
	for n := range uint(places) {
		if w, b := at(uint64(hash), n); f.words[w]&b == 0 {
			return false
		}
	}
	return true
}
