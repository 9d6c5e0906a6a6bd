package memory

// shelved is what lies on a shelf.
type shelved interface {
	comparable
	cost() int64 // bytes; it stays the same there but for shrink
}

// shelf keeps finished things, at most so many bytes of them, the oldest going first. What
// lies on it may be taken off again.
type shelf[T shelved] struct {
	slots []T // a circle; a taken one leaves a hole
	first int // slot of the oldest
	used  int // slots in use, holes included
	bytes int64
	most  int64
}

// newShelf makes a shelf for most bytes. Nothing costs less than overhead.
func newShelf[T shelved](most int64) *shelf[T] {
	return &shelf[T]{slots: make([]T, most/overhead+1), most: most}
}

// put lays x on the shelf, calls forget for whatever has to go for it, and gives its slot.
// What is larger than the whole shelf goes at once.
func (s *shelf[T]) put(x T, forget func(T)) (slot int) {
	for s.used > 0 && (s.bytes+x.cost() > s.most || s.used == len(s.slots)) {
		s.drop(forget)
	}
	slot = (s.first + s.used) % len(s.slots)
	if x.cost() > s.most {
		forget(x)
		return slot
	}
	s.slots[slot] = x
	s.used++
	s.bytes += x.cost()
	return slot
}

// drop forgets the oldest.
func (s *shelf[T]) drop(forget func(T)) {
	slot := s.first
	s.first = (s.first + 1) % len(s.slots)
	s.used--
	if x, ok := s.take(slot); ok {
		forget(x)
	}
}

// take takes what lies in a slot off the shelf.
func (s *shelf[T]) take(slot int) (x T, ok bool) {
	var none T
	x = s.slots[slot]
	if x == none {
		return none, false
	}
	s.slots[slot] = none
	s.bytes -= x.cost()
	return x, true
}

// shrink tells that what lies on the shelf costs so much less.
func (s *shelf[T]) shrink(bytes int64) { s.bytes -= bytes }

// all calls f for everything on the shelf, the oldest first, until it says false.
func (s *shelf[T]) all(f func(T) bool) {
	var none T
	for i := range s.used {
		if x := s.slots[(s.first+i)%len(s.slots)]; x != none && !f(x) {
			return
		}
	}
}
