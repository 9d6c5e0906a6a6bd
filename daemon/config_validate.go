package daemon

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signpost-sms/signpost/relay"
)

// validate looks at every value by itself and with its neighbours. Values that were reported
// already are left alone.
func (l *loader) validate() {
	l.checkRanges()
	l.checkCredentials()
	l.checkSpace()
	l.checkRelay()
	l.checkStore()
	l.checkHTTP()
	l.checkCallbacks()
	l.checkText("brand", l.cfg.Brand)
	l.checkConsent()
	l.checkTimes()
	l.checkNumbers()
	l.checkSending()
	l.checkQuietHours()
	l.checkMedia()
	l.checkTemplates()
	l.checkContexts()
}

// reported tells whether there is an error about the key already.
func (l *loader) reported(key string) bool {
	for _, f := range l.findings {
		if f.Severity == SeverityError && (f.Key == key || strings.HasPrefix(key, f.Key+".") && f.Key != "") {
			return true
		}
	}
	return false
}

// misspelt tells whether a key that is not known was reported in the section: it may be the
// one that is missed there.
func (l *loader) misspelt(section string) bool {
	return slices.ContainsFunc(l.findings, func(f Finding) bool {
		return f.Rule == "unknown-key" && parentKey(f.Key) == section
	})
}

// meant tells whether a misspelling of a section was reported: what is missing is not missing.
func (l *loader) meant(section string) bool {
	return slices.ContainsFunc(l.findings, func(f Finding) bool {
		return f.Rule == "unknown-key" && parentKey(f.Key) == "" && nearest(f.Key, []string{section}) != ""
	})
}

// checkRanges holds every number and duration against the range of its tag.
func (l *loader) checkRanges() {
	for _, k := range keys() {
		bounds := k.tag.Get("range")
		if bounds == "" || l.reported(k.path) {
			continue
		}
		v, _ := fieldAt(reflect.ValueOf(l.cfg).Elem(), k.path)
		least, most := rangeOf(k.kind, bounds)
		if got := v.Int(); got >= least && got <= most {
			continue
		}
		from, to, _ := strings.Cut(bounds, "..")
		mend := fmt.Sprintf("write %s to %s", from, to)
		if to == "" {
			mend = fmt.Sprintf("write %s or more", from)
		}
		l.errorAt(k.path, "out-of-range", fmt.Sprintf("%s is %s", lastOf(k.path), fmt.Sprint(v.Interface())), mend)
	}
}

// rangeOf reads a range tag: from..to, of durations or whole numbers. It panics on a wrong
// tag, which every load would meet.
func rangeOf(t reflect.Type, bounds string) (least, most int64) {
	parse := func(s string) int64 {
		if t == reflect.TypeFor[time.Duration]() {
			d, err := parseDuration(s)
			if err != nil {
				panic("daemon: range tag: " + err.Error())
			}
			return int64(d)
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic("daemon: range tag: " + err.Error())
		}
		return n
	}
	from, to, ok := strings.Cut(bounds, "..")
	if !ok {
		panic("daemon: range tag without ..: " + bounds)
	}
	most = 1<<63 - 1
	if to != "" {
		most = parse(to)
	}
	return parse(from), most
}

// The values of config.example.yaml where everybody has to put in their own.
const (
	placeholderProject = "your-project-id"
	placeholderToken   = "your-api-token"
)

func (l *loader) checkCredentials() {
	sw := &l.cfg.SignalWire
	if l.src.NoCredentials {
		return
	}
	secretTrouble := false
	for _, key := range []string{"signalwire.token", "signalwire.token_file", "signalwire.jwt", "signalwire.jwt_file"} {
		secretTrouble = secretTrouble || l.reported(key)
	}
	if sw.Project == "" && sw.JWT == "" && !l.reported("signalwire.project") && (!secretTrouble || sw.Token != "") {
		l.errorAt("signalwire.project", "missing-project", "there is no project id",
			"set signalwire.project or SIGNALWIRE_PROJECT_ID to the project id that your space's dashboard shows under API")
	}
	if sw.Token == "" && sw.JWT == "" && !secretTrouble {
		l.errorAt("signalwire.token", "missing-token", "there is no API token",
			"set signalwire.token, signalwire.token_file or SIGNALWIRE_API_TOKEN to an API token of the project (or signalwire.jwt)")
	}
	if strings.ContainsFunc(sw.Project, unicode.IsSpace) {
		l.errorAt("signalwire.project", "bad-project", "the project id has spaces in it", "copy it again; it is one word")
	}
	if sw.Project == placeholderProject {
		l.warnAt("signalwire.project", "placeholder", "the project is still the example's", "put in your own project id, or set SIGNALWIRE_PROJECT_ID")
	}
	if sw.Token.Reveal() == placeholderToken {
		l.warnAt("signalwire.token", "placeholder", "the token is still the example's", "put in your own API token, or set SIGNALWIRE_API_TOKEN")
	}
}

