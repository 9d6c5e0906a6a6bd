package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Defaults of Config.
const (
	defaultTimeout = 15 * time.Second
	// A page of 1,000 log entries is about 1 MB; beyond eight times as much something is
	// wrong, and memory is at stake.
	defaultMaxResponse = 8 << 20
)

// Config tells a Client where to go and as whom. Space, Project and Token are required;
// the zero value of every other field means its documented default.
type Config struct {
	// Space is the host of the space (example.signalwire.com), its bare name (example),
	// or an http(s):// URL. Without https it must be on this machine, or Insecure set.
	Space   string
	Project string
	Token   Secret

	Insecure bool // allow http:// to another machine, which shows the token to the network

	HTTP        *http.Client  // whose transport is used, and no redirect followed; default: http.DefaultTransport
	Timeout     time.Duration // of a whole request with its answer; default 15 s
	MaxResponse int64         // bytes of an answer; default 8 MiB
	UserAgent   string        // default "signpost"
	Logger      *slog.Logger  // default slog.Default(); one debug record per request
}

// Client calls the REST API of one project. It may be used by many goroutines at once.
type Client struct {
	base *url.URL
	cfg  Config
	http http.Client
	log  *slog.Logger
}

// New makes a Client; it does no I/O. The error says what to mend in the configuration.
func New(cfg Config) (*Client, error) {
	base, err := baseURL(cfg.Space, cfg.Insecure)
	if err != nil {
		return nil, err
	}
	if cfg.Project == "" || strings.Contains(cfg.Project, ":") {
		return nil, errors.New("rest: no project id: set signalwire.project to the one shown in the space's dashboard")
	}
	if cfg.Token == "" {
		return nil, errors.New("rest: no API token: set signalwire.token or token_file (a JWT does not serve here)")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxResponse == 0 {
		cfg.MaxResponse = defaultMaxResponse
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "signpost"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	c := &Client{base: base, cfg: cfg, log: cfg.Logger.With("component", "rest")}
	if cfg.HTTP != nil {
		c.http = *cfg.HTTP
	}
	// A redirect would take a POST somewhere else, or turn it into a GET.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// String names the space. It keeps fmt from looking inside, at the token.
func (c *Client) String() string { return "rest client of " + c.base.Host }

// GoString is String.
func (c *Client) GoString() string { return c.String() }

// baseURL reads a space: its host, its bare name, or a URL.
func baseURL(space string, insecure bool) (*url.URL, error) {
	space = strings.TrimSpace(space)
	if space == "" {
		return nil, errors.New("rest: no space: set signalwire.space to its host, such as example.signalwire.com")
	}
	raw := space
	if !strings.Contains(raw, "://") {
		if !strings.ContainsAny(raw, ".:/") && raw != "localhost" {
			raw += ".signalwire.com"
		}
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		// The URL itself stays out of the message: somebody may have put the token into it.
		return nil, errors.New("rest: the space is neither a host such as example.signalwire.com nor an http(s):// URL")
	}
	if u.User != nil {
		return nil, errors.New("rest: the space's URL holds credentials: set signalwire.project and signalwire.token instead")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("rest: the space's URL has a query or a fragment: leave only the host")
	}
	if u.Scheme == "http" && !insecure && !loopback(u.Hostname()) {
		return nil, errors.New("rest: http:// would show the token to the network: use https://, or set insecure if the network is yours alone")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// call is one request.
type call struct {
	action string // what it is for, as errors say it: "read the message log"
	method string
	path   []string // segments, unescaped
	query  url.Values
	body   any    // marshalled unless nil
	text   string // of the message in body, kept out of errors
	change bool   // whether it changes anything over there
}

// do makes the request and reads its answer into out, which may be nil.
func (c *Client) do(ctx context.Context, rq *call, out any) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", rq.action, err)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, errTimeout)
	defer cancel()

	var payload []byte
	if rq.body != nil {
		if payload, err = json.Marshal(rq.body); err != nil {
			return err
		}
	}
	// From the moment a connection is there, bytes may have left through it.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	u := c.base.JoinPath(escaped(rq.path)...)
	u.RawQuery = rq.query.Encode()
	req, err := http.NewRequestWithContext(ctx, rq.method, u.String(), bytes.NewReader(payload))
	if err != nil {
		return c.transport(ctx, err)
	}
	req.SetBasicAuth(c.cfg.Project, c.cfg.Token.Reveal())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	began := time.Now()
	status := 0
	defer func() {
		c.log.DebugContext(ctx, "request", "action", rq.action, "method", rq.method, "status", status, "duration", time.Since(began), "failed", err != nil)
	}()
	doubt := func(err error) error {
		if rq.change && connected.Load() {
			return fmt.Errorf("%w: %w", ErrInDoubt, err)
		}
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return doubt(c.transport(ctx, err))
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	data, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.MaxResponse+1))
	switch {
	case status < 200 || status > 299:
		// Whatever of the body came is enough for a refusal.
		return c.refusal(rq, resp, data[:min(int64(len(data)), c.cfg.MaxResponse)])
	case err != nil:
		return doubt(c.transport(ctx, err))
	case int64(len(data)) > c.cfg.MaxResponse:
		return doubt(fmt.Errorf("%w: more than %d bytes", ErrBadAnswer, c.cfg.MaxResponse))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return doubt(badJSON(err))
	}
	return nil
}

// badJSON describes an answer that cannot be read, without quoting it.
func badJSON(err error) error {
	var (
		syntax *json.SyntaxError
		typ    *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: no JSON at byte %d; check that the space is the host of a SignalWire space", ErrBadAnswer, syntax.Offset)
	case errors.As(err, &typ):
		return fmt.Errorf("%w: field %s is not a %s", ErrBadAnswer, typ.Field, typ.Type)
	}
	return ErrBadAnswer
}

// transport describes why no answer came. The error of net/http names the URL, in which a
// caller's query stands; only its cause is kept.
func (c *Client) transport(ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("no answer from %s within %s: %w", c.base.Host, c.cfg.Timeout, context.DeadlineExceeded)
	}
	return fmt.Errorf("reach %s: %w", c.base.Host, err)
}

func escaped(segments []string) []string {
	out := make([]string, len(segments))
	for i, s := range segments {
		out[i] = url.PathEscape(s)
	}
	return out
}

// one is the path of a single resource. An empty id would list all of them instead, and
// one of dots leave the collection.
func one(action, id string, collection ...string) ([]string, error) {
	if id == "" || strings.Trim(id, ".") == "" {
		return nil, fmt.Errorf("%s: no id given", action)
	}
	return append(collection, id), nil
}
