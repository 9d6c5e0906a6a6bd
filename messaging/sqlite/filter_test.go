package sqlite

import (
	"strconv"
	"testing"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	f := newFilter()
	const ids = 1_000_000
	for i := range ids {
		f.add(hashOf(kindEvent, "known "+strconv.Itoa(i)))
	}
	for i := range ids {
		if !f.may(hashOf(kindEvent, "known "+strconv.Itoa(i))) {
			t.Fatalf("id %d is taken for new", i)
		}
	}
	wrong := 0
	for i := range 100_000 {
		if f.may(hashOf(kindEvent, "new "+strconv.Itoa(i))) {
			wrong++
		}
	}
	// (1-e^(-4/33.5))^4 is 16 in 100,000.
	if wrong > 32 {
		t.Errorf("%d of 100,000 new ids look known among a million", wrong)
	}
}

func TestHashIsStable(t *testing.T) {
	t.Parallel()
	if got, want := hashOf(kindEvent, "SM1"), int64(6808624856322927718); got != want {
		t.Errorf("hashOf: %d, want %d; journals hold it", got, want)
	}
}
