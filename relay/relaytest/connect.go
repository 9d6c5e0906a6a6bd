package relaytest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaultExpiry is how far ahead authorization.expires_at lies.
const defaultExpiry = time.Hour

// connectParams is what signalwire.connect carries.
type connectParams struct {
	project, token, jwt string
	contexts            []string
	eventAcks           bool
	protocol, authState string
}

// knownConnect are the params that some client or the wire schema sends.
var knownConnect = map[string]bool{
	"version": true, "agent": true, "event_acks": true, "authentication": true, "contexts": true,
	"protocol": true, "authorization_state": true, "project": true, "token": true, "topics": true,
	"eventing": true, "dpop_token": true, "host": true, "identity": true, "params": true, "protocols": true,
}

func (s *Server) onConnect(c *conn, in incoming, payload []byte) {
	if c.authed || c.connecting {
		s.violate(c, "second-connect", "one signalwire.connect per connection", "another", payload)
		s.answerError(c, in.id, codeInvalidRequest, "Already connected", nil)
		return
	}
	script := s.nextConnect()
	c.connecting = true
	finish := func() {
		c.connecting = false
		s.finishConnect(c, in, script, payload)
	}
	if script.Delay <= 0 {
		finish()
		return
	}
	delay := script.Delay
	script.Delay = 0
	s.clock.afterFunc(delay, func() {
		s.mu.Lock()
		if !c.closed {
			finish()
		}
		s.mu.Unlock()
		s.changed.wake()
	})
}

func (s *Server) finishConnect(c *conn, in incoming, script Connect, payload []byte) {
	if script.EarlyPing {
		s.sendPing(c)
	}
	if !script.executes() {
		if script.RPCCode != 0 {
			s.rejected(c)
		}
		for _, m := range script.EarlyEvents {
			s.deliverEarly(c, &Session{srv: s, conn: c, contexts: map[string]bool{}}, m)
		}
		s.apply(c, in.id, script.Reply, nil, nil)
		return
	}
	p, code, problem := s.parseConnect(c, in, payload)
	if code == 0 {
		code, problem = s.authenticate(p)
	}
	if code != 0 {
		s.rejected(c)
		var data json.RawMessage
		if code == codeAuthFailed && p.jwt == "" && (p.project == "" || p.token == "") {
			data = json.RawMessage(`{"signalwire_error_code":"AUTH_REQUIRED"}`)
		}
		s.answerError(c, in.id, code, problem, data)
		return
	}
	sess, restored := s.resume(p)
	if sess == nil && p.protocol != "" && s.faults.ResumeError != 0 {
		s.rejected(c)
		s.answerError(c, in.id, s.faults.ResumeError, resumeErrors[s.faults.ResumeError], nil)
		return
	}
	if sess == nil {
		sess = s.newSession(p)
	} else if s.faults.ForgetContexts {
		s.unsubscribe(sess, sess.order)
	}
	c.authed, c.eventAcks = true, p.eventAcks
	s.enter(sess, c)
	for _, m := range script.EarlyEvents {
		s.deliverEarly(c, sess, m)
	}
	switch {
	case script.Drop, script.Silence:
		s.apply(c, in.id, script.Reply, nil, nil)
		if script.Drop {
			return
		}
	case script.RPCCode != 0:
		s.apply(c, in.id, script.Reply, nil, nil)
	default:
		c.push(outItem{op: opText, id: in.id, payload: appendResult(nil, in.id, s.connectResult(sess, p, restored))})
	}
	if s.faults.AuthState != AuthStateNever {
		s.pushAuthState(sess, true)
	}
	if restored {
		s.resent(sess)
	}
	s.subscribe(sess, append(append([]string(nil), sess.order...), p.contexts...))
	s.armPing(c)
}

var resumeErrors = map[int]string{
	codeValidation:    "Requester validation failed",
	codeInvalidParams: "Invalid params",
	codeAuthFailed:    "Authentication failed",
}

