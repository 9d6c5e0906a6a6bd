package loadserver

import (
	"bytes"
	"strconv"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/frame"
	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/pick"
)

// send is an accepted messaging.send, kept for its state events.
type send struct {
	context        int32
	sender         int32
	carrier        int32 // connection that its state events went to
	delivery       int32 // of its state events: how often they were composed before
	tags           []byte
	body           []byte
	owed           bool // its state events were lost before they were written, or were never composed
	ackedSent      bool
	ackedDelivered bool
}

// envelope returns the raw members that tell frames apart.
func envelope(payload []byte) (method, id, params []byte, bad bool) {
	o := pick.In(payload)
	for {
		key, value, ok := o.Next()
		if !ok {
			return method, id, params, o.Bad()
		}
		switch string(key) {
		case "method":
			method = value
		case "id":
			id = value
		case "params", "result":
			params = value
		}
	}
}

// handleLocked takes one message of the client. An error ends the connection.
func (s *Server) handleLocked(c *conn, op byte, payload []byte) error {
	switch op {
	case frame.Text:
	case frame.Ping:
		c.out = s.frames.Append(c.out, frame.Pong, payload)
		return nil
	case frame.Close:
		c.out = s.frames.Append(c.out, frame.Close, payload)
		return nil // the client closes the socket, or the reader meets its end
	default:
		return nil
	}
	method, id, params, bad := envelope(payload)
	if bad {
		s.result.BadFrames++
		return nil
	}
	if method == nil {
		s.answeredLocked(c, pick.String(id), params)
		return nil
	}
	name := string(pick.String(method))
	if id == nil {
		s.result.BadFrames++ // a client has no notifications to send
		return nil
	}
	if name == "signalwire.connect" {
		s.connectLocked(c, id, params)
		return nil
	}
	if !c.authenticated {
		c.out = s.appendError(c.out, id, "-32002", "Authentication required")
		return nil
	}
	switch name {
	case "messaging.send":
		return s.sendLocked(c, id, params)
	case "signalwire.ping":
		c.out = s.appendResult(c.out, id, string(params))
	case "signalwire.receive":
		c.contexts |= named(params)
		c.out = s.appendResult(c.out, id, `{"code":"200","message":"Receiving events"}`)
		s.subscribedLocked(c)
	case "signalwire.unreceive":
		c.contexts &^= named(params)
		c.out = s.appendResult(c.out, id, `{"code":"200","message":"Unreceiving events"}`)
		if s.active == c {
			s.active = nil
		}
	default:
		c.out = s.appendError(c.out, id, "-32601", "Method not found")
	}
	return nil
}

// connectLocked authenticates a connection and counts the sockets that the client holds at this moment.
func (s *Server) connectLocked(c *conn, id, params []byte) {
	if !bytes.Contains(params, []byte(`"project"`)) || !bytes.Contains(params, []byte(`"token"`)) {
		c.out = s.appendError(c.out, id, "-32602", "Missing authentication")
		return
	}
	c.authenticated = true
	s.result.Connections++
	live := 0
	for other := range s.conns {
		if other == c || other.open() {
			live++
		}
	}
	s.result.MaxLive = max(s.result.MaxLive, live)
	c.out = s.appendResult(c.out, id, `{"identity":"`+spaceID+"@"+projectID+`.local","protocol":"`+protocol+
		`","authorization":{"project":"`+projectID+`","project_id":"`+projectID+`","space_id":"`+spaceID+
		`","scopes":["messaging"],"signature":"9c41"},"session_restored":false}`)
}

// named returns the bit set of the Contexts that a receive or unreceive names.
func named(params []byte) (set int) {
	for i, context := range Contexts {
		if bytes.Contains(params, []byte(strconv.Quote(context))) {
			set |= 1 << i
		}
	}
	return set
}

