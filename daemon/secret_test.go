package daemon

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

const secretYAML = "signalwire: {project: p, %s}\n" + oneContext

func TestWhichSecretCounts(t *testing.T) {
	t.Parallel()
	there := files{
		"etc/token":             {Data: []byte("from-file\n"), Mode: 0o600},
		"abs/token":             {Data: []byte("  from-absolute \r\n"), Mode: 0o600},
		"here":                  {Data: []byte("from-here"), Mode: 0o600},
		"cred/token":            {Data: []byte("from-systemd"), Mode: 0o400},
		"creds/jwt":             {Data: []byte("jwt-systemd"), Mode: 0o400},
		"creds/http-token":      {Data: []byte("http-systemd-of-length"), Mode: 0o400},
		"two/token":             {Data: []byte("qqq"), Mode: 0o400},
		"two/jwt":               {Data: []byte("zzz"), Mode: 0o400},
		"etc/nested/dir/secret": {},
	}
	for name, tc := range map[string]struct {
		yaml       string
		env        []string
		flags      map[string]string
		token, jwt string
		found      []string
	}{
		"file key":                   {yaml: "token: plain", token: "plain"},
		"relative file":              {yaml: "token_file: token", token: "from-file"},
		"absolute file":              {yaml: "token_file: /abs/token", token: "from-absolute"},
		"relative in environment":    {env: []string{"SIGNPOST_SIGNALWIRE_TOKEN_FILE=here"}, token: "from-here"},
		"environment over file":      {yaml: "token: plain", env: []string{"SIGNPOST_SIGNALWIRE_TOKEN=env"}, token: "env"},
		"environment over its file":  {yaml: "token_file: /nowhere", env: []string{"SIGNPOST_SIGNALWIRE_TOKEN=env"}, token: "env"},
		"file key in environment":    {yaml: "token: plain", env: []string{"SIGNPOST_SIGNALWIRE_TOKEN_FILE=/abs/token"}, token: "from-absolute"},
		"platform over environment":  {env: []string{"SIGNALWIRE_API_TOKEN=qqq", "SIGNPOST_SIGNALWIRE_TOKEN=qqq"}, token: "qqq"},
		"flag over platform":         {env: []string{"SIGNALWIRE_API_TOKEN=qqq"}, flags: map[string]string{"signalwire.token": "flag"}, token: "flag"},
		"jwt over token":             {yaml: "token: plain", env: []string{"SIGNALWIRE_JWT_TOKEN=zzz"}, jwt: "zzz"},
		"systemd over file":          {yaml: "token: plain", env: []string{"CREDENTIALS_DIRECTORY=/cred"}, token: "from-systemd"},
		"environment over systemd":   {env: []string{"CREDENTIALS_DIRECTORY=/cred", "SIGNALWIRE_API_TOKEN=qqq"}, token: "qqq"},
		"jwt of systemd":             {yaml: "token: plain", env: []string{"CREDENTIALS_DIRECTORY=/creds"}, jwt: "jwt-systemd"},
		"systemd without ours":       {yaml: "token: plain", env: []string{"CREDENTIALS_DIRECTORY=/nowhere"}, token: "plain"},
		"two of systemd":             {env: []string{"CREDENTIALS_DIRECTORY=/two"}, found: []string{"env CREDENTIALS_DIRECTORY secret-conflict"}},
		"two in the environment":     {env: []string{"SIGNALWIRE_API_TOKEN=qqq", "SIGNALWIRE_JWT_TOKEN=zzz"}, found: []string{"env SIGNALWIRE_JWT_TOKEN secret-conflict"}},
		"a directory":                {yaml: "token_file: nested", found: []string{"etc/c.yaml:1:38 unreadable-file"}},
		"empty value does not count": {yaml: `token: ""`, env: []string{"CREDENTIALS_DIRECTORY=/cred"}, token: "from-systemd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, found := LoadConfig(Source{
				Path: "etc/c.yaml", Text: fmt.Appendf(nil, secretYAML, tc.yaml), Environ: tc.env, Flags: tc.flags, Open: there.open,
			})
			want := tc.found
			if want == nil {
				want = []string{}
			}
			if diff := cmp.Diff(want, rulesOf(found)); diff != "" {
				t.Fatalf("findings: %s%s", diff, found)
			}
			if cfg != nil && (cfg.SignalWire.Token.Reveal() != tc.token || cfg.SignalWire.JWT.Reveal() != tc.jwt) {
				t.Errorf("got token %q, jwt %q, want %q, %q", cfg.SignalWire.Token.Reveal(), cfg.SignalWire.JWT.Reveal(), tc.token, tc.jwt)
			}
		})
	}
	cfg, found := LoadConfig(Source{
		Path: "c.yaml", Text: []byte("http: {listen: '0.0.0.0:1'}\n" + oneContext), Environ: []string{"SIGNALWIRE_PROJECT_ID=p", "CREDENTIALS_DIRECTORY=/creds"}, Open: there.open,
	})
	if len(found) > 0 || cfg.HTTP.Token.Reveal() != "http-systemd-of-length" {
		t.Errorf("http token of systemd: got %s", found)
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data string
		mode fs.FileMode
		rule string
		code int
	}{
		"private":        {"secret", 0o600, "", ExitOK},
		"group":          {"secret", 0o640, "", ExitOK},
		"world readable": {"secret", 0o644, "secret-readable", ExitOK},
		"empty":          {"\n", 0o600, "bad-secret", ExitConfig},
		"two lines":      {"secret\nanother", 0o600, "bad-secret", ExitConfig},
		"huge":           {strings.Repeat("x", maxSecretBytes+1), 0o600, "unreadable-file", ExitConfig},
	} {
		if name == "world readable" && runtime.GOOS == "windows" {
			continue // has no such mode
		}
		there := files{"t": {Data: []byte(tc.data), Mode: tc.mode}}
		_, found := LoadConfig(Source{Path: "c.yaml", Text: fmt.Appendf(nil, secretYAML, "token_file: /t"), Open: there.open})
		got := ""
		if len(found) > 0 {
			got = found[0].Rule
		}
		if len(found) > 1 || got != tc.rule || found.ExitCode() != tc.code {
			t.Errorf("%s: got %v, exit code %d", name, found, found.ExitCode())
		}
		if strings.Contains(found.String(), "another") {
			t.Errorf("%s: gives the secret away: %s", name, found)
		}
	}
}

