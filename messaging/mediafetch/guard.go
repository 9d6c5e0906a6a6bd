package mediafetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrForbidden is what a URL leads to where a stranger must not send us: a private address,
// another port or scheme. Trying again does not help.
var ErrForbidden = errors.New("the URL leads to where media must not be fetched from: name the host under the allowed ones if it is yours")

// special are the networks that are no part of the public internet, or lead out of it.
var special = func() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		// Of IPv6 only 2000::/3 is public; these are the parts of it that are not.
		"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

var public6 = netip.MustParsePrefix("2000::/3")

// public reports whether an address is one of the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() && !public6.Contains(a) {
		return false
	}
	return a.IsValid() && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// control refuses a connection to what is not public. It sees the address that was chosen
// after resolution, so a name cannot change its mind between check and use.
func control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr()) || ap.Port() != 80 && ap.Port() != 443 {
		return ErrForbidden
	}
	return nil
}

// client makes the HTTP client that keeps the rules of the package.
func client(cfg Config) *http.Client {
	guarded := &net.Dialer{Timeout: 10 * time.Second, Control: control}
	open := &net.Dialer{Timeout: 10 * time.Second}
	allowed := map[string]bool{}
	for _, host := range cfg.Allow {
		allowed[strings.ToLower(host)] = true
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, _ := net.SplitHostPort(address)
				if allowed[strings.ToLower(address)] || allowed[strings.ToLower(host)] {
					return open.DialContext(ctx, network, address)
				}
				return guarded.DialContext(ctx, network, address)
			},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConns:           16,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  cfg.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > cfg.Redirects:
				return fmt.Errorf("more than %d redirects", cfg.Redirects)
			case r.URL.Scheme != "http" && r.URL.Scheme != "https":
				return ErrForbidden
			case r.URL.Scheme == "http" && via[len(via)-1].URL.Scheme == "https":
				return fmt.Errorf("redirected from https to http: %w", ErrForbidden)
			}
			// Where we came from is a stranger's business as little as the URL is.
			r.Header.Del("Referer")
			return nil
		},
	}
}
