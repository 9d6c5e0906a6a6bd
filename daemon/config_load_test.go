package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// oneContext is the least that the file of a test about something else needs.
const oneContext = "contexts: {support: {handlers: [{reply: Thank you}]}}\n"

// files opens the files of a test; names are absolute or in the folder "etc".
type files map[string]*fstest.MapFile

func (f files) open(name string) (fs.File, error) {
	return fstest.MapFS(f).Open(strings.TrimPrefix(name, "/"))
}

// load loads a text with more environment than the credentials.
func load(t *testing.T, text string, env ...string) (*Config, Findings) {
	t.Helper()
	return LoadConfig(Source{Path: "etc/c.yaml", Text: []byte(text), Environ: credentials(env...), Open: files{}.open})
}

// mustLoad is load of what must be without findings.
func mustLoad(t *testing.T, text string, env ...string) *Config {
	t.Helper()
	cfg, found := load(t, text, env...)
	if len(found) > 0 {
		t.Fatalf("got findings:\n%s", found)
	}
	return cfg
}

// rulesOf lists what was found as "PLACE rule".
func rulesOf(fs Findings) []string {
	got := []string{}
	for _, f := range fs {
		got = append(got, f.Place.String()+" "+f.Rule)
	}
	return got
}

func TestLayers(t *testing.T) {
	t.Parallel()
	src := Source{Path: "c.yaml", Text: []byte(oneContext), Environ: credentials()}
	level := func(want slog.Level) {
		t.Helper()
		cfg, found := LoadConfig(src)
		if len(found) > 0 {
			t.Fatalf("got findings:\n%s", found)
		}
		if cfg.Log.Level != want {
			t.Errorf("level: got %v, want %v", cfg.Log.Level, want)
		}
	}
	level(slog.LevelInfo)
	src.Text = []byte("log: {level: warn}\n" + oneContext)
	level(slog.LevelWarn)
	src.Environ = credentials("SIGNPOST_LOG_LEVEL=error")
	level(slog.LevelError)
	src.Flags = map[string]string{"log.level": "debug"}
	level(slog.LevelDebug)
}

func TestEveryScalarKeyHasAVariableAndAFlag(t *testing.T) {
	t.Parallel()
	if len(keys()) < 25 {
		t.Fatalf("only %d keys", len(keys()))
	}
	for _, k := range keys() {
		t.Run(k.path, func(t *testing.T) {
			t.Parallel()
			text := "7m" // for durations; within the range of none but not refused as a text
			v := reflect.New(k.kind).Elem()
			switch x := v.Interface().(type) {
			case time.Duration:
			case bool:
				text = "yes"
			case int, int64:
				text = "7"
			case slog.Level:
				text = "error"
			case chooser:
				text = x.choices()[len(x.choices())-1]
			default:
				text = "some-text"
			}
			for name, src := range map[string]Source{
				"variable": {Environ: []string{k.env() + "=" + text}},
				"flag":     {Flags: map[string]string{k.path: text}},
			} {
				l := newLoader(src, nil)
				l.readEnvironment()
				l.readFlags()
				if len(l.findings) > 0 {
					t.Fatalf("%s: %s", name, l.findings)
				}
				got, _ := fieldAt(reflect.ValueOf(l.cfg).Elem(), k.path)
				before, _ := fieldAt(reflect.ValueOf(newLoader(Source{}, nil).cfg).Elem(), k.path)
				want := reflect.New(k.kind).Elem()
				if p := setText(want, text); p != nil {
					t.Fatal(p.message)
				}
				if !got.Equal(want) || before.Equal(want) && k.kind.Kind() != reflect.Bool {
					t.Errorf("%s: got %#v, want %#v, default %#v", name, got, want, before)
				}
			}
		})
	}
}

func TestVariableNames(t *testing.T) {
	t.Parallel()
	var got []string
	for _, k := range keys() {
		got = append(got, k.env())
	}
	for _, want := range []string{
		"SIGNPOST_RELAY_URL", "SIGNPOST_STORE", "SIGNPOST_HTTP_LISTEN", "SIGNPOST_LOG_LEVEL", "SIGNPOST_SENDING_LIMITS",
		"SIGNPOST_SENDING_IN_DOUBT_WAIT", "SIGNPOST_SIGNALWIRE_TOKEN_FILE", "SIGNPOST_DEDUPE_FOR", "SIGNPOST_BRAND",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s sets nothing", want)
		}
	}
}

