package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// dial opens one WebSocket. It opens the network connection itself and lends
// it to the HTTP transport, so that whatever happens there is exactly one
// connection, and it is ours to close.
func (c *Client) dial(ctx context.Context) (ws *websocket.Conn, conn *batchConn, reason string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.HandshakeTimeout)
	defer cancel()

	raw, err := c.cfg.DialContext(ctx, "tcp", c.ep.addr)
	if err != nil {
		return nil, nil, reasonDial, fmt.Errorf("dial %s: %w", c.ep.addr, err)
	}
	top := raw
	if c.ep.tls != nil {
		secured := tls.Client(raw, c.ep.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, nil, reasonDial, fmt.Errorf("TLS handshake with %s: %w", c.ep.host, err)
		}
		top = secured
	}
	conn = newBatchConn(top, raw, c.cfg.WriteTimeout)

	lent := make(chan net.Conn, 1)
	lent <- conn
	borrow := func(context.Context, string, string) (net.Conn, error) {
		select {
		case once := <-lent:
			return once, nil
		default:
			return nil, errors.New("only one connection for each attempt")
		}
	}
	transport := &http.Transport{DialContext: borrow, DialTLSContext: borrow, DisableCompression: true}
	defer transport.CloseIdleConnections()
	ws, resp, err := websocket.Dial(ctx, c.ep.url, &websocket.DialOptions{ //nolint:bodyclose // the library closes it
		HTTPClient: &http.Client{
			Transport: transport,
			// A redirect could lead to another host, or out of TLS.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader: http.Header{"User-Agent": {c.cfg.Agent}},
	})
	if err != nil {
		conn.abort()
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			// Of the response nothing but the status is kept.
			return nil, nil, reasonUpgrade, &upgradeError{host: c.ep.host, status: resp.StatusCode}
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, nil, reasonUpgrade, fmt.Errorf("WebSocket upgrade with %s: %w", c.ep.host, err)
	}
	return ws, conn, "", nil
}

// upgradeError is an HTTP answer to the upgrade other than 101.
type upgradeError struct {
	host   string
	status int
}

func (e *upgradeError) Error() string {
	return fmt.Sprintf("WebSocket upgrade with %s: HTTP %d %s; check the URL (host and path)", e.host, e.status, http.StatusText(e.status))
}

// closeError is a close frame of the platform.
type closeError struct {
	code int
	text string
}

func (e *closeError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("the platform closed the connection, code %d", e.code)
	}
	return fmt.Sprintf("the platform closed the connection, code %d: %s", e.code, e.text)
}
