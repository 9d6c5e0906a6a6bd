package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// webhook is a handler of somebody's own that answers in what it returns, and keeps what it
// was posted.
func webhook(t *testing.T) (url string, posted <-chan string) {
	t.Helper()
	seen := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		seen <- r.URL.Path + " " + r.Header.Get("Signpost-Signature") + " " + string(text)
		if r.URL.Path == "/incoming-sms" {
			fmt.Fprint(w, `{"reply": "heard"}`)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, seen
}

func TestListenForwardsAndShows(t *testing.T) {
	t.Parallel()
	space := socketSpace(t)
	url, posted := webhook(t)
	// Its lines are on standard output; a shell puts them where launch reads.
	p := launch(t, space, "sh", "-c", "exec signpost listen --context support --context sales --listen "+freeAddr(t)+
		" --secret 0123456789abcdef --forward-to "+url+"/incoming-sms --states-to "+url+"/message-status >&2")
	p.expect("Listening on support, sales. Messages go to " + url + "/incoming-sms, delivery states to")
	p.expect("SIGNALWIRE_SPACE_URL=http://127.0.0.1:")
	if _, err := space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: "sales", Body: "hello"}, relaytest.Target{}); err != nil {
		t.Fatal(err)
	}
	p.expect(`< ` + person + ` sales "hello": forwarded`)
	p.expect(" delivered")
	expectText(t, space, "heard")
	first, state := <-posted, <-posted
	if !strings.HasPrefix(first, "/incoming-sms ") || !strings.Contains(first, `"body":"hello"`) || strings.HasPrefix(first, "/incoming-sms  ") {
		t.Errorf("posted, signed: %s", first)
	}
	if !strings.HasPrefix(state, "/message-status ") || !strings.Contains(state, `"status":"`) {
		t.Errorf("posted: %s", state)
	}
	p.signal(syscall.SIGTERM)
	if code, said := p.exit(); code != ExitOK {
		t.Errorf("exit code %d:\n%s", code, said)
	}
}

// While the handler is not there, a person is told, and the message waits for it.
func TestListenShowsWhatWaits(t *testing.T) {
	t.Parallel()
	space := socketSpace(t)
	away := freeAddr(t)
	p := launch(t, space, "sh", "-c", "exec signpost listen --json --context support --listen "+freeAddr(t)+" --forward-to http://"+away+"/ >&2")
	if _, err := space.WaitSessionFunc(t.Context(), func(s *relaytest.Session) bool { return len(s.Contexts()) > 0 }); err != nil {
		t.Fatal(err)
	}
	if _, err := space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: "support", Body: "hello"}, relaytest.Target{}); err != nil {
		t.Fatal(err)
	}
	line := p.expect(`"event":"message"`)
	var h heard
	if err := json.Unmarshal([]byte(line), &h); err != nil || h.Fate != "retry" || h.RetryAt == nil || !strings.Contains(h.Reason, "refused") {
		t.Errorf("got %s, %v; want a retry that says why", line, err)
	}
	p.signal(syscall.SIGTERM)
	_, _ = p.exit()
}
