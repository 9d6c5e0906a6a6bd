package sqlite

import "testing"

// mixed is as even as a hash of an id, and cheaper.
func mixed(i int) int64 {
	x := uint64(i+1) * 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return int64(x ^ x>>31)
}

func TestFilter(t *testing.T) {
	t.Parallel()
	f := newFilter()
	const ids = 1_000_000
	for i := range ids {
		f.add(mixed(i))
	}
	for i := range ids {
		if !f.may(mixed(i)) {
			t.Fatalf("id %d is taken for new", i)
		}
	}
	wrong := 0
	for i := range 100_000 {
		if f.may(mixed(ids + i)) {
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