// parseConnect reads the params; code is 0 or a JSON-RPC error.
func (s *Server) parseConnect(c *conn, in incoming, payload []byte) (p connectParams, code int, problem string) {
	invalid := func(want string) (connectParams, int, string) {
		s.violate(c, "connect-params", want, "something else", payload)
		return p, codeInvalidParams, "Invalid params: " + want
	}
	ms, err := members(in.params)
	if err != nil {
		return invalid("params must be an object")
	}
	seen := map[string]json.RawMessage{}
	for _, m := range ms {
		seen[m.name] = m.value
		if !knownConnect[m.name] {
			s.stranger(c, in.method, m.name, payload)
		}
	}
	var version struct {
		Major *int `json:"major"`
	}
	if json.Unmarshal(seen["version"], &version) != nil || version.Major == nil || *version.Major < 2 || *version.Major > 4 {
		return invalid("version.major must be 2, 3 or 4")
	}
	auth, err := members(seen["authentication"])
	if err != nil {
		return invalid("authentication must be an object")
	}
	for _, m := range auth {
		switch m.name {
		case "project":
			p.project, _ = stringOf(m.value)
		case "token":
			p.token, _ = stringOf(m.value)
		case "jwt_token":
			p.jwt, _ = stringOf(m.value)
		default:
			s.stranger(c, in.method, "authentication."+m.name, payload)
		}
	}
	if raw, ok := seen["contexts"]; ok {
		if p.contexts, ok = stringsOf(raw); !ok {
			return invalid("contexts must be an array of strings")
		}
	}
	p.eventAcks = string(seen["event_acks"]) == "true"
	p.protocol, _ = stringOf(seen["protocol"])
	p.authState, _ = stringOf(seen["authorization_state"])
	return p, 0, ""
}

func (s *Server) authenticate(p connectParams) (code int, problem string) {
	switch {
	case p.jwt != "":
		if s.validJWT(p.jwt) {
			return 0, ""
		}
	case p.project == "" || p.token == "":
		return codeAuthFailed, "Authentication required"
	case s.validToken(p.project, p.token):
		return 0, ""
	}
	return codeAuthFailed, "Authentication failed"
}

func (s *Server) validToken(project, token string) bool {
	if len(s.cfg.Credentials) == 0 {
		return project != "" && token != ""
	}
	want, ok := s.cfg.Credentials[project]
	return ok && want == token
}

func (s *Server) validJWT(token string) bool {
	if len(s.cfg.JWTs) == 0 {
		return len(s.cfg.Credentials) == 0
	}
	for _, t := range s.cfg.JWTs {
		if t == token {
			return true
		}
	}
	return false
}

// SetCredentials replaces the accepted project tokens and JWTs from now on;
// sessions that are connected stay so.
func (s *Server) SetCredentials(projects map[string]string, jwts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Credentials, s.cfg.JWTs = maps.Clone(projects), slices.Clone(jwts)
}

// authorization is the object of that name in results.
func (s *Server) authorization(b []byte, sess *Session) []byte {
	expires := s.faults.ExpiresIn
	if expires == 0 {
		expires = defaultExpiry
	}
	b = append(b, '{')
	b = appendStringMember(b, "project", sess.project)
	b = appendStringMember(b, "project_id", sess.project)
	b = appendStringMember(b, "space_id", s.spaceID)
	b = appendStrings(appendMember(b, "scopes"), []string{"messaging", "tasking"})
	b = appendStringMember(b, "signature", sess.signature)
	b = strconv.AppendInt(appendMember(b, "expires_at"), s.clock.Now().Add(expires).Unix(), 10)
	return append(b, '}')
}

func (s *Server) connectResult(sess *Session, p connectParams, restored bool) []byte {
	b := []byte{'{'}
	b = appendStringMember(b, "identity", sess.identity)
	b = appendStringMember(b, "protocol", sess.name)
	b = s.authorization(appendMember(b, "authorization"), sess)
	if !s.faults.OmitSessionID {
		b = appendStringMember(b, "sessionid", sess.id)
		b = strconv.AppendBool(appendMember(b, "session_restored"), restored)
	}
	return append(b, '}')
}

func (s *Server) onReauthenticate(c *conn, in incoming, reply Reply) {
	var p struct {
		Authentication struct {
			Project string `json:"project"`
			JWT     string `json:"jwt_token"`
		} `json:"authentication"`
	}
	if json.Unmarshal(in.params, &p) != nil || p.Authentication.JWT == "" {
		s.answerError(c, in.id, codeInvalidParams, "Invalid params: authentication.jwt_token is required", nil)
		return
	}
	if !s.validJWT(p.Authentication.JWT) {
		s.answerError(c, in.id, codeAuthFailed, "Authentication failed", nil)
		return
	}
	// As in the wire schema there is no protocol here.
	b := append(appendMember([]byte{'{'}, "authentication"), '{')
	b = append(appendStringMember(b, "project", c.sess.project), '}')
	b = s.authorization(appendMember(b, "authorization"), c.sess)
	s.deliverAnswer(c, in.id, reply.Delay, appendResult(nil, in.id, append(b, '}')), nil)
}

