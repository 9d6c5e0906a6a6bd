package otp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/signpost-sms/signpost/messaging"
)

const (
	somebody = "+12025550101"
	ours     = "+12025550100"
)

// desk is an engine that keeps the values and the sends.
type desk struct {
	mu      sync.Mutex
	values  map[string]messaging.Value
	version int64
	bodies  []string
	sends   []messaging.Send
	out     bool // everybody opted out
	err     error
}

func (d *desk) Value(_ context.Context, bucket, key string) (messaging.Value, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return messaging.Value{}, d.err
	}
	v, ok := d.values[bucket+"/"+key]
	if !ok || !v.ExpiresAt.After(time.Now()) {
		return messaging.Value{Version: messaging.Absent}, nil
	}
	return v, nil
}

func (d *desk) set(c *messaging.ValueChange) error {
	if err := c.Check(time.Now()); err != nil {
		return err
	}
	name := c.Bucket + "/" + c.Key
	has := messaging.Absent
	if v, ok := d.values[name]; ok && v.ExpiresAt.After(time.Now()) {
		has = v.Version
	}
	if c.Expect != messaging.AnyVersion && c.Expect != has {
		return messaging.ErrValueChanged
	}
	d.version++
	if d.values == nil {
		d.values = map[string]messaging.Value{}
	}
	d.values[name] = messaging.Value{Bucket: c.Bucket, Key: c.Key, Number: c.Number, Data: c.Data, ExpiresAt: c.ExpiresAt, Version: d.version}
	return nil
}

func (d *desk) SetValue(_ context.Context, changes ...*messaging.ValueChange) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range changes {
		if err := d.set(c); err != nil {
			return err
		}
	}
	return nil
}

func (d *desk) EnqueueAll(_ context.Context, sends []messaging.Send, with func(*messaging.Send) []*messaging.ValueChange) ([]messaging.Enqueued, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := sends[0]
	s.ID = uuid.Must(uuid.NewV7())
	for _, c := range with(&s) {
		if err := d.set(c); err != nil {
			return []messaging.Enqueued{{Err: err}}, nil
		}
	}
	d.sends, d.bodies = append(d.sends, s), append(d.bodies, s.Body)
	q := messaging.Enqueued{Send: s.Shown(), Fresh: true, Status: messaging.StatusQueued}
	if d.out {
		q.Status, q.Reason = messaging.StatusSuppressed, messaging.ReasonOptedOut
	}
	return []messaging.Enqueued{q}, nil
}

var digits = regexp.MustCompile(`^\d+`)

// last is the code that was sent last.
func (d *desk) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return digits.FindString(d.bodies[len(d.bodies)-1])
}

func codes(t testing.TB, d *desk, cfg Config) *Codes {
	t.Helper()
	cfg.Secret = []byte("a secret of sixteen bytes or more")
	c, err := New(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var request = Request{To: somebody, From: ours, Context: "support"}

func issue(t testing.TB, c *Codes, r Request) Issued {
	t.Helper()
	is, err := c.Issue(t.Context(), r)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return is
}

func check(t testing.TB, c *Codes, code string, want error) {
	t.Helper()
	if err := c.Check(t.Context(), Answer{To: somebody, Code: code}); !errors.Is(err, want) {
		t.Errorf("Check: %v, want %v", err, want)
	}
}

// other is a code that is not the given one.
func other(code string) string {
	return code[:len(code)-1] + string('0'+(code[len(code)-1]-'0'+1)%10)
}

func TestIssueAndCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		reg := prometheus.NewRegistry()
		c := codes(t, d, Config{Metrics: NewMetrics(reg)})
		check(t, c, "123456", ErrNoCode)
		is := issue(t, c, request)
		if !is.ExpiresAt.Equal(time.Now().Add(5*time.Minute)) || !is.ResendAt.Equal(time.Now().Add(30*time.Second)) {
			t.Errorf("issued %+v", is)
		}
		s := d.sends[0]
		if !s.Secret || s.Category != messaging.CategoryTransactional || s.Priority != messaging.PriorityTransactional ||
			!s.ExpiresAt.Equal(is.ExpiresAt) || s.ID != is.Send || s.To != somebody || s.From != ours {
			t.Errorf("sent %+v", s)
		}
		code := d.last()
		if len(code) != 6 {
			t.Errorf("a code has %d digits, want 6", len(code))
		}
		for name, v := range d.values {
			if strings.Contains(string(v.Data), code) || strings.Contains(name, code) || v.Number != somebody {
				t.Errorf("the state %q about %v holds the code", name, v.Number)
			}
		}
		check(t, c, other(code), ErrWrong)
		check(t, c, "", ErrWrong)
		check(t, c, code[:3]+" - "+code[3:], nil)
		check(t, c, code, ErrNoCode)
		for result, want := range map[string]float64{"accepted": 1, "wrong": 2, "none": 2, "attempts": 0} {
			if got := testutil.ToFloat64(c.cfg.Metrics.checks.WithLabelValues(result)); got != want {
				t.Errorf("%v checks are counted as %s, want %v", got, result, want)
			}
		}
	})
}