func TestPlatformVariables(t *testing.T) {
	t.Parallel()
	cfg, found := LoadConfig(Source{
		Path: "c.yaml",
		Text: []byte("signalwire: {project: file, token: file-token, space: file.example.com}\n" + oneContext),
		Environ: []string{
			"SIGNALWIRE_PROJECT_ID=platform", "SIGNALWIRE_API_TOKEN= platform-token\n", "SIGNALWIRE_SPACE_URL=https://platform.example.com",
			"SIGNPOST_SIGNALWIRE_PROJECT=platform",
		},
	})
	if len(found) > 0 {
		t.Fatal(found)
	}
	sw := cfg.SignalWire
	if sw.Project != "platform" || sw.Token.Reveal() != "platform-token" || sw.SpaceURL() != "https://platform.example.com" {
		t.Errorf("got project %q, token of %d bytes, space %q", sw.Project, len(sw.Token.Reveal()), sw.Space)
	}
}

func TestPlatformVariablesThatDiffer(t *testing.T) {
	t.Parallel()
	cfg, found := load(t, oneContext, "SIGNPOST_SIGNALWIRE_PROJECT=other", "SIGNALWIRE_SPACE=a.example.com", "SIGNALWIRE_SPACE_URL=b.example.com")
	want := []string{"env SIGNALWIRE_PROJECT_ID variable-conflict", "env SIGNALWIRE_SPACE_URL variable-conflict"}
	if diff := cmp.Diff(want, rulesOf(found)); diff != "" {
		t.Error(diff)
	}
	if cfg.SignalWire.Project != "p" || cfg.SignalWire.Space != "a.example.com" {
		t.Errorf("got project %q, space %q", cfg.SignalWire.Project, cfg.SignalWire.Space)
	}
}

func TestUnknownVariablesWarn(t *testing.T) {
	t.Parallel()
	cfg, found := load(t, oneContext,
		"SIGNPOST_LOG_LEVL=debug", "SIGNPOST_CONFIG=/etc/c.yaml", "SIGNPOST_HTTP_PORT=8377", "SIGNPOSTER=1",
		// What Kubernetes sets for services called signpost and signpost-http:
		"SIGNPOST_SERVICE_HOST=10.0.0.1", "SIGNPOST_SERVICE_PORT=8377", "SIGNPOST_SERVICE_PORT_HTTP=8377", "SIGNPOST_PORT=tcp://10.0.0.1:8377",
		"SIGNPOST_PORT_8377_TCP=tcp://10.0.0.1:8377", "SIGNPOST_PORT_8377_TCP_ADDR=10.0.0.1", "SIGNPOST_HTTP_SERVICE_HOST=10.0.0.1",
	)
	want := []string{"env SIGNPOST_HTTP_PORT unknown-variable", "env SIGNPOST_LOG_LEVL unknown-variable"}
	if diff := cmp.Diff(want, rulesOf(found)); diff != "" {
		t.Error(diff)
	}
	if cfg == nil || found.ExitCode() != ExitOK {
		t.Error("an unknown variable must only warn")
	}
	if got := found[1].Mend; got != "did you mean SIGNPOST_LOG_LEVEL?" {
		t.Errorf("got %q", got)
	}
}

func TestEmptyVariables(t *testing.T) {
	t.Parallel()
	text := "brand: One\nhandling: {attempts: 3}\nhttp: {listen: '127.0.0.1:1'}\n" + oneContext
	cfg := mustLoad(t, text, "SIGNPOST_HANDLING_ATTEMPTS=", "SIGNPOST_HTTP_LISTEN=", "SIGNPOST_BRAND=", "SIGNPOST_RELAY_URL=", "SIGNALWIRE_SPACE=")
	if cfg.Handling.Attempts != 3 || cfg.Relay.URL != DefaultConfig().Relay.URL {
		t.Errorf("an empty variable changed attempts to %d, url to %q", cfg.Handling.Attempts, cfg.Relay.URL)
	}
	if cfg.HTTP.Listen != "" || cfg.Brand != "" {
		t.Errorf(`an empty text is a value of listen, %q, and brand, %q`, cfg.HTTP.Listen, cfg.Brand)
	}
}

