package policy_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/pace"
	"github.com/signpost-sms/signpost/messaging/policy"
	"github.com/signpost-sms/signpost/messaging/postgres"
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

// ledger is a journal of counters in memory.
type ledger struct {
	all  []messaging.Counter
	fail error
}

func (l *ledger) Count(_ context.Context, owner uuid.UUID, counters []messaging.Counter) error {
	if l.fail != nil {
		return l.fail
	}
	seq := int64(0)
	if n := len(l.all); n > 0 {
		seq = l.all[n-1].Seq
	}
	for _, c := range counters {
		l.all = slices.DeleteFunc(l.all, func(o messaging.Counter) bool {
			return o.Owner == owner && o.Scope == c.Scope && o.Key == c.Key && o.Start.Equal(c.Start)
		})
		seq++
		c.Owner, c.Seq = owner, seq
		l.all = append(l.all, c)
	}
	return nil
}

func (l *ledger) Counted(_ context.Context, except uuid.UUID, after int64, limit int) (found []messaging.Counter, err error) {
	for _, c := range l.all {
		if c.Owner != except && c.Seq > after && len(found) < limit {
			found = append(found, c)
		}
	}
	return found, l.fail
}

// journals are those through which policies are tried: one in memory, and a database if
// there is one.
func journals(t *testing.T, f func(t *testing.T, journal messaging.Counting)) {
	t.Run("memory", func(t *testing.T) { t.Parallel(); f(t, &ledger{}) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); f(t, openPostgres(t)) })
}

func openPostgres(t *testing.T) *postgres.Store {
	server, named := os.LookupEnv("SIGNPOST_TEST_POSTGRES")
	if !named {
		server = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"
	}
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil && !named {
		t.Skipf("no PostgreSQL server answers: %v; start one, or set SIGNPOST_TEST_POSTGRES to its URL", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := "policy_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	run := func(sql string) {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Error(err)
		}
	}
	run("CREATE SCHEMA " + name)
	t.Cleanup(func() {
		run("DROP SCHEMA " + name + " CASCADE")
		_ = conn.Close(context.Background())
	})
	at, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := at.Query()
	q.Set("search_path", name)
	at.RawQuery = q.Encode()
	s, err := postgres.Open(t.Context(), at.String(), postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func exchange(t *testing.T, journal messaging.Counting, ps ...*policy.Policy) {
	t.Helper()
	for _, p := range ps {
		if err := p.Exchange(t.Context(), journal); err != nil {
			t.Fatal(err)
		}
	}
}

// Two that exchange every second keep the rate in every second, and the budget up to what
// one sends in that time.
func TestTwoKeepTheLimitsOfOne(t *testing.T) {
	t.Parallel()
	journals(t, func(t *testing.T, journal messaging.Counting) {
		const budget = 40
		cfg := policy.Config{Exchanged: true, Limits: pace.Limits{Budget: pace.Budget{Messages: budget}}}
		a, b := newPolicy(t, cfg), newPolicy(t, cfg)
		today := time.Now().Truncate(24 * time.Hour).Add(19 * time.Hour)
		a.Instances(2)
		b.Instances(2)
		var left []time.Time
		for i := range 3000 {
			now := today.Add(time.Duration(i) * 10 * time.Millisecond)
			if i%100 == 0 {
				exchange(t, journal, a, b)
			}
			for j, p := range []*policy.Policy{a, b} {
				if ask(p, now, sending("notification", person(2*i+j), "x")).Go() {
					left = append(left, now)
				}
			}
		}
		if most := busiest(left); most != 4 {
			t.Errorf("%d left in a second, want 4", most)
		}
		if n := len(left); n < budget || n > budget+4 {
			t.Errorf("%d left of a budget of %d, want at most 4 more", n, budget)
		}
	})
}

// A cap holds over two, and over the restart of both; what did not leave is not counted.
func TestCapsHoldOverReplicasAndRestarts(t *testing.T) {
	t.Parallel()
	journals(t, func(t *testing.T, journal messaging.Counting) {
		cfg := policy.Config{Exchanged: true}
		today := time.Now().Truncate(24 * time.Hour).Add(19 * time.Hour)
		n := 0
		offer := func(p *policy.Policy, want string) *messaging.Send {
			t.Helper()
			n++
			s := sending("marketing", person(1), fmt.Sprint("offer ", n))
			if v := ask(p, today.Add(time.Duration(n)*time.Second), s); v.Reason != want {
				t.Fatalf("offer %d: %+v, want %q", n, v, want)
			}
			return s
		}
		a, b := newPolicy(t, cfg), newPolicy(t, cfg)
		offer(a, "")
		offer(a, "")
		exchange(t, journal, a, b)
		back := offer(b, "")
		offer(b, "frequency_cap")
		exchange(t, journal, b, a)
		offer(a, "frequency_cap")
		give(b.Rules(), today.Add(3*time.Second), back)
		exchange(t, journal, b, a)
		offer(a, "")
		exchange(t, journal, a)
		if err := a.Configure(today, cfg); err != nil {
			t.Fatal(err)
		}
		offer(a, "frequency_cap")

		a, b = newPolicy(t, cfg), newPolicy(t, cfg)
		exchange(t, journal, a, b)
		offer(a, "frequency_cap")
		offer(b, "frequency_cap")
		n += 24 * 60 * 60
		offer(b, "")
	})
}

// What a journal did not take is told again.
func TestExchangeLosesNothing(t *testing.T) {
	t.Parallel()
	journal := &ledger{fail: messaging.ErrUnavailable}
	a, b := newPolicy(t, policy.Config{Exchanged: true}), newPolicy(t, policy.Config{Exchanged: true})
	for i := range 3 {
		if i == 2 {
			if err := a.Exchange(t.Context(), journal); !errors.Is(err, messaging.ErrUnavailable) {
				t.Errorf("Exchange: %v", err)
			}
		}
		if v := ask(a, noon.Add(time.Duration(i)*time.Second), sending("marketing", person(1), fmt.Sprint(i))); !v.Go() {
			t.Fatalf("%+v", v)
		}
	}
	journal.fail = nil
	exchange(t, journal, a, b)
	if v := ask(b, noon.Add(time.Minute), sending("marketing", person(1), "x")); v.Reason != "frequency_cap" {
		t.Errorf("the fourth: %+v", v)
	}
}
