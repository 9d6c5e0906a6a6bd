package relaytest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// JSON-RPC error codes the platform is known to use.
const (
	codeAuthFailed     = -32002
	codeValidation     = -32003
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
)

// incoming is a parsed client frame.
type incoming struct {
	id, params, result, failure json.RawMessage
	method                      string
	strangers                   []string // members that no JSON-RPC frame has
	version                     string
}

func parseFrame(data []byte) (incoming, error) {
	var in incoming
	ms, err := members(data)
	if err != nil {
		return in, err
	}
	for _, m := range ms {
		switch m.name {
		case "jsonrpc":
			in.version, _ = stringOf(m.value)
		case "id":
			in.id = m.value
		case "method":
			in.method, _ = stringOf(m.value)
		case "params":
			in.params = m.value
		case "result":
			in.result = m.value
		case "error":
			in.failure = m.value
		default:
			in.strangers = append(in.strangers, m.name)
		}
	}
	if in.method == "" && in.result == nil && in.failure == nil {
		return in, fmt.Errorf("neither method, result nor error")
	}
	return in, nil
}

// onInvalid counts input that is no JSON-RPC text frame (S3).
func (s *Server) onInvalid(c *conn, op byte, payload []byte) {
	why, code := "text is not UTF-8", 1007
	if op == opBinary {
		why, code = "binary message", 1003
	}
	s.journal.add(Frame{
		Time: s.clock.Now(), Dir: FromClient, Conn: c.num, Session: c.sessionName(), Raw: payload,
		Binary: op == opBinary, Invalid: why,
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	c.info.FramesIn++
	s.rejectInput(c, why, code, payload)
}

func (s *Server) rejectInput(c *conn, why string, code int, payload []byte) {
	s.stats.InvalidFrames++
	s.violate(c, "invalid-frame", "one JSON-RPC object per text message", why, payload)
	if s.faults.CloseOnInvalid {
		c.closeWith(code, why)
	}
}

func (s *Server) onText(c *conn, payload []byte) {
	in, err := parseFrame(payload)
	f := Frame{
		Time: s.clock.Now(), Dir: FromClient, Conn: c.num, Session: c.sessionName(), Raw: payload,
		ID: in.id, Method: in.method,
	}
	if err != nil {
		f.Invalid = err.Error()
	}
	s.mu.Lock()
	if c.closed {
		s.mu.Unlock()
		return
	}
	s.journal.add(f)
	c.info.FramesIn++
	switch {
	case err != nil:
		s.rejectInput(c, err.Error(), 1007, payload)
	case in.method == "":
		s.checkEnvelope(c, in, payload)
		s.onAnswer(c, in, payload)
	default:
		s.checkEnvelope(c, in, payload)
		s.onRequest(c, in, payload)
	}
	s.mu.Unlock()
	s.changed.wake()
}

// checkEnvelope looks for what a tolerant server would overlook.
func (s *Server) checkEnvelope(c *conn, in incoming, payload []byte) {
	if in.version != "2.0" {
		s.violate(c, "envelope", `"jsonrpc":"2.0"`, fmt.Sprintf("jsonrpc is %q", in.version), payload)
	}
	if len(in.strangers) > 0 {
		s.violate(c, "envelope", "only jsonrpc, id, method, params, result, error", "also "+strings.Join(in.strangers, ", "), payload)
	}
	if in.method == "" {
		return
	}
	if isNull(in.id) {
		s.violate(c, "request-id", "an id on every request", "none", payload)
		return
	}
	if _, text := stringOf(in.id); !text && !(in.id[0] == '-' || in.id[0] >= '0' && in.id[0] <= '9') {
		s.violate(c, "request-id", "a string or a number", string(in.id), payload)
	}
	key := string(in.id)
	if first, seen := s.requestIDs.get(key); seen {
		s.stats.DuplicateIDs++
		s.violate(c, "request-id", "an id never used before", fmt.Sprintf("%s again, first on conn %d", key, first), payload)
	}
	s.requestIDs.put(key, c.num)
}

func (s *Server) onRequest(c *conn, in incoming, payload []byte) {
	if in.method == "signalwire.connect" {
		s.onConnect(c, in, payload)
		return
	}
	if !c.authed {
		s.stats.RequestsBeforeAuth++
		s.violate(c, "before-auth", "signalwire.connect, and its result, before anything else", in.method, payload)
		switch s.faults.BeforeAuth {
		case BeforeAuthSilence:
		case BeforeAuthClose:
			c.closeWith(1008, "not authenticated")
		default:
			s.answerError(c, in.id, codeAuthFailed, "Authentication required", nil)
		}
		return
	}
	if c.drainReplied && in.method != "signalwire.ping" {
		s.stats.RequestsOnDraining++
		s.violate(c, "draining", "no new requests after answering signalwire.disconnect", in.method, payload)
	}
	reply, scripted := s.nextReply(in.method)
	if scripted && !reply.executes() && in.method != "messaging.send" {
		s.apply(c, in.id, reply, nil, nil)
		return
	}
	switch in.method {
	case "signalwire.receive", "signalwire.unreceive":
		s.onReceive(c, in, reply, payload)
	case "signalwire.ping":
		s.onClientPing(c, in, reply)
	case "signalwire.reauthenticate":
		s.onReauthenticate(c, in, reply)
	case "messaging.send":
		s.onSend(c, in, reply, scripted, payload)
	default:
		s.violate(c, "unknown-method", "a method of the protocol", in.method, payload)
		s.answerError(c, in.id, codeNoMethod, "Method not found", nil)
	}
}

func (s *Server) onReceive(c *conn, in incoming, reply Reply, payload []byte) {
	var list json.RawMessage
	ms, err := members(in.params)
	for _, m := range ms {
		if m.name == "contexts" {
			list = m.value
		} else {
			s.stranger(c, in.method, m.name, payload)
		}
	}
	contexts, ok := stringsOf(list)
	valid := err == nil && ok && len(contexts) > 0
	for _, name := range contexts {
		valid = valid && name != ""
	}
	if !valid {
		s.violate(c, "contexts", "contexts: a non-empty array of non-empty strings", string(in.params), payload)
		s.apply(c, in.id, Reply{Code: "400", Message: "Invalid contexts"}, nil, nil)
		return
	}
	if in.method == "signalwire.unreceive" {
		for _, name := range contexts {
			delete(c.received, name)
		}
		s.unsubscribe(c.sess, contexts)
		s.apply(c, in.id, reply.orMessage("Unreceiving events"), nil, nil)
		return
	}
	again := true
	for _, name := range contexts {
		again = again && c.received[name]
		c.received[name] = true
	}
	if again {
		s.stats.DuplicateReceives++
		s.notice(c, "duplicate-receive", "each context once per connection", strings.Join(contexts, ", ")+" again", payload)
	}
	// The answer goes first, so that nothing overtakes it.
	s.apply(c, in.id, reply.orMessage("Receiving events"), nil, nil)
	s.subscribe(c.sess, contexts)
}

// stranger notes a parameter that the protocol does not know.
func (s *Server) stranger(c *conn, method, name string, payload []byte) {
	s.violate(c, "unknown-param", "only known parameters of "+method, name, payload)
}

func (s *Server) onClientPing(c *conn, in incoming, reply Reply) {
	c.info.ClientPings++
	switch s.faults.ClientPing {
	case ClientPingSilence:
		return
	case ClientPingError:
		s.answerError(c, in.id, -32603, "Internal error", nil)
		return
	}
	result := []byte{'{'}
	if ms, err := members(in.params); err == nil {
		for _, m := range ms {
			if m.name == "timestamp" || m.name == "payload" {
				result = append(appendMember(result, m.name), m.value...)
			}
		}
	}
	s.deliverAnswer(c, in.id, reply.Delay, appendResult(nil, in.id, append(result, '}')), nil)
}

// appendResult appends a whole success frame.
func appendResult(b []byte, id json.RawMessage, result []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(append(b, id...), `,"result":`...)
	return append(append(b, result...), '}')
}

// answerError sends a JSON-RPC error at once.
func (s *Server) answerError(c *conn, id json.RawMessage, code int, message string, data json.RawMessage) {
	s.apply(c, id, Reply{RPCCode: code, Message: message, Data: data}, nil, nil)
}

// apply answers a request as the reply says. extra adds members to a result;
// then runs, with mu held, once the answer is queued (not after Silence or Drop).
func (s *Server) apply(c *conn, id json.RawMessage, r Reply, extra func([]byte) []byte, then func()) {
	switch {
	case r.Drop:
		c.abort("dropped by a script instead of an answer")
		return
	case r.Silence, isNull(id):
		return
	}
	s.deliverAnswer(c, id, r.Delay, r.encode(id, extra), then)
}
