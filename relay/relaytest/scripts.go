package relaytest

import (
	"net/http"
	"time"
)

// Upgrade scripts what happens to one WebSocket handshake.
type Upgrade struct {
	Reset      bool          `json:"reset,omitempty"`  // reset the TCP connection
	Stall      bool          `json:"stall,omitempty"`  // never answer
	Status     int           `json:"status,omitempty"` // answer with this HTTP status
	RetryAfter time.Duration `json:"retry_after,omitempty"`
}

// Connect scripts the answer to one signalwire.connect. The zero value accepts.
type Connect struct {
	Reply
	// EarlyPing and EarlyEvents are sent before the answer.
	EarlyPing   bool  `json:"early_ping,omitempty"`
	EarlyEvents []SMS `json:"early_events,omitempty"`
}

// RejectAuth is the answer to wrong credentials.
func RejectAuth() Connect {
	return Connect{Reply: Reply{RPCCode: codeAuthFailed, Message: "Authentication failed"}}
}

// Repeat returns n copies of v, for scripts.
func Repeat[T any](n int, v T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// scripts is the part of Server.state that holds one-shot deviations. Each is
// used up front to back; after the last one the standing behaviour applies.
type scripts struct {
	upgrades []Upgrade
	connects []Connect
	replies  map[string][]Reply
	sendPlan []Outcome
	rest     []int
}

func shift[T any](list *[]T) (T, bool) {
	if len(*list) == 0 {
		var zero T
		return zero, false
	}
	v := (*list)[0]
	*list = (*list)[1:]
	return v, true
}

// NextUpgrades scripts the coming WebSocket handshakes.
func (s *Server) NextUpgrades(u ...Upgrade) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upgrades = append(s.upgrades, u...)
}

// NextConnects scripts the coming signalwire.connect requests.
func (s *Server) NextConnects(c ...Connect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connects = append(s.connects, c...)
}

// NextReplies scripts the answers to the coming requests of a method . For
// signalwire.connect it is NextConnects.
func (s *Server) NextReplies(method string, r ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if method == "signalwire.connect" {
		for _, one := range r {
			s.connects = append(s.connects, Connect{Reply: one})
		}
		return
	}
	if s.replies == nil {
		s.replies = make(map[string][]Reply)
	}
	s.replies[method] = append(s.replies[method], r...)
}

// NextSends scripts what becomes of the coming sends, whatever their number.
func (s *Server) NextSends(o ...Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendPlan = append(s.sendPlan, o...)
}

// NextREST scripts HTTP error statuses for the coming REST requests; 0 lets one
// through.
func (s *Server) NextREST(status ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, status...)
}

// ClearScripts drops all one-shot scripts that were not used.
func (s *Server) ClearScripts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts = scripts{}
}

func (s *Server) nextUpgrade() Upgrade {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := shift(&s.upgrades); ok {
		return u
	}
	return Upgrade{Status: s.faults.UpgradeStatus}
}

func (s *Server) nextConnect() Connect {
	c, ok := shift(&s.connects)
	if !ok {
		c.Reply = s.faults.Replies["signalwire.connect"]
		c.Silence = c.Silence || s.faults.MuteConnect
		if s.faults.ConnectError != 0 {
			c.RPCCode, c.Message = s.faults.ConnectError, "Connect refused by a standing fault"
		}
	}
	if c.Delay == 0 {
		c.Delay = s.faults.ConnectDelay
	}
	return c
}

func (s *Server) nextReply(method string) (Reply, bool) {
	if list := s.replies[method]; len(list) > 0 {
		s.replies[method] = list[1:]
		return list[0], true
	}
	r, ok := s.faults.Replies[method]
	return r, ok
}

// nextREST reports the status to fail a REST request with, 0 for none.
func (s *Server) nextREST() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, _ := shift(&s.rest)
	if status == http.StatusOK {
		status = 0
	}
	return status
}
