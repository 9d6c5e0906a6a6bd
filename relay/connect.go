package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

type connectParams struct {
	Version struct {
		Major    int `json:"major"`
		Minor    int `json:"minor"`
		Revision int `json:"revision"`
	} `json:"version"`
	Agent              string         `json:"agent"`
	EventAcks          bool           `json:"event_acks"`
	Authentication     authentication `json:"authentication"`
	Contexts           []string       `json:"contexts,omitempty"`
	Protocol           string         `json:"protocol,omitempty"`
	AuthorizationState string         `json:"authorization_state,omitempty"`
}

// authentication holds plain strings: a Secret would encode as "[redacted]".
type authentication struct {
	Project string `json:"project,omitempty"`
	Token   string `json:"token,omitempty"`
	JWT     string `json:"jwt_token,omitempty"`
}

// connectResult is what is used of the answer. Every member may be missing.
type connectResult struct {
	Protocol        text          `json:"protocol"`
	SessionRestored bool          `json:"-"`
	Authorization   authorization `json:"authorization"`
}

type authorization struct {
	ExpiresAt  instant `json:"expires_at"`
	Subscriber struct {
		ExpiresAt instant `json:"expires_at"`
	} `json:"fabric_subscriber"`
}

func (a *authorization) expires() time.Time {
	if !a.ExpiresAt.IsZero() {
		return a.ExpiresAt.Time
	}
	return a.Subscriber.ExpiresAt.Time
}

// text is a string that tolerates any other value, as absent.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	s, _ := plainString(data)
	*t = text(s)
	return nil
}

// instant is a point in time, written as epoch seconds (number or string) or
// as a date. Anything else is absent.
type instant struct{ time.Time }

func (i *instant) UnmarshalJSON(data []byte) error {
	var seconds float64
	if json.Unmarshal(data, &seconds) == nil {
		if seconds > 0 && seconds < 1e11 {
			i.Time = time.Unix(int64(seconds), 0)
		}
		return nil
	}
	s, _ := plainString(data)
	if json.Unmarshal(s, &seconds) == nil && seconds > 0 && seconds < 1e11 {
		i.Time = time.Unix(int64(seconds), 0)
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04:05 MST", time.DateOnly} {
		if t, err := time.Parse(layout, string(s)); err == nil {
			i.Time = t
			return nil
		}
	}
	return nil
}

// resume is what a later connect sends to be the same session again. It is a
// credential.
type resume struct {
	protocol  string
	authState string
}

func (r resume) empty() bool { return r == resume{} }

// connect authenticates. The error is an *Error when the platform said no.
func (s *session) connect(ctx context.Context) (resumed bool, err error) {
	c := s.c
	auth, prior := c.credentials()
	p := connectParams{
		Agent: c.cfg.Agent, EventAcks: true, Authentication: auth,
		Contexts: c.subs.effective(), Protocol: prior.protocol, AuthorizationState: prior.authState,
	}
	p.Version.Major, p.Version.Minor, p.Version.Revision = c.cfg.Version[0], c.cfg.Version[1], c.cfg.Version[2]
	raw, err := s.exchange(ctx, "signalwire.connect", p, c.cfg.ConnectTimeout, first)
	if err != nil {
		return !prior.empty(), err
	}
	var result connectResult
	if json.Unmarshal(raw, &result) != nil {
		result = connectResult{} // accepted all the same; then there is nothing to resume
	}
	c.accepted(s, prior, &result)
	return !prior.empty(), nil
}

// credentials returns what the next connect sends.
func (c *Client) credentials() (authentication, resume) {
	c.mu.Lock()
	defer c.mu.Unlock()
	auth := authentication{Project: c.cfg.Project}
	if c.jwt != "" {
		auth.JWT = c.jwt.Reveal()
	} else {
		auth.Token = c.cfg.Token.Reveal()
	}
	if c.resume.protocol == "" {
		return auth, resume{} // a state without its session is none
	}
	return auth, c.resume
}

