package relay

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Client is one project's session on Relay, kept alive across connections. All
// methods are safe for concurrent use. Make one with New.
type Client struct {
	cfg     Config
	ep      endpoint
	log     *slog.Logger
	subs    *subscriptions
	handler Handler // set by Run
	started atomic.Bool
	deaf    atomic.Bool // after Shutdown
	current atomic.Pointer[session]
	stats   counters

	// notify serialises changes of state with the handler being told.
	notify sync.Mutex

	mu           sync.Mutex
	state        State
	since        time.Time
	moved        chan struct{} // closed and replaced at each change of state
	fatal        error         // why Run ended; set before StateStopped
	everAccepted bool
	resume       resume
	authStateOf  *session // the connection that the newest authorization_state came on
	jwt          Secret
	jwtExpires   time.Time
	jwtRefused   bool
	sessionHash  string
	secrets      []string // literal values to keep out of everything that is shown
	lastError    LastError
	connects     uint64
	sessions     uint64
	disconnects  map[string]uint64
	notReady     time.Duration // total, while Run ran
	notReadyAt   time.Time     // since when; zero while subscribed or not running
}

// counters are what the reader counts.
type counters struct {
	malformed atomic.Uint64
	unknown   atomic.Uint64 // requests with a method we do not have
	unmatched atomic.Uint64 // answers nobody waits for
	dropped   atomic.Uint64 // events after Shutdown
	lastEvent atomic.Int64  // Unix nanoseconds
}

// New validates cfg and returns a client that does nothing yet. It does no
// network I/O and starts no goroutine; it reads the CA file. The error lists
// everything that is wrong with cfg.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	ep, err := newEndpoint(&cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, ep: ep,
		log:         cfg.Logger.With("component", "relay"),
		subs:        newSubscriptions(cfg.Contexts),
		jwt:         cfg.JWT,
		since:       time.Now(),
		moved:       make(chan struct{}),
		disconnects: map[string]uint64{},
	}
	c.remember(cfg.Token.Reveal())
	c.remember(cfg.JWT.Reveal())
	return c, nil
}

// Run connects, serves h and reconnects until ctx ends, and then returns nil
// after an orderly close of a few seconds at most. It owns every goroutine of
// the client. It returns by itself in one case: the platform refused the
// credentials Config.AuthAttempts times and had never accepted them; then the
// error is an *AuthError. A client runs once: a second call returns ErrClosed.
func (c *Client) Run(ctx context.Context, h Handler) (err error) {
	if c.started.Swap(true) {
		return ErrClosed
	}
	c.handler = h
	c.mu.Lock()
	c.notReadyAt = time.Now()
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.fatal = err
		c.mu.Unlock()
		c.transition(StateStopped, nil)
	}()

	waits := newRedial()
	refusals := 0   // of credentials
	unanswered := 0 // attempts in a row to resume that got no answer
	for number := uint64(1); ctx.Err() == nil; number++ {
		end := c.attempt(ctx, number)
		if ctx.Err() != nil {
			return nil
		}
		c.mu.Lock()
		accepted := c.everAccepted
		c.mu.Unlock()

		state := StateBackoff
		if end.refused != nil {
			if end.resumed { // so the next attempt does not, and this happens once
				c.log.Info("the platform refused to resume the session; beginning a new one", "code", end.refused.Code)
				c.forgetResume()
				continue
			}
			if end.refused.credentials() {
				state = StateRejected
				refusals++
				if !accepted && refusals >= c.cfg.AuthAttempts {
					return &AuthError{Attempts: refusals, Code: end.refused.Code, Message: end.refused.Message}
				}
			}
		}
		if end.unanswered {
			// A platform that closes, or says nothing, when it does not like
			// what we want to resume would never let us in again.
			if unanswered++; unanswered == resumeAttempts {
				c.log.Warn("no answer to any attempt to resume the session; beginning a new one", "attempts", unanswered)
				c.forgetResume()
			}
		} else if end.upgrade {
			unanswered = 0
		}
		delay := waits.after(end.ready, time.Now())
		c.transition(state, nil)
		c.log.Debug("waiting to reconnect", "delay", delay)
		if !sleep(ctx, delay) {
			return nil
		}
	}
	return nil
}

// resumeAttempts is how many attempts to resume may go without an answer, on
// sockets that did open, before the session is given up for a new one.
const resumeAttempts = 5

