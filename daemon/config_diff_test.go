package daemon

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	const base = `
brand: One
contexts:
  support: {handlers: [{keyword: {words: [A, B], reply: x}}], states: [on_state]}
  sales: {handlers: [{reply: y}]}
`
	for name, tc := range map[string]struct {
		text            string
		env             []string
		restart, reload []string
	}{
		"nothing":    {text: base},
		"style only": {text: strings.NewReplacer("{words: [A, B], reply: x}", `{"reply": 'x', words: [ "A", 'B' ]}`).Replace(base) + "log: {level: info}\n"},
		"reloadable": {
			text:   strings.Replace(base, "One", "Two", 1) + "log: {level: debug}\n",
			reload: []string{"log.level", "brand"},
		},
		"restart": {
			text:    base + "relay: {url: 'wss://relay.example.com/'}\nstore: sqlite:///a.db\nhttp: {listen: ''}\nsignalwire: {space: example.signalwire.com}\nlog: {format: json}\n",
			restart: []string{"signalwire.space", "relay.url", "store", "http.listen", "log.format"},
		},
		"contexts": {
			text:   strings.NewReplacer("[A, B]", "[B, A]", "  sales: {handlers: [{reply: y}]}\n", "  billing: {handlers: [{reply: y}], states: [on_state]}\n").Replace(base),
			reload: []string{"contexts.billing.handlers", "contexts.billing.states", "contexts.support.handlers", "contexts.sales.handlers", "contexts.sales.states"},
		},
		"states": {text: strings.Replace(base, "[on_state]", "[{on_state: {log: error}}]", 1), reload: []string{"contexts.support.states"}},
		"secret": {text: base, env: []string{"SIGNPOST_HTTP_TOKEN=sixteen-or-more-letters"}, restart: []string{"http.token"}},
		"sending": {
			text: base + "sending: {numbers: [{number: '+12025550123', campaign: C}], campaigns: [{id: C}], caps: [], countries: [GB], rates: {10dlc: 5/s}, in_doubt: {wait: 61s}}\n" +
				"quiet_hours: {preset: custom, windows: '09:00-12:00', states: {FL: '09:00-11:00'}}\n",
			restart: []string{"sending.in_doubt.wait"},
			reload: []string{
				"sending.rates.10dlc", "quiet_hours.preset", "quiet_hours.windows",
				"sending.numbers", "sending.campaigns", "sending.caps", "sending.countries", "quiet_hours.states",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := mustLoad(t, base), mustLoad(t, tc.text, tc.env...)
			if diff := cmp.Diff(Changes{Restart: tc.restart, Reload: tc.reload}, Diff(old, next)); diff != "" {
				t.Error(diff)
			}
			if got := Diff(next, next); got.Restart != nil || got.Reload != nil {
				t.Errorf("differs from itself: %v", got)
			}
		})
	}
}

// The password in a store's URL is not shown, and yet its change is one.
func TestDiffSeesWhatIsNotShown(t *testing.T) {
	t.Parallel()
	a := mustLoad(t, "store: sqlite:///a.db?key=one\nsending: {numbers: [{number: '+12025550123'}]}\n"+oneContext)
	b := mustLoad(t, "store: sqlite:///a.db?key=two\nsending: {numbers: [{number: '+12025559923'}]}\n"+oneContext)
	if diff := cmp.Diff(Changes{Restart: []string{"store"}, Reload: []string{"sending.numbers"}}, Diff(a, b)); diff != "" {
		t.Error(diff)
	}
}

// The same of the secret of a handler, which a public hash must not tell.
func TestSecretOfAHandlerIsNotHashed(t *testing.T) {
	t.Parallel()
	with := func(secret string) *Config {
		return mustLoad(t, "contexts: {support: {handlers: [{forward: {url: 'http://127.0.0.1', secret: "+secret+"}}]}}\n")
	}
	a, b := with("one"), with("two")
	if a.Hash() != b.Hash() {
		t.Error("another secret has another hash, from which it could be guessed")
	}
	if diff := cmp.Diff(Changes{Reload: []string{"contexts.support.handlers"}}, Diff(a, b)); diff != "" {
		t.Error(diff)
	}
}

// TestEveryKeyCounts changes each key in turn: none is forgotten by Hash, Diff and String.
func TestEveryKeyCounts(t *testing.T) {
	t.Parallel()
	base := DefaultConfig()
	base.SignalWire.Token, base.SignalWire.JWT, base.HTTP.Token = "a", "b", "c"
	for _, k := range keys() {
		other := base
		v, _ := fieldAt(reflect.ValueOf(&other).Elem(), k.path)
		switch x := v.Interface().(type) {
		case bool:
			v.SetBool(!x)
		case time.Duration:
			v.SetInt(int64(x + time.Second))
		default:
			if v.CanInt() {
				v.SetInt(v.Int() + 1)
			} else {
				v.SetString(v.String() + "x")
			}
		}
		got := Diff(&base, &other)
		if !slices.Equal(slices.Concat(got.Restart, got.Reload), []string{k.path}) {
			t.Errorf("%s: got %v", k.path, got)
		}
		reloads := slices.ContainsFunc([]string{
			"log.level", "brand", "retention.texts", "quiet_hours.", "sending.limits", "sending.rates.", "sending.budget.",
			"sending.duplicates.", "sending.replicas", "sending.reply_window", "sending.smart_encoding", "sending.trial_prefix",
			"consent.contact", "consent.language", "consent.opt_", "consent.help_message",
		}, func(p string) bool { return strings.HasPrefix(k.path, p) })
		if reloads != (len(got.Reload) == 1) {
			t.Errorf("%s: takes effect on reload: %v", k.path, !reloads)
		}
		if base.Hash() == other.Hash() != isSecret(k.path) {
			t.Errorf("%s: same hash: %v", k.path, base.Hash() == other.Hash())
		}
		if !strings.Contains("\n"+other.String(), "\n"+k.path+": ") {
			t.Errorf("%s is not printed", k.path)
		}
	}
}

func isSecret(path string) bool {
	return slices.Contains([]string{"signalwire.token", "signalwire.jwt", "http.token"}, path)
}

func TestHash(t *testing.T) {
	t.Parallel()
	a := mustLoad(t, oneContext)
	for range 5 {
		if b := mustLoad(t, "# a comment\n"+oneContext); a.Hash() != b.Hash() {
			t.Fatal("the same configuration has two hashes")
		}
	}
	if b := mustLoad(t, strings.Replace(oneContext, "Thank you", "Thanks", 1)); a.Hash() == b.Hash() {
		t.Error("another reply has the same hash")
	}
	if h := a.Hash(); h == 0 || uint64(float64(h)) != h {
		t.Errorf("%d does not fit into a metric", h)
	}
}

func TestShortDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 10 * time.Minute: "10m", 168 * time.Hour: "168h", 90 * time.Second: "1m30s",
		time.Hour + time.Second: "1h0m1s", 70 * time.Minute: "1h10m", 0: "0s", 1500 * time.Millisecond: "1.5s", 20 * time.Hour: "20h",
	} {
		got := shortDuration(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("got %q, want %q, reads as %v", got, want, back)
		}
	}
}
