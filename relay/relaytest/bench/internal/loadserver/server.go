package loadserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/frame"
)

// Server is a Relay server on a loopback port that serves one load. Its methods are safe for concurrent use.
type Server struct {
	cfg   Config
	nonce uint32 // of the run: two runs on one journal have no id in common
	ln    net.Listener
	epoch time.Time

	closed     chan struct{}
	goroutines sync.WaitGroup
	subscribed chan struct{} // closed at the first subscription

	mu        sync.Mutex
	frames    frame.Writer
	timestamp []byte
	conns     map[*conn]struct{}
	active    *conn // the newest subscribed connection: events go there
	accepted  int   // connections so far: names them
	pings     int
	cutAt     time.Time // of a cut that no subscription has followed yet
	load      *load     // nil before Load
	sends     []send    // what the state events are about; empty without Config.States
	result    Result
	once      sync.Once
}

// Start listens on a free port of 127.0.0.1. The caller calls Close.
func Start(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the load server: %w", err)
	}
	s := &Server{
		cfg:        cfg,
		nonce:      rand.Uint32(),
		ln:         ln,
		epoch:      time.Now(),
		closed:     make(chan struct{}),
		subscribed: make(chan struct{}),
		conns:      make(map[*conn]struct{}),
	}
	s.stampLocked(s.epoch)
	s.goroutines.Go(s.accept)
	s.goroutines.Go(s.ping)
	return s, nil
}

// URL is what a client dials.
func (s *Server) URL() string { return "ws://" + s.ln.Addr().String() + "/api/relay/ws" }

// WaitSubscribed returns once a client has sent signalwire.receive for all Contexts.
func (s *Server) WaitSubscribed(ctx context.Context) error {
	select {
	case <-s.subscribed:
		return nil
	case <-s.closed:
		return errors.New("the load server is closed")
	case <-ctx.Done():
		return fmt.Errorf("wait for the client to subscribe: %w", context.Cause(ctx))
	}
}

// Close ends every connection and returns when all goroutines are gone.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.ln.Close()
		s.hangUp()
	})
	s.goroutines.Wait()
}

// hangUp closes every connection.
func (s *Server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.tcp.Close()
	}
}

func (s *Server) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.goroutines.Go(func() { s.serve(nc.(*net.TCPConn)) })
	}
}

// ping sends a signalwire.ping on every authenticated connection, at the configured pause.
func (s *Server) ping() {
	ticker := time.NewTicker(s.cfg.PingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-ticker.C:
		}
		var pinged []*conn
		s.mu.Lock()
		s.stampLocked(time.Now())
		for c := range s.conns {
			if c.authenticated {
				s.pings++
				c.out = s.appendPing(c.out, s.pings)
				c.pings = append(c.pings, ping{s.pings, string(s.timestamp)})
				pinged = append(pinged, c)
			}
		}
		s.mu.Unlock()
		for _, c := range pinged {
			c.kickFlusher()
		}
	}
}

// stampLocked sets the timestamp that the next frames carry.
func (s *Server) stampLocked(now time.Time) {
	s.timestamp = appendTimestamp(s.timestamp[:0], now)
}
