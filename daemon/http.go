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
			refuse(w, r, api.Misdirected, "the Host header names another machine", "use http://"+listen+" (through a proxy, let it set the Host header)")
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

// requireToken lets through who presents http.token, as a bearer or as the password of basic
// authentication; on the platform's own paths also who presents the project and its token, as
// code does that was written for the platform.
func requireToken(cfg *Config, next http.Handler) http.Handler {
	// Hashed first, so that neither content nor length shows in the time it takes.
	token, project := sha256.Sum256([]byte(cfg.HTTP.Token.Reveal())), sha256.Sum256([]byte(cfg.SignalWire.Project+":"+cfg.SignalWire.Token.Reveal()))
	theirs := cfg.SignalWire.Project != "" && cfg.SignalWire.Token != ""
	is := func(given string, want [sha256.Size]byte) bool {
		got := sha256.Sum256([]byte(given))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		name := ""
		if !ok {
			name, given, _ = r.BasicAuth()
		}
		if !is(given, token) && (!theirs || !api.Platform(r) || !is(name+":"+given, project)) {
			w.Header().Set("WWW-Authenticate", `Basic realm="signpost"`)
			mend := "send Authorization: Bearer with the token of http.token"
			if theirs && api.Platform(r) {
				mend += ", or the project's id and token as basic authentication"
			}
			refuse(w, r, api.Unauthorized, "a token is needed, and this is none", mend)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers with a problem, in the platform's way on its own paths.
func refuse(w http.ResponseWriter, r *http.Request, k api.Kind, detail, mend string) {
	if api.Platform(r) {
		api.RefusePlatform(w, k, detail, mend)
		return
	}
	api.Refuse(w, k, detail, mend)
}
