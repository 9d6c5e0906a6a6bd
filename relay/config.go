package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// Defaults of Config. Each is what a zero field means.
const (
	DefaultURL = "wss://relay.signalwire.com/"

	DefaultHandshakeTimeout = 10 * time.Second // TCP, TLS and the WebSocket upgrade together
	DefaultConnectTimeout   = 10 * time.Second // the answer to signalwire.connect
	DefaultCallTimeout      = 10 * time.Second // the answer to any other call
	DefaultWriteTimeout     = 5 * time.Second  // the kernel taking one batch of frames
	DefaultSilenceTimeout   = 12 * time.Second // nothing heard: probe
	DefaultProbeTimeout     = 10 * time.Second // with the silence before it: a dead peer is found in 22 s
	DefaultDrainTimeout     = 5 * time.Second  // after signalwire.disconnect, for the server to close
	DefaultMaxFrame         = 10 << 20         // bytes of one inbound frame
	DefaultAuthAttempts     = 3                // refusals before Run gives up
)

// Config says whom to connect as and how patient to be. Only credentials are
// required: Project with Token, or JWT (or RefreshJWT). A zero field means the
// default that its comment names.
type Config struct {
	// URL of the Relay endpoint, scheme, host, optional port and path.
	// Default DefaultURL. ws:// is accepted for loopback hosts, or with
	// Insecure; the certificate of a wss:// host is always verified.
	URL string

	// Insecure accepts a ws:// URL to a host that is not loopback. Everything,
	// the token included, then crosses the network in the clear.
	Insecure bool

	// Project is the project id; Token its API token.
	Project string
	Token   Secret

	// JWT is used instead of Token.
	JWT Secret

	// RefreshJWT returns a new JWT. It is called on a goroutine of its own
	// before the current token expires, and before a connect when the token
	// has expired or was refused (or, with no JWT set, before the first one).
	// Optional.
	RefreshJWT func(ctx context.Context) (Secret, error)

	// Contexts is the set to subscribe to at first. SetContexts, Receive and
	// Unreceive change it while running.
	Contexts []string

	// CAFile names a PEM file of certificates that are trusted in addition to
	// the system's.
	CAFile string

	// Agent names the program to the platform. Default "signpost".
	Agent string

	// Version is the protocol version sent on connect. Default 2.0.0.
	Version [3]int

	// DialContext opens the network connection. Default: a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	HandshakeTimeout time.Duration // default DefaultHandshakeTimeout
	ConnectTimeout   time.Duration // default DefaultConnectTimeout
	CallTimeout      time.Duration // default DefaultCallTimeout
	WriteTimeout     time.Duration // default DefaultWriteTimeout
	SilenceTimeout   time.Duration // default DefaultSilenceTimeout
	ProbeTimeout     time.Duration // default DefaultProbeTimeout
	DrainTimeout     time.Duration // default DefaultDrainTimeout
	MaxFrame         int64         // default DefaultMaxFrame
	AuthAttempts     int           // default DefaultAuthAttempts

	// Logger receives the session's life. Default slog.Default. No credential
	// and no content of a frame is ever written to it, at any level.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.URL == "" {
		c.URL = DefaultURL
	}
	if c.Agent == "" {
		c.Agent = "signpost"
	}
	if c.Version == [3]int{} {
		c.Version = [3]int{2, 0, 0}
	}
	if c.DialContext == nil {
		c.DialContext = new(net.Dialer).DialContext
	}
	setDefault(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&c.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&c.CallTimeout, DefaultCallTimeout)
	setDefault(&c.WriteTimeout, DefaultWriteTimeout)
	setDefault(&c.SilenceTimeout, DefaultSilenceTimeout)
	setDefault(&c.ProbeTimeout, DefaultProbeTimeout)
	setDefault(&c.DrainTimeout, DefaultDrainTimeout)
	setDefault(&c.MaxFrame, DefaultMaxFrame)
	setDefault(&c.AuthAttempts, DefaultAuthAttempts)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T ~int | ~int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// validate looks at everything that can be wrong before any I/O, and reports
