package otp

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// Engine is what is needed of a *messaging.Engine.
type Engine interface {
	Value(ctx context.Context, bucket, key string) (messaging.Value, error)
	SetValue(ctx context.Context, changes ...*messaging.ValueChange) error
	EnqueueAll(ctx context.Context, sends []messaging.Send, with func(*messaging.Send) []*messaging.ValueChange) ([]messaging.Enqueued, error)
}

// Config tunes Codes. The zero value of every field but Secret means its documented default.
type Config struct {
	// Secret is what the keys of the HMACs are made of, at least 16 bytes. It must be the
	// same for all instances and after a restart; with another one open codes are wrong.
	Secret []byte

	Digits   int           // 4 to 10; default 6
	TTL      time.Duration // how long a code is good; at most an hour, default 5 min
	Attempts int           // how often a code may be typed in; 1 to 10, default 5

	// ResendAfter is the pause before another code goes to the same person, Sends how many go
	// to them within Window at most. Defaults 30 s, 5, 1 h.
	ResendAfter time.Duration
	Sends       int
	Window      time.Duration

	// Text makes the text of a code. Default: "123456 is your code. It is good for 5
	// minutes. Tell it to nobody."
	Text func(code string, ttl time.Duration) string

	Metrics *Metrics // none
}

var errConfig = errors.New("otp: Secret needs at least 16 bytes, Digits 4 to 10, TTL at most an hour, Attempts 1 to 10, Sends 1 to 100, Window at most a day")

func (c Config) withDefaults() (Config, error) {
	def := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	long := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Digits, 6)
	def(&c.Attempts, 5)
	def(&c.Sends, 5)
	long(&c.TTL, 5*time.Minute)
	long(&c.ResendAfter, 30*time.Second)
	long(&c.Window, time.Hour)
	if c.Text == nil {
		c.Text = defaultText
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if len(c.Secret) < 16 || c.Digits < 4 || c.Digits > 10 || c.TTL < 0 || c.TTL > time.Hour || c.Attempts < 1 || c.Attempts > 10 ||
		c.ResendAfter < 0 || c.Sends < 1 || c.Sends > 100 || c.Window < 0 || c.Window > 24*time.Hour {
		return c, errConfig
	}
	return c, nil
}

func defaultText(code string, ttl time.Duration) string {
	good := fmt.Sprintf("%d minutes", int(ttl.Minutes()))
	switch {
	case ttl < time.Minute:
		good = fmt.Sprintf("%d seconds", int(ttl.Seconds()))
	case ttl < 2*time.Minute:
		good = "a minute"
	}
	return code + " is your code. It is good for " + good + ". Tell it to nobody."
}

// Codes issues and checks codes. Its methods may be called concurrently.
type Codes struct {
	engine Engine
	cfg    Config
	key    []byte
	most   *big.Int // one more than the largest code
}

// New makes Codes. The error says what is wrong with the configuration.
func New(e Engine, cfg Config) (*Codes, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, cfg.Secret, nil, "signpost one-time codes", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("otp: derive the key: %w", err)
	}
	return &Codes{engine: e, cfg: cfg, key: key, most: new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(cfg.Digits)), nil)}, nil
}

// draw gives a code, all of them equally likely.
func (c *Codes) draw() (string, error) {
	n, err := rand.Int(rand.Reader, c.most)
	if err != nil {
		return "", fmt.Errorf("otp: draw a code: %w", err)
	}
	return fmt.Sprintf("%0*d", c.cfg.Digits, n), nil
}

// mac is what is stored in the place of a code. It is of this person, purpose and issue
// alone, so that equal codes do not show.
func (c *Codes) mac(key string, salt uuid.UUID, code string) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write(salt[:])
	h.Write([]byte{byte(len(key))}) // at most 255
	h.Write([]byte(key))
	h.Write([]byte(code))
	return h.Sum(nil)
}

// The errors of Issue and Check that are no failures.
var (
	// ErrNoCode means that no code is open: none was issued, or it has expired or was used.
	ErrNoCode = errors.New("otp: no code is open; issue a new one")
	// ErrWrong means that the code is another one.
	ErrWrong = errors.New("otp: the code is wrong")
	// ErrAttempts means that the code was typed in too often and is of no use any more.
	ErrAttempts = errors.New("otp: the code was typed in too often; issue a new one")
	// ErrNotSent means that the code cannot go to the person, who opted out, say.
	ErrNotSent = errors.New("otp: the code may not be sent to this person")
	// ErrBusy means that many requests for one person came at once. Nothing was issued or
	// checked.
	ErrBusy = errors.New("otp: too many requests at a time for one person; try again")
)

// LimitError means that the person was sent as many codes as they may be, for now.
type LimitError struct{ Until time.Time }

// Error says so.
func (e *LimitError) Error() string {
	return "otp: no other code goes to this person before " + e.Until.UTC().Format(time.RFC3339)
}

// Request asks for a code.
type Request struct {
	To, From messaging.Number
	Context  string
	// Purpose keeps codes for different things apart; at most 64 bytes of letters, digits,
	// and "-_.". Empty is one too.
	Purpose string
}

// Issued is a code on its way.
type Issued struct {
	Send      uuid.UUID // which carries it
	ExpiresAt time.Time
	ResendAt  time.Time // before which no other code is issued
}

