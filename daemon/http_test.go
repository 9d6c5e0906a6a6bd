package daemon

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// ask makes a request to a handler as a client on this machine would.
func ask(h http.Handler, method, path string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	req.Host = "127.0.0.1:8377"
	for _, e := range edit {
		e(req)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// endpoints is the HTTP side of an idle daemon with the settings.
func endpoints(t *testing.T, cfg HTTPConfig) http.Handler {
	t.Helper()
	c := simConfig("ws://relay.test/")
	c.HTTP = cfg
	d, err := New(c, serving("support"), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.life.stop() })
	return d.http
}

func TestLocalHTTPRefusesForeignHosts(t *testing.T) {
	t.Parallel()
	h := endpoints(t, HTTPConfig{Listen: "127.0.0.1:8377"})
	for host, want := range map[string]int{
		"127.0.0.1:8377":      http.StatusOK,
		"localhost":           http.StatusOK,
		"[::1]:8377":          http.StatusOK,
		"evil.example:8377":   http.StatusMisdirectedRequest,
		"evil.example":        http.StatusMisdirectedRequest,
		"localhost.evil.test": http.StatusMisdirectedRequest,
		"":                    http.StatusMisdirectedRequest,
		"192.168.0.10:8377":   http.StatusMisdirectedRequest,
	} {
		w := ask(h, "GET", "/metrics", func(r *http.Request) { r.Host = host })
		if w.Code != want {
			t.Errorf("Host %q: got %d, want %d", host, w.Code, want)
		}
	}
}

func TestLocalHTTPRefusesOtherOrigins(t *testing.T) {
	t.Parallel()
	h := endpoints(t, HTTPConfig{Listen: "127.0.0.1:8377"})
	w := ask(h, "POST", "/v1/reload", func(r *http.Request) {
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	})
	if w.Code != http.StatusForbidden {
		t.Errorf("a page of another origin: got %d, want %d", w.Code, http.StatusForbidden)
	}
	// Without a configuration file a reload fails, but it is let through.
	if w := ask(h, "POST", "/v1/reload"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("our own command: got %d (%s)", w.Code, w.Body)
	}
}

func TestTokenGuardsEverythingButTheProbes(t *testing.T) {
	t.Parallel()
	const token = "correct horse battery staple"
	h := endpoints(t, HTTPConfig{Listen: "0.0.0.0:8377", Token: token})
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	for name, tc := range map[string]struct {
		path string
		edit func(*http.Request)
		want int
	}{
		"livez without":   {"/livez", func(*http.Request) {}, http.StatusOK},
		"readyz without":  {"/readyz", func(*http.Request) {}, http.StatusServiceUnavailable},
		"metrics without": {"/metrics", func(*http.Request) {}, http.StatusUnauthorized},
		"wrong bearer":    {"/metrics", bearer(token + "x"), http.StatusUnauthorized},
		"empty bearer":    {"/metrics", bearer(""), http.StatusUnauthorized},
		"bearer":          {"/metrics", bearer(token), http.StatusOK},
		"basic":           {"/metrics", func(r *http.Request) { r.SetBasicAuth("anybody", token) }, http.StatusOK},
		"wrong basic":     {"/metrics", func(r *http.Request) { r.SetBasicAuth(token, "no") }, http.StatusUnauthorized},
		"unknown path":    {"/etc", func(*http.Request) {}, http.StatusUnauthorized},
	} {
		w := ask(h, "GET", tc.path, tc.edit)
		if w.Code != tc.want {
			t.Errorf("%s: got %d, want %d", name, w.Code, tc.want)
		}
		if strings.Contains(w.Body.String(), token) {
			t.Errorf("%s: the answer holds the token", name)
		}
	}
}

func TestOpenListenerNeedsAToken(t *testing.T) {
	t.Parallel()
	cfg := simConfig("ws://relay.test/")
	cfg.HTTP.Listen = "0.0.0.0:0"
	d, err := New(cfg, serving("support"), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); ExitCode(err) != ExitConfig || !strings.Contains(err.Error(), "http.token") || d.Addr() != nil {
		t.Errorf("Run: got %v, want a refusal with the key to set", err)
	}
}

func TestUnknownPathsSayWhatThereIs(t *testing.T) {
	t.Parallel()
	h := endpoints(t, HTTPConfig{Listen: "127.0.0.1:8377"})
	w := ask(h, "GET", "/health")
	if w.Code != http.StatusNotFound || !strings.Contains(api.ReadProblem(w.Body.Bytes()).Error(), "/readyz") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestReadinessNamesEachFailedCheck(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	good := relay.Status{State: relay.StateSubscribed, Contexts: []string{"support"}, LastFrame: now.Add(-freshWithin)}
	journal := messaging.EngineStatus{JournalWritable: true}
	for name, tc := range map[string]struct {
		session  relay.Status
		engine   messaging.EngineStatus
		draining bool
		failed   map[string]string // check: part of its reason
	}{
		"all well": {good, journal, false, nil},
		"a pong is as good as a frame": {
			relay.Status{State: relay.StateSubscribed, Contexts: []string{"support"}, LastFrame: now.Add(-time.Hour), LastPong: now},
			journal, false, nil,
		},
		"just subscribed": {relay.Status{State: relay.StateSubscribed, Contexts: []string{"support"}, Since: now}, journal, false, nil},
		"connecting": {relay.Status{
			State:     relay.StateBackoff,
			LastError: relay.LastError{What: "dial", Text: "connection refused"},
		}, journal, false, map[string]string{"authenticated": "connection refused", "subscribed": "waits to connect again", "fresh": "nothing heard"}},
		"rejected": {relay.Status{
			State:     relay.StateRejected,
			LastError: relay.LastError{Text: "signalwire.connect refused, code -32002: no"},
		}, journal, false, map[string]string{"authenticated": "-32002", "subscribed": "refuses the credentials", "fresh": ""}},
		"one context missing": {relay.Status{
			State: relay.StateSubscribed, Contexts: []string{"support"}, Missing: []string{"sales"}, LastFrame: now,
		}, journal, false, map[string]string{"subscribed": "sales"}},
		"one context refused": {relay.Status{
			State: relay.StateSubscribed, Contexts: []string{"support"}, Missing: []string{"sales"}, LastFrame: now,
			LastError: relay.LastError{What: "change subscriptions", Code: "403", Text: "signalwire.receive refused, code 403: no such context"},
		}, journal, false, map[string]string{"subscribed": "sales; last error (change subscriptions): signalwire.receive refused, code 403: no such context"}},
		"an error that is over": {relay.Status{
			State: relay.StateSubscribed, Contexts: []string{"support"}, Missing: []string{"sales"}, LastFrame: now,
			LastError: relay.LastError{What: "dial", Text: "connection refused"},
		}, journal, false, map[string]string{"subscribed": "not confirmed: sales"}},
		"left for the stop": {relay.Status{State: relay.StateDraining, LastFrame: now}, journal, true, map[string]string{"draining": "", "subscribed": "is stopping"}},
		"paused": {
			relay.Status{State: relay.StateSubscribed, Paused: "the journal is full", LastFrame: now},
			journal, false,
			map[string]string{"subscribed": "the journal is full"},
		},
		"silent":  {relay.Status{State: relay.StateSubscribed, Contexts: []string{"support"}, LastFrame: now.Add(-freshWithin - 1)}, journal, false, map[string]string{"fresh": "25s"}},
		"journal": {good, messaging.EngineStatus{JournalError: "disk full"}, false, map[string]string{"journal": "disk full"}},
		"stop":    {good, journal, true, map[string]string{"draining": "stopping", "subscribed": "stopping"}},
	} {
		got := map[string]string{}
		for _, c := range readiness(tc.session, tc.engine, tc.draining, now) {
			if !c.OK {
				got[c.Name] = c.Reason
			}
		}
		for check, reason := range got {
			if want, ok := tc.failed[check]; !ok || !strings.Contains(reason, want) {
				t.Errorf("%s: check %s failed with %q, want %q", name, check, reason, want)
			}
		}
		if len(got) != len(tc.failed) {
			t.Errorf("%s: %d failed checks %v, want %d", name, len(got), got, len(tc.failed))
		}
	}
}

func TestLivenessIsInternalProgressOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		engine  messaging.EngineStatus
		started bool
		alive   bool
	}{
		"not started":           {messaging.EngineStatus{}, false, true},
		"first turn to come":    {messaging.EngineStatus{}, true, true},
		"turning":               {messaging.EngineStatus{At: now.Add(-progressWithin)}, true, true},
		"turning, journal down": {messaging.EngineStatus{At: now, JournalError: "disk full"}, true, true},
		"stuck":                 {messaging.EngineStatus{At: now.Add(-progressWithin - time.Second)}, true, false},
	} {
		if got := newHealth(liveness(tc.engine, tc.started, now)).OK; got != tc.alive {
			t.Errorf("%s: alive %v, want %v", name, got, tc.alive)
		}
	}
}

