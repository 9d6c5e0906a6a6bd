package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging/policy"
)

// busiest is the most that left in any second.
func busiest(left []time.Time) (most int) {
	slices.SortFunc(left, time.Time.Compare)
	for i, first := range left {
		n := 0
		for _, at := range left[i:] {
			if at.Sub(first) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// A newcomer and those that were there before divide the rate, and have it whole again when
// one is left.
func TestRatesAreDividedAmongInstances(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ least, instances, most int }{
		"alone":                    {0, 1, 4},
		"not known":                {0, 0, 4},
		"of two":                   {0, 2, 2},
		"of four":                  {0, 4, 1},
		"fewer by the journal":     {4, 2, 1},
		"more than the least":      {2, 4, 1},
		"not known, but the least": {2, 0, 2},
	} {
		p := newPolicy(t, policy.Config{Replicas: tc.least})
		p.Instances(3)
		p.Instances(tc.instances)
		var left []time.Time
		for i := range 500 {
			if now := noon.Add(time.Duration(i) * 10 * time.Millisecond); ask(p, now, sending("notification", person(i), "x")).Go() {
				left = append(left, now)
			}
		}
		if most := busiest(left); most != tc.most {
			t.Errorf("%s: %d left in a second, want %d", name, most, tc.most)
		}
	}
}