// answeredLocked takes an answer of the client to an event or a ping.
func (s *Server) answeredLocked(c *conn, raw, result []byte) {
	id, ok := parseID(raw, s.nonce)
	if !ok || result == nil {
		s.result.UnknownAcks++ // also an error: nothing that the server sends can be refused
		return
	}
	switch {
	case id.kind == kindInbound && s.load != nil && id.number < s.load.next:
		s.load.acked(c, id, &s.result)
		if s.cfg.Backlog {
			s.refillLocked(maxRefill)
		}
	case (id.kind == kindSent || id.kind == kindDelivered) && id.number < len(s.sends):
		send := &s.sends[id.number]
		if id.kind == kindSent {
			send.ackedSent = true
		} else {
			send.ackedDelivered = true
		}
	case id.kind == kindPing:
		for i, p := range c.pings {
			if p.number == id.number {
				if !echoes(result, p.timestamp) {
					s.result.BadPongs++
				}
				c.pings = append(c.pings[:i], c.pings[i+1:]...)
				return
			}
		}
		s.result.BadPongs++
	default:
		s.result.UnknownAcks++
	}
}

// echoes reports whether a pong carries the timestamp of its ping. It is compared as a number: one that went through a float
// has lost its last zeros.
func echoes(result []byte, timestamp string) bool {
	for o := pick.In(result); ; {
		key, value, ok := o.Next()
		if !ok {
			return false
		}
		if string(key) == "timestamp" {
			got, err1 := strconv.ParseFloat(string(value), 64)
			want, err2 := strconv.ParseFloat(timestamp, 64)
			return err1 == nil && err2 == nil && got == want
		}
	}
}

// sendLocked accepts a messaging.send, accounts for it as an answer, and lets the next inbound in.
func (s *Server) sendLocked(c *conn, id, params []byte) error {
	var from, to, context, body, tags []byte
	o := pick.In(params)
	for {
		key, value, ok := o.Next()
		if !ok {
			break
		}
		switch string(key) {
		case "from_number":
			from = pick.String(value)
		case "to_number":
			to = pick.String(value)
		case "context":
			context = pick.String(value)
		case "body":
			body = pick.String(value)
		case "tags":
			tags = value
		}
	}
	if from == nil || to == nil || body == nil {
		c.out = s.appendResult(c.out, id, `{"code":"400","message":"from_number, to_number and body are required"}`)
		return nil
	}
	if s.load == nil {
		s.result.Strangers++
		c.out = s.appendAccepted(c.out, id, 0)
		return nil
	}
	l := s.load
	number, first := l.answered(from, to, context, body, &s.result)
	n := l.sends
	l.sends++
	c.out = s.appendAccepted(c.out, id, n)
	c.composed = append(c.composed, composed{send: n, inbound: number, end: c.handedBytes + int64(len(c.out))})
	if s.cfg.States {
		sender := max(number, 0) % s.cfg.Senders
		record := send{sender: int32(sender), context: int32(sender % len(Contexts)), body: bytes.Clone(body)}
		if !s.cfg.DropTags {
			record.tags = bytes.Clone(tags)
		}
		s.sends = append(s.sends, record)
		s.statesLocked(n)
	}
	if first && s.cfg.ResetEvery > 0 && l.replies%s.cfg.ResetEvery == 0 && l.replies < s.cfg.Messages {
		s.cutLocked(c)
		return errCut
	}
	s.refillLocked(maxRefill)
	return nil
}

// statesLocked composes the state events of send n on the subscribed connection; without one they are owed.
func (s *Server) statesLocked(n int) {
	send, c := &s.sends[n], s.active
	if c == nil {
		send.owed = true
		return
	}
	send.owed = false
	send.carrier = int32(c.number)
	if !send.ackedSent {
		c.out = s.appendState(c.out, n, kindSent)
	}
	if !send.ackedDelivered {
		c.out = s.appendState(c.out, n, kindDelivered)
	}
	send.delivery = min(send.delivery+1, maxDelivery)
}

// subscribedLocked makes c the connection that events go to, if it receives all contexts, and gives it what the last one
// left behind.
func (s *Server) subscribedLocked(c *conn) {
	if c.contexts != 1<<len(Contexts)-1 || s.active == c {
		return
	}
	resumed := s.active == nil || !s.active.open()
	s.active = c
	select {
	case <-s.subscribed:
	default:
		close(s.subscribed)
	}
	if !s.cutAt.IsZero() {
		s.result.Resubscribes = append(s.result.Resubscribes, time.Since(s.cutAt))
		s.cutAt = time.Time{}
	}
	if s.load == nil {
		return
	}
	if resumed {
		s.resumeLocked(c)
	}
	s.refillLocked(maxRefill)
}