func TestHealthSpeaksBothLanguages(t *testing.T) {
	t.Parallel()
	h := healthHandler(func() []check { return []check{pass("engine"), fail("journal", "disk %s", "full")} })
	w := ask(h, "GET", "/readyz")
	if got, want := w.Body.String(), "ok   engine\nFAIL journal: disk full\n"; got != want || w.Code != http.StatusServiceUnavailable {
		t.Errorf("plain: got %d %q, want 503 %q", w.Code, got, want)
	}
	for _, path := range []string{"/readyz?format=json", "/readyz"} {
		w := ask(h, "GET", path, func(r *http.Request) { r.Header.Set("Accept", "application/json") })
		var got health
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := health{Checks: []check{{Name: "engine", OK: true}, {Name: "journal", Reason: "disk full"}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("JSON (-want +got):\n%s", diff)
		}
	}
}

func TestHalfOpenPeerEndsReadinessWithin25s_R27(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startDaemon(t, newSpace(t), serving("support"))
		r.waitReady()
		if w := ask(r.http, "GET", "/readyz"); w.Code != http.StatusOK {
			t.Fatalf("not ready at first: %s", w.Body)
		}
		f := r.space.Faults()
		f.MuteConnect = true // the platform is gone: a new connection gets no answer either
		if err := r.space.SetFaults(f); err != nil {
			t.Fatal(err)
		}
		r.space.Session(t).Silence(true, true)
		began := time.Now()
		for ask(r.http, "GET", "/readyz").Code == http.StatusOK {
			if time.Since(began) > freshWithin {
				t.Fatalf("still ready %v after the peer fell silent", time.Since(began))
			}
			time.Sleep(time.Second)
		}
		if w := ask(r.http, "GET", "/livez"); w.Code != http.StatusOK {
			t.Errorf("livez: got %d %s, want 200: a restart would not mend the platform", w.Code, w.Body)
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestMetricsAreCleanAndTellTheState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startDaemon(t, newSpace(t), serving("support"))
		r.waitReady()
		r.text("support", "hello")
		r.expectReply("support: hello")
		time.Sleep(2 * time.Second) // the engine's snapshot is up to a second old
		synctest.Wait()
		problems, err := testutil.GatherAndLint(r.reg)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		w := ask(r.http, "GET", "/metrics")
		for _, want := range []string{
			`signpost_session_state{state="subscribed"} 1`,
			`signpost_session_state{state="backoff"} 0`,
			"signpost_session_connects_total 1",
			`signpost_inbound_messages_total{context="support"} 1`,
			"signpost_unaccounted_messages 0",
			"signpost_journal_writable 1",
			"signpost_config_last_reload_successful 1",
			"signpost_build_info{",
			"signpost_config_hash ",
			"signpost_in_doubt 0",
			"signpost_handlers_inflight 0",
			"signpost_session_deaf_seconds_total ",
			"go_goroutines ",
		} {
			if !strings.Contains(w.Body.String(), "\n"+want) {
				t.Errorf("metrics lack %q", want)
			}
		}
		r.stop()
		<-r.ended
	})
}