// Wrong values of the environment and of flags are named by their own places, next to those
// of the file.
func TestFindingsOfAllLayersAtOnce(t *testing.T) {
	t.Parallel()
	_, found := LoadConfig(Source{
		Path:    "c.yaml",
		Text:    []byte("handling:\n  timeout: soon\n" + oneContext),
		Environ: credentials("SIGNPOST_LOG_LEVEL=loud", "SIGNPOST_RELAY_URL=http://relay.example.com", "SIGNPOST_HANDLING_ATTEMPTS=0"),
		Flags:   map[string]string{"shutdown.budget": "never", "shutdown.buget": "1s"},
	})
	want := []string{
		"flag shutdown.budget bad-duration", "flag shutdown.buget unknown-key",
		"env SIGNPOST_HANDLING_ATTEMPTS out-of-range", "env SIGNPOST_LOG_LEVEL bad-choice", "env SIGNPOST_RELAY_URL bad-url",
		"c.yaml:2:12 bad-duration",
	}
	if diff := cmp.Diff(want, rulesOf(found)); diff != "" {
		t.Error(diff)
	}
	if got := found[3].String(); !strings.HasPrefix(got, `env SIGNPOST_LOG_LEVEL: bad-choice: "loud" is not one of the choices; `) {
		t.Errorf("got %q", got)
	}
	err := found.Err()
	if ExitCode(err) != ExitConfig || strings.Count(err.Error(), "\n") != len(found)-1 {
		t.Errorf("got exit code %d of %v", ExitCode(err), err)
	}
}

func TestWithoutFile(t *testing.T) {
	t.Parallel()
	_, found := LoadConfig(Source{})
	want := []string{"configuration missing-project", "configuration missing-token", "configuration no-contexts"}
	got := rulesOf(found)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cfg, found := LoadConfig(Source{Environ: credentials(), ContextsInCode: true})
	if cfg == nil || len(found) > 0 {
		t.Errorf("contexts in code: got %s", found)
	}
	cfg, found = LoadConfig(Source{NoCredentials: true, ContextsInCode: true})
	if cfg == nil || len(found) > 0 {
		t.Errorf("no credentials: got %s", found)
	}
}

// failing is a file that cannot be read.
type failing struct{ fs.File }

func (failing) Read([]byte) (int, error) { return 0, errors.New("input/output error") }

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	there := files{"dir/x": {}, "big": {Data: make([]byte, maxConfigBytes+1)}, "ok": {Data: []byte(oneContext)}}
	for path, tc := range map[string]struct {
		open       func(string) (fs.File, error)
		what, mend string
	}{
		"none": {there.open, "there is no such file", "name an existing file"},
		"dir":  {there.open, "it is a directory", "name the file in it"},
		"big":  {there.open, "it is too large", "another one"},
		"private": {func(name string) (fs.File, error) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}, "no permission", "let the user"},
		"ok": {func(name string) (fs.File, error) {
			f, err := there.open(name)
			return failing{f}, err
		}, "input/output error", "readable file"},
	} {
		cfg, found := LoadConfig(Source{Path: path, Environ: credentials(), Open: tc.open})
		if cfg != nil || len(found) != 1 {
			t.Errorf("%s: got %v", path, found)
			continue
		}
		if got := found[0]; got.Rule != "unreadable-file" || got.Place != (Place{File: path}) ||
			!strings.Contains(got.Message, tc.what) || !strings.Contains(got.Mend, tc.mend) {
			t.Errorf("%s: got %s, want %q and %q", path, got, tc.what, tc.mend)
		}
	}
}