// attempt makes one connection and lives through it.
func (c *Client) attempt(ctx context.Context, number uint64) ending {
	c.transition(StateConnecting, nil)
	end := c.connection(ctx, number)
	if ctx.Err() == nil {
		c.noteEnding(&end)
	}
	if ctx.Err() == nil || end.upgrade {
		c.mu.Lock()
		c.disconnects[end.reason]++
		if end.refused != nil && end.refused.credentials() {
			c.jwtRefused = true
		}
		c.mu.Unlock()
	}
	return end
}

func (c *Client) connection(ctx context.Context, number uint64) ending {
	if err := c.freshToken(ctx); err != nil {
		return ending{reason: reasonConnect, cause: err}
	}
	ws, conn, reason, err := c.dial(ctx)
	if err != nil {
		return ending{reason: reason, cause: c.cleanCause(err)}
	}
	c.transition(StateAuthenticating, nil)
	return newSession(c, number, ws, conn).serve(ctx)
}

// noteEnding records and logs why a connection or an attempt ended: loud when
// a person must act, and once for each new kind of trouble.
func (c *Client) noteEnding(end *ending) {
	fresh := end.refused != nil && end.refused.credentials() && !end.resumed
	what := end.reason
	if fresh {
		what = "credentials" // not the same news as a refused resume, though the words may be
	}
	news := c.noteError(what, end.cause) || end.ready
	level, text := slog.LevelWarn, "connection lost"
	if !end.upgrade {
		text = "no connection"
	}
	switch {
	case !news:
		level = slog.LevelDebug
	case fresh:
		level, text = slog.LevelError, "the platform refused the credentials; check the project and its token"
	}
	c.log.Log(context.Background(), level, text, "reason", end.reason, "err", end.cause)
}

// transition changes the state and tells the handler. allowed, if not nil, is
// asked once no other change can come between.
func (c *Client) transition(to State, allowed func() bool) {
	c.notify.Lock()
	defer c.notify.Unlock()
	if allowed != nil && !allowed() {
		return
	}
	c.mu.Lock()
	from := c.state
	if from == to {
		c.mu.Unlock()
		return
	}
	now := time.Now()
	c.state, c.since = to, now
	switch {
	case to == StateSubscribed || to == StateStopped:
		if !c.notReadyAt.IsZero() {
			c.notReady += now.Sub(c.notReadyAt)
			c.notReadyAt = time.Time{}
		}
	case from == StateSubscribed:
		c.notReadyAt = now
	}
	close(c.moved)
	c.moved = make(chan struct{})
	c.mu.Unlock()
	c.log.Debug("state", "state", to.String())
	c.handler.HandleState(to)
}

// watch returns the state and a channel that is closed when it changes.
func (c *Client) watch() (State, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.moved
}

// Ready returns nil as soon as there is a session that is authenticated and
// has its contexts confirmed. It returns ctx's error if ctx ends first, and
// ErrClosed or Run's *AuthError once Run has returned.
func (c *Client) Ready(ctx context.Context) error {
	for {
		state, moved := c.watch()
		switch state {
		case StateSubscribed:
			return nil
		case StateStopped:
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.fatal != nil {
				return c.fatal
			}
			return ErrClosed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Call makes one request and waits for its answer, whose result it decodes
// into result unless that is nil. It waits until ctx ends, and at most
// Config.CallTimeout. The error is an *Error if the platform (or, with Local
// set, this package) said no; it wraps ErrNotSent if there is no subscribed
// session, and ErrInDoubt if the answer did not come. A call that had no
// answer in time does not end the connection, but has it probed.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	if err := ctx.Err(); err != nil {
		return outcome(ErrNotSent, err)
	}
	s := c.current.Load()
	if s == nil {
		return errNoSession
	}
	raw, err := s.call(ctx, method, params, c.cfg.CallTimeout, request)
	if err != nil {
		return err
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return &Error{Method: method, Code: codeBadResult, Local: true, Message: "the result does not have the expected form"}
	}
	return nil
}

// Go makes one request without waiting. params is ready JSON, copied before Go
// returns; id becomes the JSON-RPC id and must never be used again. done is
// called exactly once, and must not block: with the answer, on the goroutine
// that reads the socket, in socket order; when the session ends without one
// (ErrNotSent if no byte of the request can have left, otherwise ErrInDoubt); or
// before Go returns, with ErrNotSent, if there is no subscribed session. Requests
// leave in the order of the calls. There is no timeout (but see ErrInDoubt: a
// platform that has not answered for 15 minutes will not); a caller that gives
// up may still get the answer.
func (c *Client) Go(id uuid.UUID, method string, params []byte, done func(Answer)) {
	s := c.current.Load()
	if s == nil {
		done(Answer{Err: errNoSession})
		return
	}
	if err := s.submit(id, method, params, done); err != nil {
		done(Answer{Err: err})
	}
}
