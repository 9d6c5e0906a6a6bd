package relaytest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Host names of an in-memory server. They resolve nowhere else.
const (
	memRelayHost = "relay.test"
	memHTTPHost  = "api.test"
)

// ErrClosed is returned by waits that the closing of the server cut short.
var ErrClosed = errors.New("relaytest: server closed")

// TB is what NewServer needs of a testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Server is a simulated space. All methods are safe for concurrent use, and
// none of them sleeps; those that wait take a context.
type Server struct {
	cfg     Config
	clock   *Clock
	journal journal
	changed signal        // anything but the transcript changed
	done    chan struct{} // closed by Close
	ca      []byte
	pool    *x509.CertPool
	client  *http.Client

	relayLns []listener // ws and wss: the faulty ones
	httpLn   listener
	restMux  http.Handler
	https    []*http.Server
	wg       sync.WaitGroup
	// callbacks are the status callbacks to post.
	callbacks chan callback

	mu     sync.Mutex
	closed bool
	faults Faults
	state
}

// state is what mu guards, apart from the faults. Its parts are declared beside
// the code that owns them.
type state struct {
	rng *rand.ChaCha8
	connState
	sessionState
	eventState
	sendState
	logState
	scripts
	audit
}

// NewServer starts a space for a test and closes it when the test ends. Unless
// the Lenient option is given, protocol violations by the client fail the test.
func NewServer(t TB, options ...Option) *Server {
	t.Helper()
	cfg := Config{Strict: true}
	for _, o := range options {
		o(&cfg)
	}
	strict := cfg.Strict
	cfg.report = func(v Violation) {
		if strict && v.Severe {
			t.Errorf("%s", v)
		} else {
			t.Logf("%s", v)
		}
	}
	s, err := Start(cfg)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a space and returns once it accepts connections. Close it.
func Start(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, clock: cfg.Clock, done: make(chan struct{}), faults: cfg.Faults}
	s.journal.frames.limit = cfg.Transcript
	s.init()
	caPEM, cert, err := testCA(cfg.Hosts, time.Now())
	if err != nil {
		return nil, err
	}
	s.ca, s.pool = caPEM, x509.NewCertPool()
	s.pool.AppendCertsFromPEM(caPEM)
	if err := s.listen(); err != nil {
		return nil, err
	}
	s.client = &http.Client{Transport: &http.Transport{
		DialContext:     s.DialContext,
		TLSClientConfig: &tls.Config{RootCAs: s.pool},
	}}
	relay := http.HandlerFunc(s.serveRelay)
	s.serve(s.relayLns[0], relay, nil)
	s.serve(s.relayLns[1], relay, &tls.Config{Certificates: []tls.Certificate{cert}})
	s.serve(s.httpLn, s.httpHandler(), nil)
	if cfg.Callbacks != nil {
		s.wg.Go(s.postCallbacks)
	}
	if cfg.Faults.RefuseTCP {
		if err := s.applyRefusal(true); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) init() {
	var seed [32]byte
	for i := range 8 {
		seed[i] = byte(s.cfg.Seed >> (8 * i))
	}
	s.rng = rand.NewChaCha8(seed)
	s.initConns()
	s.initSessions()
	s.initEvents()
	s.initSends()
	s.initLog()
	s.initAudit()
	s.initREST()
	s.callbacks = make(chan callback, maxCallbacks)
}

func (s *Server) listen() error {
	var lns []listener
	if s.cfg.InMemory {
		lns = []listener{
			listenMem(memRelayHost+":80", s.wrapConn),
			listenMem(memRelayHost+":443", s.wrapConn),
			listenMem(memHTTPHost+":80", plainConn),
		}
	} else {
		for i, addr := range []string{s.cfg.Addr, s.cfg.TLSAddr, s.cfg.HTTPAddr} {
			wrap := s.wrapConn
			if i == 2 {
				wrap = plainConn
			}
			ln, err := listenTCP(addr, wrap)
			if err != nil {
				for _, l := range lns {
					_ = l.Close()
				}
				return err
			}
			lns = append(lns, ln)
		}
	}
	s.relayLns, s.httpLn = lns[:2], lns[2]
	return nil
}

func plainConn(c net.Conn) net.Conn { return c }

type connKey struct{}

func (s *Server) serve(ln net.Listener, h http.Handler, tlsCfg *tls.Config) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	if tlsCfg != nil {
		tlsCfg.NextProtos = []string{"http/1.1"}
		ln = tls.NewListener(ln, tlsCfg)
	}
	s.https = append(s.https, srv)
	s.wg.Go(func() { _ = srv.Serve(ln) })
}