// Answer is what a person typed in. Spaces and hyphens in Code do not matter.
type Answer struct {
	To      messaging.Number
	Purpose string
	Code    string
}

var errPurpose = errors.New(`otp: Purpose has at most 64 bytes of letters, digits and "-_."`)

// name is the key of a person's state for a purpose.
func name(purpose string, to messaging.Number) (string, error) {
	if len(purpose) > 64 || strings.Trim(purpose, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return "", errPurpose
	}
	if to == "" || len(to) > 32 {
		return "", errors.New("otp: To is the person's number, with plus and country code")
	}
	return purpose + " " + string(to), nil
}

// racesMost is how often a state is read again that somebody else changed meanwhile.
const racesMost = 20

// Issue draws a code and sends it; a former one of the same purpose is of no use any more.
// The errors that are no failures: [*LimitError], [ErrNotSent], [ErrBusy].
func (c *Codes) Issue(ctx context.Context, r Request) (Issued, error) {
	key, err := name(r.Purpose, r.To)
	if err != nil {
		return Issued{}, err
	}
	for range racesMost {
		issued, err := c.issue(ctx, key, r)
		if errors.Is(err, messaging.ErrValueChanged) {
			continue
		}
		var limit *LimitError
		switch {
		case err == nil:
			c.cfg.Metrics.issued.WithLabelValues("sent").Inc()
		case errors.As(err, &limit):
			c.cfg.Metrics.issued.WithLabelValues("limited").Inc()
		case errors.Is(err, ErrNotSent):
			c.cfg.Metrics.issued.WithLabelValues("suppressed").Inc()
		}
		return issued, err
	}
	return Issued{}, ErrBusy
}

func (c *Codes) issue(ctx context.Context, key string, r Request) (Issued, error) {
	st, version, err := c.read(ctx, key)
	if err != nil {
		return Issued{}, err
	}
	now := time.Now()
	if until := st.limit(now, &c.cfg); until.After(now) {
		return Issued{}, &LimitError{until}
	}
	code, err := c.draw()
	if err != nil {
		return Issued{}, err
	}
	salt, err := uuid.NewRandom()
	if err != nil {
		return Issued{}, fmt.Errorf("otp: draw a salt: %w", err)
	}
	expires := now.Add(c.cfg.TTL)
	st.open(salt, c.mac(key, salt, code), now, expires)
	change, err := c.write(key, r.To, st, version)
	if err != nil {
		return Issued{}, err
	}
	all, err := c.engine.EnqueueAll(ctx, []messaging.Send{{
		From: r.From, To: r.To, Context: r.Context, Body: c.cfg.Text(code, c.cfg.TTL),
		Category: messaging.CategoryTransactional, Priority: messaging.PriorityTransactional, ExpiresAt: expires, Secret: true,
	}}, func(*messaging.Send) []*messaging.ValueChange { return []*messaging.ValueChange{change} })
	if err != nil {
		return Issued{}, fmt.Errorf("otp: send a code: %w", err)
	}
	switch sent := all[0]; {
	case sent.Err != nil:
		return Issued{}, fmt.Errorf("otp: send a code: %w", sent.Err)
	case sent.Status == messaging.StatusSuppressed:
		return Issued{}, fmt.Errorf("%w: %s", ErrNotSent, sent.Reason)
	default:
		return Issued{Send: sent.Send.ID, ExpiresAt: expires, ResendAt: st.limit(now, &c.cfg)}, nil
	}
}

// Check compares what a person typed in; nil means that it is their code, which is used up
// by that. The errors that are no failures: [ErrWrong], [ErrNoCode], [ErrAttempts],
// [ErrBusy].
func (c *Codes) Check(ctx context.Context, a Answer) error {
	key, err := name(a.Purpose, a.To)
	if err != nil {
		return err
	}
	for range racesMost {
		err := c.check(ctx, key, a)
		if errors.Is(err, messaging.ErrValueChanged) {
			continue
		}
		for _, r := range results {
			if errors.Is(err, r.err) {
				c.cfg.Metrics.checks.WithLabelValues(r.name).Inc()
				break
			}
		}
		return err
	}
	return ErrBusy
}

// results are those of a check, as the metric names them.
var results = []struct {
	err  error
	name string
}{{nil, "accepted"}, {ErrWrong, "wrong"}, {ErrNoCode, "none"}, {ErrAttempts, "attempts"}}

func (c *Codes) check(ctx context.Context, key string, a Answer) error {
	st, version, err := c.read(ctx, key)
	if err != nil {
		return err
	}
	switch {
	case len(st.MAC) == 0 || !time.Now().Before(time.UnixMilli(st.Expires)):
		return ErrNoCode
	case st.Attempts >= c.cfg.Attempts:
		return ErrAttempts
	}
	code := strings.NewReplacer(" ", "", "-", "").Replace(a.Code)
	right := hmac.Equal(st.MAC, c.mac(key, st.Salt, code))
	if st.Attempts++; right {
		st.MAC = nil
	}
	change, err := c.write(key, a.To, st, version)
	if err != nil {
		return err
	}
	// Written down before it is answered, so that nobody learns more than they may try.
	if err := c.engine.SetValue(ctx, change); err != nil {
		return fmt.Errorf("otp: note an attempt: %w", err)
	}
	if !right {
		return ErrWrong
	}
	return nil
}