// rejected marks a connection whose client should now close it.
func (s *Server) rejected(c *conn) {
	c.info.Rejected = true
	c.info.useless = s.clock.Now()
}

// newSession makes a fresh, unsubscribed session.
func (s *Server) newSession(p connectParams) *Session {
	project := p.project
	if project == "" {
		project = s.jwtProject
	}
	var sig [8]byte
	_, _ = s.rng.Read(sig[:]) // a ChaCha8 never fails
	sess := &Session{
		srv: s, id: s.newID(), project: project, signature: hex.EncodeToString(sig[:]),
		identity: s.newID() + "@" + s.newID() + ".us-east",
		contexts: make(map[string]bool),
	}
	sess.name = "signalwire_" + sess.signature + "_" + s.newID()
	s.remember(sess)
	return sess
}

// resume finds the session that the resume data belong to.
func (s *Server) resume(p connectParams) (sess *Session, restored bool) {
	sess = s.sessions[p.protocol]
	if p.protocol == "" || sess == nil || (p.project != "" && sess.project != p.project) {
		return nil, false
	}
	// A value that the client has not acknowledged may never have reached it,
	// so the one before still counts.
	if p.authState != sess.authState && p.authState != sess.ackedAuthState {
		return nil, false
	}
	return sess, true
}

// pushAuthState sends the session its authorization state, a new one if asked.
func (s *Server) pushAuthState(sess *Session, fresh bool) {
	if sess.conn == nil {
		return
	}
	if fresh {
		var raw [24]byte
		_, _ = s.rng.Read(raw[:]) // a ChaCha8 never fails
		sess.authState = base64.StdEncoding.EncodeToString(raw[:12]) + ":" + base64.StdEncoding.EncodeToString(raw[12:])
	}
	inner := append(appendStringMember([]byte{'{'}, "authorization_state", sess.authState), '}')
	s.send(sess, &event{kind: "signalwire.authorization.state", inner: inner, authState: sess.authState})
}

// armPing starts or restarts the pings of a connection.
func (s *Server) armPing(c *conn) {
	c.pingTimer.stop()
	interval := s.faults.PingInterval
	if interval == 0 {
		interval = s.cfg.PingInterval
	}
	if !c.authed || c.closed || interval < 0 || s.faults.Ping == PingNever || s.faults.Ping == PingOnce && c.pings > 0 {
		return
	}
	c.pingTimer = s.clock.afterFunc(interval, func() {
		s.mu.Lock()
		if !c.closed {
			s.tick(c)
		}
		s.mu.Unlock()
		s.changed.wake()
	})
}

// tick is one ping interval.
func (s *Server) tick(c *conn) {
	if limit := s.faults.DropAfterMissed; limit > 0 && c.missedPings >= limit {
		c.abort(fmt.Sprintf("dropped after %d unanswered pings", c.missedPings))
		return
	}
	s.sendPing(c)
	if c.sess != nil {
		switch s.faults.AuthState {
		case AuthStateRepeat:
			s.pushAuthState(c.sess, false)
		case AuthStateRotate:
			s.pushAuthState(c.sess, true)
		}
	}
	s.armPing(c)
}

// sendPing sends one signalwire.ping and expects the same values back.
func (s *Server) sendPing(c *conn) *request {
	c.pings++
	c.missedPings++
	c.info.PingsSent++
	var id json.RawMessage
	if s.faults.PingIntegerID {
		s.integers++
		id = strconv.AppendInt(nil, s.integers, 10)
	} else {
		id = jsonString(s.newID())
	}
	r := &request{kind: "ping", sent: s.clock.Now(), payload: s.faults.PingPayload, answered: make(chan struct{})}
	params := []byte{'{'}
	if !s.faults.PingNoTimestamp {
		r.timestamp = appendTime(nil, r.sent)
		params = append(appendMember(params, "timestamp"), r.timestamp...)
	}
	if r.payload != "" {
		params = appendStringMember(params, "payload", r.payload)
	}
	c.pending[string(id)] = r
	s.request(c, id, "signalwire.ping", append(params, '}'))
	return r
}

// request queues a request of ours.
func (s *Server) request(c *conn, id json.RawMessage, method string, params []byte) {
	b := append([]byte(`{"jsonrpc":"2.0",`), `"id":`...)
	b = append(b, id...)
	b = append(append(b, `,"method":"`...), strings.TrimSpace(method)...)
	b = append(append(append(b, `","params":`...), params...), '}')
	c.push(outItem{op: opText, payload: b, id: id, method: method})
}