// Who only asks the running daemon may not be able to read its secrets.
func TestWithoutCredentialsTheirFilesAreNotRead(t *testing.T) {
	t.Parallel()
	cfg, found := LoadConfig(Source{
		Path: "c.yaml", Text: fmt.Appendf(nil, secretYAML, "token_file: /nowhere"), Open: files{}.open, NoCredentials: true,
	})
	if cfg == nil || len(found) > 0 {
		t.Errorf("got %s", found)
	}
}

// leaky has a marked secret in every place that can hold one, and a number.
const leaky = `
signalwire: {project: p, token: CANARY-token}
store: sqlite:///var/lib/signpost/signpost.db?key=CANARY-store
http: {token: CANARY-http-of-length}
sending: {numbers: [{number: "+12025550123"}]}
contexts: {support: {handlers: [{reply: CANARY-reply}]}}
`

// TestConfigNeverPrintsSecrets looks for the secrets in every way that a configuration can
// be printed, and counts the placeholders, so that leaving a field out is no way to pass.
func TestConfigNeverPrintsSecrets(t *testing.T) {
	t.Parallel()
	cfg, found := LoadConfig(Source{Path: "c.yaml", Text: []byte(leaky)})
	if len(found) > 0 {
		t.Fatal(found)
	}
	if !strings.Contains(string(cfg.Store), "CANARY-store") || cfg.HTTP.Token.Reveal() != "CANARY-http-of-length" {
		t.Fatal("the secrets are not even there")
	}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		out = append(out, fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, *cfg), fmt.Sprintf(verb, struct{ C Config }{*cfg}))
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "cfg", cfg, "value", *cfg)
	out = append(out, log.String(), cfg.String())
	for _, s := range out {
		if strings.Contains(s, "CANARY") || strings.Contains(s, "2025550123") {
			t.Errorf("gives a secret away:\n%s", s)
		}
		if got := strings.Count(s, "[redacted]"); got < 2 {
			t.Errorf("%d placeholders, want one for each of the 2 secrets:\n%s", got, s)
		}
		if !strings.Contains(s, "sqlite:///var/lib/signpost/signpost.db") {
			t.Errorf("the store is not shown:\n%s", s)
		}
	}
	// The parts print as safely as the whole.
	for _, part := range []any{cfg.SignalWire, cfg.HTTP, cfg.Store, &cfg.Store, cfg.Contexts} {
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			if s := fmt.Sprintf(verb, part); strings.Contains(s, "CANARY") {
				t.Errorf("%s of a %T gives a secret away: %s", verb, part, s)
			}
		}
	}
}

func TestStoreURLShowsNoSecret(t *testing.T) {
	t.Parallel()
	for store, want := range map[StoreURL]string{
		"memory:":                                            "memory:",
		"sqlite:///var/lib/signpost/signpost.db":             "sqlite:///var/lib/signpost/signpost.db",
		"sqlite:///a.db?_pragma=key(secret)":                 "sqlite:///a.db",
		"postgres://u:secret@db/signpost?password=secret#se": "postgres://db/signpost",
		"postgres://u:sec%zzret@db/signpost":                 "[redacted]",
	} {
		if got := store.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := store.Reveal(); got != string(store) {
			t.Errorf("reveals %q of %q", got, string(store))
		}
	}
}