// Close drops all connections and returns when every goroutine of the server
// has ended. It may be called twice.
func (s *Server) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.wg.Wait()
		return
	}
	s.closed = true
	close(s.done)
	conns := s.openConns()
	s.mu.Unlock()
	for _, ln := range append(s.relayLns, s.httpLn) {
		_ = ln.Close()
	}
	for _, h := range s.https {
		_ = h.Close()
	}
	for _, c := range conns {
		c.fc.abort()
	}
	s.closeRaw()
	s.client.CloseIdleConnections()
	s.clock.close()
	s.wg.Wait()
	s.changed.wake()
	s.journal.changed.wake()
}

// URL is the ws address of the space.
func (s *Server) URL() string {
	if s.cfg.InMemory {
		return "ws://" + memRelayHost + "/"
	}
	return "ws://" + s.relayLns[0].Addr().String() + "/"
}

// TLSURL is the wss address; clients need CACert in their trust store.
func (s *Server) TLSURL() string {
	if s.cfg.InMemory {
		return "wss://" + memRelayHost + "/"
	}
	return "wss://" + s.relayLns[1].Addr().String() + "/"
}

// HTTPURL is the base of the REST endpoints (/api/...) and of the control API
// (/control/). Connection faults do not touch it. It has no trailing slash.
func (s *Server) HTTPURL() string {
	if s.cfg.InMemory {
		return "http://" + memHTTPHost
	}
	return "http://" + s.httpLn.Addr().String()
}

// CACert is the PEM certificate of the authority behind TLSURL.
func (s *Server) CACert() []byte { return bytes.Clone(s.ca) }

// CertPool is a fresh pool with that authority alone.
func (s *Server) CertPool() *x509.CertPool { return s.pool.Clone() }

// Client is an HTTP client that reaches the server, in memory too, and trusts
// its authority. It serves for REST and for dialing a WebSocket.
func (s *Server) Client() *http.Client { return s.client }

// Clock is the space's clock.
func (s *Server) Clock() *Clock { return s.clock }

// Done is closed when the server closes.
func (s *Server) Done() <-chan struct{} { return s.done }

// DialContext opens a connection to the server. In memory it is the only way
// in; addr is the host and port of one of the URLs. With sockets it dials addr.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if !s.cfg.InMemory {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	for _, ln := range append(s.relayLns[:2:2], s.httpLn) {
		if ln.Addr().String() == addr {
			return ln.(*memListener).dial(ctx)
		}
	}
	return nil, fmt.Errorf("dial %s: no such address in this in-memory space; use the host of URL, TLSURL or HTTPURL", addr)
}

// waitOn waits for changed, for the end of ctx or of the server.
func (s *Server) waitOn(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.done:
		return ErrClosed
	}
}

// Wait waits until ok is true. It looks again after every change on the server;
// ok may call any method of it.
func (s *Server) Wait(ctx context.Context, ok func() bool) error {
	for {
		changed := s.changed.wait()
		if ok() {
			return nil
		}
		if err := s.waitOn(ctx, changed); err != nil {
			return fmt.Errorf("wait for the server: %w", err)
		}
	}
}

// newID returns a UUID from the seeded source. The caller holds mu.
func (s *Server) newID() string {
	id, _ := uuid.NewRandomFromReader(s.rng) // a ChaCha8 never fails
	return id.String()
}

// serveRelay answers on the Relay listeners.
func (s *Server) serveRelay(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" && r.URL.Path != "/api/relay/ws" {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			s.serveREST(w, r)
			return
		}
		http.NotFound(w, r)
		return
	}
	fc := r.Context().Value(connKey{}).(*faultConn)
	up := s.nextUpgrade()
	switch {
	case up.Reset:
		fc.abort()
		return
	case up.Status != 0:
		w.Header().Set("Connection", "close") // so that each attempt is a dial
		if up.RetryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(int(up.RetryAfter/time.Second)))
		}
		http.Error(w, http.StatusText(up.Status), up.Status)
		return
	case !isUpgrade(r) || r.Method != http.MethodGet:
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket endpoint; use ws:// or wss://", http.StatusUpgradeRequired)
		return
	case r.Header.Get("Sec-WebSocket-Version") != "13" || r.Header.Get("Sec-WebSocket-Key") == "":
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, "unsupported WebSocket handshake", http.StatusBadRequest)
		return
	}
	deflate := s.Faults().AcceptDeflate && offersDeflate(r.Header)
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "cannot take over the connection", http.StatusInternalServerError)
		return
	}
	_ = raw.SetDeadline(time.Time{})
	if up.Stall {
		fc.silence(true, true)
	}
	var head strings.Builder
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		acceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n")
	if deflate {
		head.WriteString("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n")
	}
	head.WriteString("\r\n")
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	reader := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(early)), raw), 64<<10)
	c := s.addConn(fc, raw, reader, deflate, head.String())
	if c == nil {
		fc.abort()
		return
	}
	defer s.wg.Done()
	c.run()
}
