package daemon

import (
	"testing"
	"testing/fstest"
)

// What finds the daemon is read from any file that still has it.
func TestWhereToAsk(t *testing.T) {
	t.Parallel()
	there := files{"etc/token": &fstest.MapFile{Data: []byte("0123456789abcdef\n"), Mode: 0o600}}
	for _, tt := range []struct {
		name, text    string
		env           []string
		listen, token string
		fails         bool
	}{
		{"unknown keys", "nonsense: 1\nhttp: {listen: '127.0.0.1:1', tokn: x}\nsignalwire: {token: '${NOWHERE}'}\n", nil, "127.0.0.1:1", "", false},
		{"no YAML before it", "brand: 'x\n'y\nhttp:\n  listen: 127.0.0.1:1\n\n  # a remark\n  token_file: token\n", nil, "127.0.0.1:1", "0123456789abcdef", false},
		{"no YAML after it", "http:\n  listen: 127.0.0.1:1\nlog: {level: [\n", nil, "127.0.0.1:1", "", false},
		{"no YAML in it", "http:\n  listen: [\n", nil, "127.0.0.1:8377", "", false},
		{"environment", "log: [\n", []string{"SIGNPOST_HTTP_LISTEN=127.0.0.1:2"}, "127.0.0.1:2", "", false},
		{"token file that is not there", "http: {token_file: missing}\n", nil, "127.0.0.1:8377", "", true},
		{"token of a variable that is not set", "http: {token: '${NOWHERE}'}\n", nil, "127.0.0.1:8377", "", true},
	} {
		got, err := whereToAsk(Source{Path: "etc/c.yaml", Text: []byte(tt.text), Environ: tt.env, Open: there.open, NoCredentials: true})
		if (err != nil) != tt.fails {
			t.Errorf("%s: got the error %v", tt.name, err)
		}
		if !tt.fails && (got.Listen != tt.listen || got.Token.Reveal() != tt.token) {
			t.Errorf("%s: got %q with a token of %d characters, want %q and %d", tt.name, got.Listen, len(got.Token), tt.listen, len(tt.token))
		}
	}
}
