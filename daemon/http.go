package daemon

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/relay"
)

// The limits of the local HTTP server. Its clients are probes, scrapers and our own
// commands; nobody of them is slow or large.
const (
	httpHeaderTimeout = 5 * time.Second
	httpReadTimeout   = 30 * time.Second
	httpWriteTimeout  = 60 * time.Second // longer than a reload, which waits for the platform to confirm contexts
	httpIdleTimeout   = 2 * time.Minute
	httpMaxHeader     = 16 << 10
	httpMaxBody       = 4 << 20 // a thousand rows of a bulk job, with their variables
)

// newHTTPServer serves h with limits on everything.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           http.MaxBytesHandler(h, httpMaxBody),
		ReadHeaderTimeout: httpHeaderTimeout,
		ReadTimeout:       httpReadTimeout,
		WriteTimeout:      httpWriteTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    httpMaxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// onlyLocalHosts refuses requests whose Host header is not the listener's own. A page in the
// operator's browser can be made to resolve its own name to 127.0.0.1 (DNS rebinding) and
// would then talk to us as the same origin; its Host header gives it away.
func onlyLocalHosts(listen string, next http.Handler) http.Handler {
	own, _, err := net.SplitHostPort(listen)
	if err != nil {
		own = listen
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if !strings.EqualFold(host, own) && !isLoopback(host) {
			api.Refuse(w, api.Misdirected, "the Host header names another machine", "use http://"+listen+" (through a proxy, let it set the Host header)")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether host names this machine and nothing else.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// loopbackListener reports whether only this machine can reach the address.
func loopbackListener(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err == nil && isLoopback(host)
}

// requireToken lets through who presents the token, as a bearer or as the password of basic
// authentication.
func requireToken(token relay.Secret, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			_, given, _ = r.BasicAuth()
		}
		// Hashed first, so that neither content nor length shows in the time it takes.
		got := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="signpost"`)
			api.Refuse(w, api.Unauthorized, "a token is needed", "send Authorization: Bearer with the token of http.token")
			return
		}
		next.ServeHTTP(w, r)
	})
}