func TestForeignEncodings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		"utf-16":         {"\xff\xfeb\x00:\x00", "c.yaml:1:1 bad-encoding"},
		"latin-1":        {"brand: ok\nlog: {level: caf\xe9}\n", "c.yaml:2:17 bad-encoding"},
		"nul":            {"brand: é\x00\n", "c.yaml:1:9 bad-encoding"},
		"old mac":        {"brand: x\rlog: {}\n", "c.yaml:1:9 bad-encoding"},
		"whitespace":     {" \n\n", "c.yaml:1:1 empty-file"},
		"nothing":        {"", "c.yaml:1:1 empty-file"},
		"byte order":     {"\ufeffbrnd: x\n" + oneContext, "c.yaml:1:1 unknown-key"},
		"windows breaks": {"brand: x\r\nbrnd: x\r\n" + oneContext, "c.yaml:2:1 unknown-key"},
		"wide letters":   {"log: {level: info, \"größe\": 1, levl: x}\n" + oneContext, "c.yaml:1:20 unknown-key c.yaml:1:32 unknown-key"},
	} {
		_, found := LoadConfig(Source{Path: "c.yaml", Text: []byte(tc.text), Environ: credentials()})
		if got := strings.Join(rulesOf(found), " "); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestAliasBomb(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a: &l0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 12 {
		fmt.Fprintf(&b, "b%d: &l%d [%s*l%d]\n", i, i+1, strings.Repeat(fmt.Sprintf("*l%d, ", i), 9), i)
	}
	_, found := load(t, b.String())
	if len(found) != 1 || found[0].Rule != "too-complex" {
		t.Errorf("got %v", found)
	}
	deep := "a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200)
	if _, found := load(t, deep); len(found) != 1 || found[0].Rule != "too-complex" {
		t.Errorf("deep: got %v", found)
	}
}

func TestExpansion(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`${A}`:                        "a",
		`x${A}y${B}z`:                 "xay${A}z", // what a variable holds is not expanded again
		`${NONE:-d}`:                  "d",
		`${EMPTY:-d}`:                 "d",
		`${EMPTY}`:                    "",
		`${NONE:-}`:                   "",
		`${NONE:-x ${A} ${NONE:-y}}.`: "x a y.",
		`$${A}`:                       "${A}",
		`$A $ {A} $`:                  "$A $ {A} $",
		`${YAML}`:                     "k: [v, 'w']\n# no comment",
		`${NULL}`:                     "null",
		`${NUMBER}`:                   "007",
	} {
		cfg := mustLoadBrand(t, value, "A=a", "B=${A}", "EMPTY=", "YAML=k: [v, 'w']\n# no comment", "NULL=null", "NUMBER=007")
		if cfg != want {
			t.Errorf("%s: got %q, want %q", value, cfg, want)
		}
	}
}

// mustLoadBrand gives what a plain value becomes. It does not mind the findings of the whole:
// a brand with a line break is refused, later.
func mustLoadBrand(t *testing.T, value string, env ...string) string {
	t.Helper()
	l := newLoader(Source{Path: "c.yaml", Text: []byte("brand: " + value + "\n"), Environ: env}, nil)
	l.readFile()
	if len(l.findings) > 0 {
		t.Errorf("%s: %s", value, l.findings)
	}
	return l.cfg.Brand
}

// A key that a higher layer sets does not need the variables that the file would have used.
func TestOverriddenVariablesMayBeUnset(t *testing.T) {
	t.Parallel()
	src := Source{
		Path:    "c.yaml",
		Text:    []byte("signalwire: {project: '${NOWHERE}', token: '${NOWHERE}'}\nbrand: ${NOWHERE}\n" + oneContext),
		Environ: credentials("SIGNPOST_BRAND=Example"),
	}
	if cfg, found := LoadConfig(src); cfg == nil || len(found) > 0 {
		t.Errorf("got %s", found)
	}
	src.Environ = []string{"SIGNPOST_BRAND=Example"}
	_, found := LoadConfig(src)
	if diff := cmp.Diff([]string{"c.yaml:1:24 unset-variable", "c.yaml:1:45 unset-variable"}, rulesOf(found)); diff != "" {
		t.Error(diff)
	}
	src.NoCredentials = true
	if cfg, found := LoadConfig(src); cfg == nil || len(found) > 0 {
		t.Errorf("without credentials: got %s", found)
	}
}

