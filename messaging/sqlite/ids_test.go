package sqlite

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// smallBits is segmentBits of a small store.
const smallBits = 10

// small makes a store do less at a time, so that a test needs less.
func small(s *Store) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = bounds{prune: 100, forget: 16, search: 64, seal: 1 << smallBits}
	return s
}

// addIDs makes ids known without rows, as many to a commit as an engine makes.
func addIDs(t *testing.T, s *Store, from, to int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := from; n < to; {
		if err := s.transact(func() error {
			for end := min(n+100, to); n < end; n++ {
				s.ids.add(hashOf(kindEvent, fmt.Sprint(n)), kindEvent, n)
			}
			return s.saveIDs(start.UnixMilli() + n)
		}); err != nil {
			t.Fatal(err)
		}
		s.ids.committed()
		s.maintain()
	}
}

// wantIDs checks that ids up to a number are known, and those behind it are not.
func wantIDs(t *testing.T, s *Store, known int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range known + 1000 {
		if n%101 != 0 && n < known-1000 {
			continue
		}
		hash := hashOf(kindEvent, fmt.Sprint(n))
		found, err := s.find(hash, kindEvent, func(seq int64) (bool, error) { return seq == n, nil })
		if err != nil {
			t.Fatal(err)
		}
		if found != (n < known) {
			t.Fatalf("id %d of %d is found: %v", n, known, found)
		}
		if found && s.ids.new(hash) {
			t.Fatalf("the filter takes id %d for new", n)
		}
	}
	if ok, _ := s.find(hashOf(kindEvent, "1"), kindKey, func(int64) (bool, error) { return true, nil }); ok {
		t.Error("an event is found as a key")
	}
}

func TestIDsThroughSegmentsAndMerges(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := small(openAt(t, path))
	const segmentSize, fan = 1 << smallBits, 1 << fanBits
	wantIDs(t, s, 0)
	addIDs(t, s, 0, 1500)
	wantIDs(t, s, 1500)
	const all = (fan + 3) * segmentSize
	addIDs(t, s, 1500, all)
	s.background.Wait()
	wantIDs(t, s, all)
	levels := map[int64]int{}
	for _, g := range s.ids.segments {
		levels[g.level]++
	}
	if levels[1] != 1 || levels[0] > fan {
		t.Errorf("segments by level: %v; want one of level 1 and few of level 0", levels)
	}
	if n := len(s.ids.active); n > segmentSize+100 {
		t.Errorf("%d ids are in memory only, want at most %d", n, segmentSize)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = small(openAt(t, path))
	wantIDs(t, s, all) // by the segments, perhaps before the filter is built
	s.background.Wait()
	if s.ids.filter == nil {
		t.Fatal("no filter was built")
	}
	wantIDs(t, s, all)
	addIDs(t, s, all, all+1000)
	wantIDs(t, s, all+1000)
}

func TestHalfMadeSegmentIsSwept(t *testing.T) {
	t.Parallel()
	path := NewPath(t)
	s := small(openAt(t, path))
	s.background.Wait()
	addIDs(t, s, 0, 2<<smallBits)
	half := s.ids.nextID + 3
	if err := s.exclusively(func() error {
		for i := range int64(2000) {
			if err := s.w.insertIDs.exec(half<<keyBits|i, pack(nil, entry{hashOf(kindEvent, "never"), 4})); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = small(openAt(t, path))
	if s.ids.nextID <= half {
		t.Errorf("the next segment would be %d, among the rows of the half-made %d", s.ids.nextID, half)
	}
	s.background.Wait()
	if n, err := s.w.one(`SELECT count(*) FROM ids WHERE key >> ? = ?`, int64(keyBits), half); err != nil || n != 0 {
		t.Errorf("%d rows of a half-made segment are left (%v)", n, err)
	}
	wantIDs(t, s, 2<<smallBits)
}

func TestAbandonedIDsAreForgotten(t *testing.T) {
	t.Parallel()
	s := small(openAt(t, NewPath(t)))
	addIDs(t, s, 0, 1<<smallBits-10)
	before := slices.Clone(s.ids.segments)
	s.mu.Lock()
	err := s.transact(func() error {
		for n := int64(1<<smallBits - 10); n < 1<<smallBits+10; n++ {
			s.ids.add(hashOf(kindEvent, fmt.Sprint(n)), kindEvent, n)
		}
		if err := s.saveIDs(start.UnixMilli()); err != nil {
			return err
		}
		if s.ids.sealed.id == 0 {
			t.Error("the batch made no segment; the test proves nothing")
		}
		return errShape
	})
	s.mu.Unlock()
	if !errors.Is(err, errShape) {
		t.Fatal(err)
	}
	if !slices.Equal(s.ids.segments, before) {
		t.Errorf("segments are %v, want %v", s.ids.segments, before)
	}
	wantIDs(t, s, 1<<smallBits-10)
	addIDs(t, s, 1<<smallBits-10, 2<<smallBits)
	wantIDs(t, s, 2<<smallBits)
}