func (l *loader) checkSpace() {
	const key, example = "signalwire.space", "write it like example.signalwire.com"
	space := l.cfg.SignalWire.SpaceURL()
	if space == "" || l.reported(key) {
		return
	}
	u, err := url.Parse(space)
	switch {
	case err != nil, u.Hostname() == "", !isHostname(u.Hostname()):
		l.errorAt(key, "bad-space", "the space is not a host", example)
	case u.Scheme != "https" && u.Scheme != "http":
		l.errorAt(key, "bad-space", "the space is a URL that begins neither with https:// nor with http://", example)
	case u.User != nil:
		l.errorAt(key, "bad-space", "the space holds credentials", "move them to signalwire.project and signalwire.token, and "+example)
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		l.errorAt(key, "bad-space", "the space is more than a host", "remove what follows it, and "+example)
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && !l.cfg.Relay.Insecure:
		l.errorAt(key, "insecure-url", "http:// would send the token in the clear to another machine", "write https://, or set relay.insecure if that network is trusted")
	}
}

// isHostname accepts what can stand for a host: a name or an address.
func isHostname(s string) bool {
	if net.ParseIP(s) != nil {
		return true
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		for _, r := range label {
			if r != '-' && r != '_' && !(r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))) {
				return false
			}
		}
	}
	return len(s) <= 253
}

// checkRelay holds relay.url against what a session accepts. The URL is not repeated: a
// token may have been pasted into it.
func (l *loader) checkRelay() {
	const key, example = "relay.url", "write it like wss://relay.signalwire.com/"
	r := &l.cfg.Relay
	if !l.reported(key) {
		u, err := url.Parse(r.URL)
		switch {
		case err != nil:
			l.errorAt(key, "bad-url", "the URL cannot be parsed", example)
		case u.Scheme != "wss" && u.Scheme != "ws":
			l.errorAt(key, "bad-url", "the URL does not begin with wss:// (or ws:// on this machine)", example)
		case !isHostname(u.Hostname()):
			l.errorAt(key, "bad-url", "the URL names no host", example)
		case !isPort(u.Port(), true):
			l.errorAt(key, "bad-url", "the port of the URL is not a number from 1 to 65535", example)
		case u.User != nil:
			l.errorAt(key, "bad-url", "the URL holds credentials, which would be sent in a header", "move them to signalwire.project and signalwire.token")
		case u.Fragment != "":
			l.errorAt(key, "bad-url", "the URL has a fragment (#), which no server would see", "remove it")
		case holdsSecret(r.URL, l.cfg.SignalWire.Token, l.cfg.SignalWire.JWT):
			l.errorAt(key, "bad-url", "the URL contains the token", "remove it; the token travels in the first frame only")
		case u.Scheme == "ws" && !isLoopback(u.Hostname()) && !r.Insecure:
			l.errorAt(key, "insecure-url", "ws:// would send the token in the clear to another machine", "write wss://, or set relay.insecure: true if that network is trusted")
		case u.Scheme == "ws" && !isLoopback(u.Hostname()):
			l.warnAt(key, "insecure-url", "the token and every message cross the network in the clear", "write wss:// where the other side has TLS")
		}
	}
	if r.CAFile == "" || l.reported("relay.ca_file") {
		return
	}
	r.CAFile = l.path("relay.ca_file", r.CAFile)
	pem, _, err := l.read(r.CAFile, maxConfigBytes)
	switch {
	case err != nil:
		l.errorAt("relay.ca_file", "unreadable-file", fmt.Sprintf("ca_file %s: %v", quote(r.CAFile), reason(err)), "name a readable PEM file")
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		l.errorAt("relay.ca_file", "bad-ca", fmt.Sprintf("ca_file %s holds no certificate", quote(r.CAFile)), "it must be PEM, with BEGIN CERTIFICATE blocks")
	}
}

