package relay

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewRejectsPlainTextToOtherHosts_R1(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url      string
		insecure bool
		ok       bool
	}{
		{"", false, true},
		{"wss://example.com", false, true},
		{"ws://example.com", false, false},
		{"ws://10.0.0.1:8080/x", false, false},
		{"ws://example.com", true, true},
		{"ws://127.0.0.1:1234/", false, true},
		{"ws://127.8.0.1:1234/", false, true},
		{"ws://[::1]:1234/", false, true},
		{"ws://localhost:1234", false, true},
		{"ws://localhost.example.com", false, false},
		{"https://example.com", false, false},
		{"example.com", false, false},
		{"wss:///path", false, false},
		{"wss://u:p@example.com/", false, false},
		{"wss://example.com/#x", false, false},
		{"wss://exa mple.com/", false, false},
	} {
		_, err := New(Config{URL: tt.url, Insecure: tt.insecure, Project: "p", Token: "t0ken"})
		if (err == nil) != tt.ok {
			t.Errorf("New with URL %q, Insecure %v: got %v, want ok %v", tt.url, tt.insecure, err, tt.ok)
		}
	}
}

func TestCAFileMustHoldCertificates_R1(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("-----BEGIN CERTIFICATE-----\nnope\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{bad, bad + ".missing"} {
		if _, err := New(Config{Project: "p", Token: "t0ken", CAFile: file}); err == nil || !strings.Contains(err.Error(), "PEM") {
			t.Errorf("CA file %s: got %v, want an error that says what to give", filepath.Base(file), err)
		}
	}
}

func TestURLIsConfigurable_R2(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]endpoint{
		"":                             {url: "wss://relay.signalwire.com/", addr: "relay.signalwire.com:443"},
		"wss://a.example":              {url: "wss://a.example/", addr: "a.example:443"},
		"wss://a.example:8443/api/r?x": {url: "wss://a.example:8443/api/r?x", addr: "a.example:8443"},
		"ws://[::1]/api/relay/ws":      {url: "ws://[::1]/api/relay/ws", addr: "[::1]:80"},
	} {
		c, err := New(Config{URL: url, Project: "p", Token: "t0ken"})
		if err != nil {
			t.Errorf("New with URL %q: %v", url, err)
			continue
		}
		if c.ep.url != want.url || c.ep.addr != want.addr {
			t.Errorf("URL %q: got %s at %s, want %s at %s", url, c.ep.url, c.ep.addr, want.url, want.addr)
		}
		if secure := strings.HasPrefix(want.url, "wss"); secure != (c.ep.tls != nil) || secure && (c.ep.tls.InsecureSkipVerify || c.ep.tls.ServerName == "") {
			t.Errorf("URL %q: TLS configuration %+v", url, c.ep.tls)
		}
	}
}

func TestNewWantsCredentials(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg Config
		say string
	}{
		{Config{}, "credentials"},
		{Config{Project: "p"}, "token is empty"},
		{Config{Token: "t0ken"}, "project id is empty"},
		{Config{Token: "t0ken", JWT: "j.w.t", Project: "p"}, "both"},
		{Config{JWT: "j.w.t"}, ""},
		{Config{Project: "p", Token: "t0ken", CallTimeout: -1}, "CallTimeout"},
		{Config{Project: "p", Token: "secret-t0ken", URL: "wss://h/secret-t0ken"}, "contains the token"},
		{Config{Project: "p", Token: "t0ken", Version: [3]int{-1}}, "Version"},
	} {
		_, err := New(tt.cfg)
		switch {
		case tt.say == "" && err != nil:
			t.Errorf("New: %v", err)
		case tt.say != "" && (err == nil || !strings.Contains(err.Error(), tt.say)):
			t.Errorf("New: got %v, want an error that says %q", err, tt.say)
		case err != nil && strings.Contains(err.Error(), "t0ken"):
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

func TestNewReportsEveryFinding(t *testing.T) {
	t.Parallel()
	_, err := New(Config{URL: "http://x", CallTimeout: -1})
	if err == nil || strings.Count(err.Error(), "relay: ") != 3 {
		t.Errorf("got %v, want the URL, the credentials and the timeout", err)
	}
}

func TestSecretNeverPrints_R3(t *testing.T) {
	t.Parallel()
	const canary = "hunter2"
	s := Secret(canary)
	holder := struct {
		S Secret
		P *Secret
		M map[string]Secret
	}{s, &s, map[string]Secret{"k": s}}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "h", holder, "any", any(&holder))
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "h", holder)
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	yaml, err := s.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{log.String(), string(asJSON), fmt.Sprint(yaml), s.String(), s.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%T %v"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder), fmt.Sprintf(verb, []Secret{s}))
	}
	for _, text := range shown {
		if strings.Contains(text, canary) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", canary)) {
			t.Errorf("the secret shows in %q", text)
		}
	}
	if s.Reveal() != canary {
		t.Errorf("Reveal: got %q", s.Reveal())
	}
}