func TestPurposesAndPeopleAreApart(t *testing.T) {
	t.Parallel()
	d := &desk{}
	c := codes(t, d, Config{})
	issue(t, c, request)
	code := d.last()
	for _, a := range []Answer{{To: somebody, Purpose: "login", Code: code}, {To: "+12025550102", Code: code}} {
		if err := c.Check(t.Context(), a); !errors.Is(err, ErrNoCode) {
			t.Errorf("Check of %+v: %v", a, err)
		}
	}
	r := request
	r.Purpose = "login"
	issue(t, c, r)
	check(t, c, code, nil)
	for _, bad := range []Request{{To: somebody, Purpose: "two words"}, {To: somebody, Purpose: strings.Repeat("x", 65)}, {}} {
		if _, err := c.Issue(t.Context(), bad); err == nil {
			t.Errorf("Issue of %+v: no error", bad)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		c := codes(t, d, Config{})
		limited := func(until time.Duration) {
			t.Helper()
			_, err := c.Issue(t.Context(), request)
			var l *LimitError
			if !errors.As(err, &l) || !l.Until.Equal(time.Now().Add(until)) {
				t.Errorf("Issue: %v, want a limit of %v", err, until)
			}
		}
		issue(t, c, request)
		limited(30 * time.Second)
		for range 4 {
			time.Sleep(30 * time.Second)
			issue(t, c, request)
		}
		limited(58 * time.Minute)
		check(t, c, d.last(), nil) // using one gives no more of them
		limited(58 * time.Minute)
		time.Sleep(58 * time.Minute)
		issue(t, c, request)
		if len(d.sends) != 6 {
			t.Errorf("%d codes were sent, want 6", len(d.sends))
		}
	})
}

func TestNewCodeEndsTheFormer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		c := codes(t, d, Config{})
		issue(t, c, request)
		first := d.last()
		time.Sleep(time.Minute)
		issue(t, c, request)
		if first != d.last() {
			check(t, c, first, ErrWrong)
		}
		check(t, c, d.last(), nil)
	})
}

// Ten thousand codes, none of which is accepted after it has expired, was used, or was typed
// in wrongly as often as it may be.
func TestTenThousandCycles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		c := codes(t, d, Config{ResendAfter: time.Nanosecond, Sends: 100, Window: time.Nanosecond})
		count := [10]int{}
		accepted := 0
		for n := range 10_000 {
			issue(t, c, request)
			code := d.last()
			for _, r := range code {
				count[r-'0']++
			}
			late := func(want error) {
				t.Helper()
				if err := c.Check(t.Context(), Answer{To: somebody, Code: code}); !errors.Is(err, want) || err == nil {
					t.Fatalf("cycle %d: %v, want %v", n, err, want)
				}
			}
			switch n % 4 {
			case 0: // used
				check(t, c, code, nil)
				accepted++
				late(ErrNoCode)
			case 1: // expired, to the nanosecond
				time.Sleep(5*time.Minute - time.Nanosecond)
				if n%8 == 1 {
					check(t, c, code, nil)
					accepted++
				}
				time.Sleep(time.Nanosecond)
				late(ErrNoCode)
			case 2: // typed in wrongly
				for range 5 {
					check(t, c, other(code), ErrWrong)
				}
				late(ErrAttempts)
			case 3: // at the last attempt
				for range 4 {
					check(t, c, other(code), ErrWrong)
				}
				check(t, c, code, nil)
				accepted++
				late(ErrNoCode)
			}
			time.Sleep(time.Millisecond)
		}
		if accepted != 6250 {
			t.Errorf("%d codes were accepted, want 6250", accepted)
		}
		// The digits are all as frequent: chi-square with 9 degrees of freedom, below the value
		// that a fair source exceeds once in a million runs.
		const draws, limit = 60_000, 49.0
		chi := 0.0
		for _, n := range count {
			chi += math.Pow(float64(n)-draws/10, 2) / (draws / 10)
		}
		if chi > limit {
			t.Errorf("chi-square of the digits is %.1f, want at most %.1f: %v", chi, limit, count)
		}
	})
}