// holdsSecret reports whether one of the secrets stands in the text. Even of the shortest: the
// session refuses those too.
func holdsSecret(text string, secrets ...relay.Secret) bool {
	return slices.ContainsFunc(secrets, func(s relay.Secret) bool { return s != "" && strings.Contains(text, s.Reveal()) })
}

func isPort(s string, optional bool) bool {
	if s == "" {
		return optional
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// storeExamples show how the stores that this build can open are written, in the order of
// their schemes. What it cannot open is not advertised.
func storeExamples() []string {
	forms := map[string]string{
		"memory": "memory:", "sqlite": "sqlite:///path/to/signpost.db",
		"postgres": "postgres://user@host/name", "postgresql": "postgresql://user@host/name",
	}
	var examples []string
	for _, scheme := range slices.Sorted(maps.Keys(stores)) {
		form, known := forms[scheme]
		if !known {
			form = scheme + ":"
		}
		examples = append(examples, form)
	}
	return examples
}

// checkStore never repeats the URL: it may hold a password.
func (l *loader) checkStore() {
	const key = "store"
	if l.reported(key) {
		return
	}
	mend := "write " + orList(storeExamples())
	if l.cfg.Store == "memory" {
		l.cfg.Store = "memory:" // in YAML the colon needs quotes, which is easy to miss
	}
	u, err := url.Parse(l.cfg.Store.Reveal())
	if err != nil {
		l.errorAt(key, "bad-store", "the store is not a URL", mend)
		return
	}
	scheme := l.cfg.Store.Scheme()
	if scheme == "" {
		l.errorAt(key, "bad-store", "there is no store", mend)
		return
	}
	if _, known := stores[scheme]; !known || u.Scheme == "" {
		if near := nearest(u.Scheme, slices.Sorted(maps.Keys(stores))); near != "" {
			mend = "did you mean " + near + "? If so, " + mend
		}
		l.errorAt(key, "bad-store", "the store is of a kind that this build cannot open", mend)
		return
	}
	switch scheme {
	case "memory":
		if u.Opaque != "" || u.Host != "" || u.Path != "" {
			l.errorAt(key, "bad-store", "a store in memory has no name", "write memory:")
		}
	case "sqlite":
		if u.Host != "" {
			l.errorAt(key, "bad-store", "sqlite:// is followed by a host", "write three slashes before an absolute path: sqlite:///var/lib/signpost/signpost.db")
		} else if path := u.Path + u.Opaque; path == "" || strings.HasSuffix(path, "/") {
			l.errorAt(key, "bad-store", "sqlite: names no file", "write sqlite:///var/lib/signpost/signpost.db")
		}
	case "postgres", "postgresql":
		if u.Host == "" && u.Query().Get("host") == "" {
			l.errorAt(key, "bad-store", "postgres:// names no host", "write postgres://user@host/name")
		}
	}
}

// minHTTPToken is the length from which a token cannot be guessed over a network.
const minHTTPToken = 16

func (l *loader) checkHTTP() {
	const key, mend = "http.listen", `write it like 127.0.0.1:8377, or "" to turn it off`
	h := &l.cfg.HTTP
	if h.Token != "" && len(h.Token) < minHTTPToken && !l.reported("http.token") {
		l.warnAt("http.token", "short-token", fmt.Sprintf("the token has %d characters", len(h.Token)), fmt.Sprintf("use at least %d random ones", minHTTPToken))
	}
	if h.Listen == "" || l.reported(key) {
		return
	}
	host, port, err := net.SplitHostPort(h.Listen)
	switch {
	case err != nil && isPort(h.Listen, false):
		l.errorAt(key, "bad-address", "the address is a port without a host", "write 127.0.0.1:"+h.Listen)
	case err != nil && strings.Contains(h.Listen, "://"):
		l.errorAt(key, "bad-address", "the address is a URL", mend)
	case err != nil:
		l.errorAt(key, "bad-address", "the address is not host:port", mend)
	case port != "0" && !isPort(port, false):
		l.errorAt(key, "bad-address", "the port is not a number from 0 to 65535", mend)
	case host != "" && !isHostname(host):
		l.errorAt(key, "bad-address", "the host is neither a name nor an address", mend)
	case !isLoopback(host) && h.Token == "" && !l.reported("http.token") && !l.reported("http.token_file"):
		l.errorAt(key, "http-unprotected", "other machines can reach this address, and there is no token", "set http.token_file or SIGNPOST_HTTP_TOKEN, or listen on 127.0.0.1")
	}
}

// checkText finds characters that no text should have.
func (l *loader) checkText(key, text string) {
	if strings.ContainsFunc(text, unicode.IsControl) {
		l.errorAt(key, "bad-text", lastOf(key)+" has a line break or another control character in it", "write it on one line")
	}
}

// checkTimes finds settings that contradict each other.
func (l *loader) checkTimes() {
	doubt := l.cfg.Sending.InDoubt
	if doubt.Release < doubt.Wait && !l.reported("sending.in_doubt.release") && !l.reported("sending.in_doubt.wait") {
		l.errorAt("sending.in_doubt.release", "time-order", "release is shorter than wait: the conversation would go on before anybody looked", "make it at least as long as sending.in_doubt.wait")
	}
	if doubt.Settle < doubt.Wait && !l.reported("sending.in_doubt.settle") && !l.reported("sending.in_doubt.wait") {
		l.errorAt("sending.in_doubt.settle", "time-order", "settle is shorter than wait: the message log would be judged before it is asked", "make it at least as long as sending.in_doubt.wait")
	}
	if h := l.cfg.Handling; h.GiveUp < h.Timeout && !l.reported("handling.give_up") && !l.reported("handling.timeout") {
		l.errorAt("handling.give_up", "time-order", "give_up is shorter than timeout: a slow handler would never be tried again", "make it longer than handling.timeout")
	}
}

// ownNumber matches E.164 and short codes.
var ownNumber = regexp.MustCompile(`^(\+[1-9][0-9]{7,14}|[0-9]{5,6})$`)

// checkNumbers never repeats a number.
func (l *loader) checkNumbers() {
	seen := make(map[string]int)
	for i, n := range l.cfg.Sending.Numbers {
		item := fmt.Sprintf("sending.numbers[%d]", i)
		key := item + ".number"
		if l.reported(key) || l.reported(item) {
			continue
		}
		switch {
		case n.Number == "":
			l.errorAt(key, "missing-number", "an entry of numbers has no number", "write number: and the number with + and country code, or a short code")
		case !ownNumber.MatchString(string(n.Number)):
			l.errorAt(key, "bad-number", fmt.Sprintf("the number, of %d characters, is neither a plus with 8 to 15 digits nor a short code of 5 or 6", len(n.Number)), "write it with + and country code, without spaces")
		default:
			if first, twice := seen[string(n.Number)]; twice {
				l.errorAt(key, "duplicate-number", fmt.Sprintf("the number is the same as that of sending.numbers[%d]", first), "keep one of the two")
				continue
			}
			seen[string(n.Number)] = i
		}
	}
}

// maxContextName bounds the name of a context; the platform's labels are far shorter.
const maxContextName = 255

// handlerExample shows how a context is written.
const handlerExample = `contexts: {support: {handlers: [{reply: "Thank you"}]}}`

func (l *loader) checkContexts() {
	if l.reported("contexts") {
		return
	}
	if len(l.cfg.Contexts) == 0 && !l.src.ContextsInCode && !l.meant("contexts") {
		l.errorAt("contexts", "no-contexts", "there is no context, so that there is nothing to answer", "add one with a handler: "+handlerExample)
		return
	}
	for _, name := range l.cfg.ContextNames() {
		key := join("contexts", name)
		switch {
		case strings.TrimSpace(name) == "":
			l.errorAt(key, "bad-context", "a context has an empty name", "write the name that the phone number is bound to")
		case len(name) > maxContextName || strings.ContainsFunc(name, unicode.IsControl):
			l.errorAt(key, "bad-context", "the name of a context is too long or has a control character in it", "write the name that the phone number is bound to")
		case strings.TrimSpace(name) != name:
			l.warnAt(key, "context-spaces", "the name of the context begins or ends with a space", "remove it, unless the phone number is bound to a name with it")
		}
		if len(l.cfg.Contexts[name].Handlers) == 0 && !l.reported(key) && !l.reported(key+".handlers") && !l.misspelt(key) {
			l.errorAt(key, "no-handlers", fmt.Sprintf("context %s has no handlers", quote(name)), "list at least one under handlers, such as - reply: \"Thank you\"")
		}
	}
}