// The file asks for the token by a variable, and the environment gives the credentials in
// another way: that replaces the token, so that its variable is not needed.
func TestUnsetTokenIsReplacedByAnyOtherWay(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		{"SIGNALWIRE_PROJECT_ID=p", "SIGNPOST_SIGNALWIRE_TOKEN_FILE=/etc/token"},
		{"SIGNALWIRE_PROJECT_ID=p", "CREDENTIALS_DIRECTORY=/etc"},
		{"SIGNALWIRE_JWT_TOKEN=jwt"},
		{"SIGNPOST_SIGNALWIRE_JWT_FILE=/etc/token"},
	} {
		cfg, found := LoadConfig(Source{
			Path: "c.yaml", Environ: env,
			Text: []byte("signalwire: {project: '${SIGNALWIRE_PROJECT_ID}', token: '${SIGNALWIRE_API_TOKEN}'}\n" + oneContext),
			Open: files{"etc/token": {Data: []byte("secret-token"), Mode: 0o600}}.open,
		})
		if cfg == nil || len(found) > 0 {
			t.Errorf("%q: got %s", env, found)
		} else if cfg.SignalWire.Token+cfg.SignalWire.JWT == "" {
			t.Errorf("%q: there are no credentials", env)
		}
	}
}

func TestSpaceURL(t *testing.T) {
	t.Parallel()
	for space, want := range map[string]string{
		"":                               "",
		"example":                        "https://example.signalwire.com",
		"example.signalwire.com":         "https://example.signalwire.com",
		"https://sw.example.com/":        "https://sw.example.com",
		"http://127.0.0.1:7000":          "http://127.0.0.1:7000",
		"localhost":                      "https://localhost",
		"localhost:7000":                 "https://localhost:7000",
		"https://example.signalwire.com": "https://example.signalwire.com",
	} {
		if got := (SignalWireConfig{Space: space}).SpaceURL(); got != want {
			t.Errorf("%q: got %q, want %q", space, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"url", "insecure", "ca_file", "timeout", "reply", "relay"}
	for name, want := range map[string]string{
		"ulr": "url", "urls": "url", "cafile": "ca_file", "CA-File": "ca_file", "insecrue": "insecure",
		"tiemout": "timeout", "replay": "reply", "x": "", "": "", "uuuu": "", "frobnicate": "", "ca": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestRangesHoldDefaults(t *testing.T) {
	t.Parallel()
	cfg, ranged := DefaultConfig(), 0
	for _, k := range keys() {
		bounds := k.tag.Get("range")
		if (k.kind == reflect.TypeFor[time.Duration]() || k.kind.Kind() == reflect.Int) && k.kind != reflect.TypeFor[slog.Level]() && bounds == "" {
			t.Errorf("%s has no range", k.path)
		}
		if bounds == "" {
			continue
		}
		ranged++
		v, _ := fieldAt(reflect.ValueOf(&cfg).Elem(), k.path)
		if least, most := rangeOf(k.kind, bounds); least > most || v.Int() < least || v.Int() > most || least <= 0 && !zeroMeansNone(k.path) {
			t.Errorf("%s: %d is not within %s, or the range holds 0, which the engine reads as its own default", k.path, v.Int(), bounds)
		}
	}
	if ranged == 0 {
		t.Error("no key has a range")
	}
}

// zeroMeansNone names the keys at which 0 is a value of its own.
func zeroMeansNone(path string) bool {
	return slices.Contains([]string{"sending.budget.segments", "sending.budget.messages", "sending.duplicates.window", "sending.replicas", "sending.reply_window"}, path)
}

func TestDurationsInDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30d": 30 * day, "1d12h": 36 * time.Hour, "36500d": 36500 * day, "90m": 90 * time.Minute,
		"d": 0, "-1d": 0, "1.5d": 0, "1d-2h": 0, "1d+2h": 0, "1d2": 0, "1dd": 0, "999999999d": 0, "106751d24h": 0, "99999999999999999999d": 0,
	} {
		var got time.Duration
		p := setDuration(&got, text)
		if got != want || (p == nil) != (want != 0) {
			t.Errorf("%s: got %v and %v, want %v", text, got, p, want)
		}
	}
}