// all of it at once.
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("relay: "+format, args...)) }

	if err := c.checkURL(); err != nil {
		errs = append(errs, err)
	}
	jwt := c.JWT != "" || c.RefreshJWT != nil
	switch {
	case jwt && c.Token != "":
		bad("both a token and a JWT are set; keep the one this project should use")
	case jwt:
	case c.Project == "" && c.Token == "":
		bad("no credentials; set the project id and its API token, or a JWT")
	case c.Project == "":
		bad("project id is empty; set it to the id shown beside the API token")
	case c.Token == "":
		bad("token is empty; set it to an API token of the project")
	}
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
		{"ConnectTimeout", int64(c.ConnectTimeout)},
		{"CallTimeout", int64(c.CallTimeout)},
		{"WriteTimeout", int64(c.WriteTimeout)},
		{"SilenceTimeout", int64(c.SilenceTimeout)},
		{"ProbeTimeout", int64(c.ProbeTimeout)},
		{"DrainTimeout", int64(c.DrainTimeout)},
		{"MaxFrame", c.MaxFrame},
		{"AuthAttempts", int64(c.AuthAttempts)},
	} {
		if d.value < 0 {
			bad("%s is negative; leave it 0 for the default", d.name)
		}
	}
	for _, v := range c.Version {
		if v < 0 {
			bad("Version has a negative part; leave it zero for 2.0.0")
			break
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkURL() error {
	// The URL itself is left out of these errors: a token pasted into the
	// wrong field must not be printed.
	const example = "write it like " + DefaultURL
	u, err := url.Parse(c.URL)
	if err != nil {
		return fmt.Errorf("relay: the URL cannot be parsed; %s", example)
	}
	switch {
	case u.Scheme != "wss" && u.Scheme != "ws":
		return fmt.Errorf("relay: the URL must begin with wss:// (or ws:// on this machine); %s", example)
	case u.Hostname() == "":
		return fmt.Errorf("relay: the URL names no host; %s", example)
	case u.User != nil:
		return fmt.Errorf("relay: the URL holds credentials, which would be sent in a header; move them to project and token")
	case u.Fragment != "":
		return fmt.Errorf("relay: the URL has a fragment (#), which no server would see; remove it")
	case u.Scheme == "ws" && !c.Insecure && !loopback(u.Hostname()):
		return fmt.Errorf("relay: ws:// to %s would send the token in the clear; use wss://, or set insecure if that is really meant", u.Hostname())
	}
	for _, s := range []Secret{c.Token, c.JWT} {
		if len(s) >= urlSecret && strings.Contains(c.URL, s.Reveal()) {
			return fmt.Errorf("relay: the URL contains the token; credentials travel in the first frame only, remove it from the URL")
		}
	}
	return nil
}

// urlSecret is the shortest secret that is looked for in the URL. The platform's
// tokens are far longer; a made-up one of a few letters may be part of any
// host's name.
const urlSecret = 8

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// endpoint is a validated URL, ready to dial.
type endpoint struct {
	url  string      // for the upgrade request
	addr string      // host:port
	host string      // for logs
	tls  *tls.Config // nil for ws
}

func newEndpoint(c *Config) (endpoint, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return endpoint{}, err
	}
	if u.Path == "" {
		u.Path = "/"
	}
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "wss" {
			port = "443"
		}
	}
	e := endpoint{url: u.String(), addr: net.JoinHostPort(u.Hostname(), port), host: u.Host}
	if u.Scheme != "wss" && c.CAFile == "" {
		return e, nil
	}
	pool, err := roots(c.CAFile)
	if err != nil {
		return endpoint{}, err
	}
	if u.Scheme == "wss" {
		e.tls = &tls.Config{
			ServerName: u.Hostname(),
			RootCAs:    pool,
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"}, // a WebSocket upgrade does not exist in h2
		}
	}
	return e, nil
}

// roots returns the system's certificates plus those of file; nil, which also
// means the system's, without one.
func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("relay: read the CA file: %w; give the path of a readable PEM file", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("relay: CA file %s holds no usable certificate; it must be PEM with BEGIN CERTIFICATE blocks", file)
	}
	return pool, nil
}