// accepted records a successful connect.
func (c *Client) accepted(s *session, prior resume, r *connectResult) {
	protocol := string(r.Protocol)
	c.mu.Lock()
	same := protocol != "" && protocol == prior.protocol
	c.resume.protocol = protocol
	if !same && c.authStateOf != s {
		c.resume.authState = "" // it belonged to the session that is no more
	}
	c.everAccepted = true
	c.jwtRefused = false
	c.jwtExpires = r.Authorization.expires()
	c.sessionHash = hash(protocol)
	c.remember(protocol)
	c.connects++
	if !same {
		c.sessions++
	}
	c.mu.Unlock()
	c.subs.connected(same)
	s.log.Info("session accepted", "session", hash(protocol), "resumed", same)
	if !same && prior.protocol != "" {
		s.log.Warn("the platform began a new session; requests of the old one have no known outcome",
			"session", hash(protocol), "was", hash(prior.protocol))
	}
}

// hash names a session in logs without giving its protocol away, which is a
// key to it.
func hash(protocol string) string {
	if protocol == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(protocol))
	return hex.EncodeToString(sum[:4])
}

// forgetResume makes the next connect begin a new session. An authorization
// state that this connection still brings changes nothing about that: without
// its protocol it is not sent, and the new session drops it.
func (c *Client) forgetResume() {
	c.mu.Lock()
	c.resume = resume{}
	c.mu.Unlock()
}

// keepAuthState stores the newest authorization_state.
func (s *session) keepAuthState(inner []byte) {
	var p struct {
		State text `json:"authorization_state"`
	}
	if json.Unmarshal(inner, &p) != nil || p.State == "" {
		return
	}
	c := s.c
	c.mu.Lock()
	c.resume.authState = string(p.State)
	c.authStateOf = s
	c.remember(string(p.State))
	c.mu.Unlock()
}

func wantsRestart(params []byte) bool {
	var p struct {
		Restart json.RawMessage `json:"restart"`
	}
	return json.Unmarshal(params, &p) == nil && string(p.Restart) == "true"
}

const (
	// refreshBefore is how long before its expiry a JWT is replaced; half of
	// its remaining life if that is shorter.
	refreshBefore = 120 * time.Second

	// refreshRetry is the pause after a refresh that did not work.
	refreshRetry = 5 * time.Second
)

// keepToken replaces a JWT before it expires, on the open session.
func (s *session) keepToken(ctx context.Context) {
	c := s.c
	if c.cfg.RefreshJWT == nil {
		return
	}
	for {
		c.mu.Lock()
		expires := c.jwtExpires
		c.mu.Unlock()
		if expires.IsZero() {
			return // the platform named no end
		}
		left := time.Until(expires)
		if !sleep(ctx, left-min(refreshBefore, left/2)) {
			return
		}
		for {
			err := s.reauthenticate(ctx)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			c.noteError("refresh the JWT", err)
			if !sleep(ctx, refreshRetry) {
				return
			}
		}
	}
}

func (s *session) reauthenticate(ctx context.Context) error {
	c := s.c
	if err := c.refreshJWT(ctx); err != nil {
		return err
	}
	auth, _ := c.credentials()
	raw, err := s.call(ctx, "signalwire.reauthenticate", struct {
		Authentication authentication `json:"authentication"`
	}{auth}, c.cfg.CallTimeout, control)
	if err != nil {
		return err
	}
	// The reply may lack the protocol: the one of the connect stays.
	var result connectResult
	_ = json.Unmarshal(raw, &result)
	c.mu.Lock()
	c.jwtExpires = result.Authorization.expires()
	if p := string(result.Protocol); p != "" {
		c.resume.protocol = p
	}
	c.mu.Unlock()
	s.log.Info("token refreshed")
	return nil
}

// refreshJWT asks for a new token and uses it from now on.
func (c *Client) refreshJWT(ctx context.Context) error {
	fresh, err := c.cfg.RefreshJWT(ctx)
	if err != nil {
		return err
	}
	if fresh == "" {
		return errors.New("RefreshJWT returned an empty token; return a token or an error")
	}
	c.mu.Lock()
	c.jwt = fresh
	c.jwtRefused = false
	c.jwtExpires = time.Time{}
	c.remember(fresh.Reveal())
	c.mu.Unlock()
	return nil
}

// freshToken makes sure, before a connect, that the JWT is worth sending.
func (c *Client) freshToken(ctx context.Context) error {
	if c.cfg.RefreshJWT == nil {
		return nil
	}
	c.mu.Lock()
	stale := c.jwt == "" || c.jwtRefused || !c.jwtExpires.IsZero() && time.Now().After(c.jwtExpires)
	c.mu.Unlock()
	if !stale {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	return c.refreshJWT(ctx)
}

// sleep waits for d, and reports whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