// However many try at once, one is accepted, and no more are judged than may try.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for round := range 50 {
		d := &desk{}
		c := codes(t, d, Config{})
		issue(t, c, request)
		code := d.last()
		guess := code
		if round%2 == 1 {
			guess = other(code)
		}
		var mu sync.Mutex
		results := map[string]int{}
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				err := c.Check(t.Context(), Answer{To: somebody, Code: guess})
				mu.Lock()
				results[fmt.Sprint(err)]++
				mu.Unlock()
			})
		}
		group.Wait()
		if n := results["<nil>"]; round%2 == 0 && n != 1 || round%2 == 1 && n != 0 {
			t.Fatalf("round %d: accepted %d times: %v", round, n, results)
		}
		if n := results[ErrWrong.Error()]; n > 5 {
			t.Fatalf("round %d: %d guesses were judged, want at most 5: %v", round, n, results)
		}
	}
}

func TestNotSent(t *testing.T) {
	t.Parallel()
	d := &desk{out: true}
	if _, err := codes(t, d, Config{}).Issue(t.Context(), request); !errors.Is(err, ErrNotSent) {
		t.Errorf("Issue to somebody who opted out: %v", err)
	}
	broken := errors.New("broken")
	d = &desk{err: broken}
	c := codes(t, d, Config{})
	if _, err := c.Issue(t.Context(), request); !errors.Is(err, broken) {
		t.Errorf("Issue without a store: %v", err)
	}
	check(t, c, "123456", broken)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{}, {Secret: []byte("short")}, {Digits: 3}, {Digits: 11}, {TTL: 2 * time.Hour}, {TTL: -1}, {Attempts: 11}, {Attempts: -1}, {Sends: -1}, {Window: 48 * time.Hour},
	} {
		if cfg.Secret == nil && cfg.Digits+cfg.Attempts+cfg.Sends+int(cfg.TTL)+int(cfg.Window) != 0 {
			cfg.Secret = make([]byte, 16)
		}
		if _, err := New(&desk{}, cfg); err == nil {
			t.Errorf("New with %+v: no error", cfg)
		}
	}
	for ttl, want := range map[time.Duration]string{30 * time.Second: "30 seconds", time.Minute: "a minute", 5 * time.Minute: "5 minutes"} {
		if got := defaultText("1234", ttl); !strings.Contains(got, want) || !strings.HasPrefix(got, "1234 ") {
			t.Errorf("the text of %v is %q", ttl, got)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("123456", "")
	f.Add("12 34-56", "login")
	f.Add("\x00", "\xff")
	f.Fuzz(func(t *testing.T, code, purpose string) {
		d := &desk{}
		c := codes(t, d, Config{})
		r := request
		r.Purpose = purpose
		_, bad := c.Issue(t.Context(), r)
		err := c.Check(t.Context(), Answer{To: somebody, Purpose: purpose, Code: code})
		if bad != nil {
			if err == nil {
				t.Fatal("a code was accepted that was not issued")
			}
			return
		}
		if right := strings.NewReplacer(" ", "", "-", "").Replace(code) == d.last(); right != (err == nil) {
			t.Fatalf("%q for the code %s: %v", code, d.last(), err)
		}
	})
}
