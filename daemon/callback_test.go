package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
)

// listener is the other end of callbacks.
type listener struct {
	mu     sync.Mutex
	heard  []api.Callback
	tried  int
	answer func(tried int) (int, error) // nil: 200
}

func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried++
	status := http.StatusOK
	if l.answer != nil {
		if status, err = l.answer(l.tried); err != nil {
			return nil, err
		}
	}
	if status == http.StatusOK {
		var c api.Callback
		if err := json.Unmarshal(body, &c); err != nil || r.Header.Get("Idempotency-Key") != c.ID+"-"+c.Status {
			return nil, errors.New("no callback: " + string(body))
		}
		l.heard = append(l.heard, c)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("ok")), Request: r}, nil
}

func (l *listener) statuses(id string) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.heard {
		if c.ID == id && c.MessageID == id {
			all = append(all, c.Status)
		}
	}
	return all
}

const withCallback = `{"from": "` + ourNumber + `", "to": "` + person + `", "body": "hello", "status_callback": "http://127.0.0.1:5000/status?key=x", "custom_variables": {"order": "17"}}`

// told is what a send's callback is told until its last word.
func (r *running) told(l *listener, body string) []string {
	r.t.Helper()
	m := decoded[api.PlatformMessage](r.t, submit(r.http, body), http.StatusCreated)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	return l.statuses(m.ID)
}

// TestCallbacksTellEachStateInOrder hears what becomes of a send, also if the endpoint fails
// in between, each at least once and in order.
func TestCallbacksTellEachStateInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{}
		r := startDaemon(t, newSpace(t), serving("support"))
		r.callbacks.client.Transport = l
		r.waitReady()
		whole := []string{"sending", "sent", "delivered"}
		if diff := cmp.Diff(whole, r.told(l, withCallback)); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if c := l.heard[2]; c.CustomVariables["order"] != "17" || c.Body != "hello" || c.To != person || c.ErrorCode != nil || c.Timestamp.IsZero() || c.NumberOfSegments != 1 {
			t.Errorf("the last: %+v", c)
		}
		// Broken, refused and dead for a while.
		l.answer = func(tried int) (int, error) {
			switch tried % 4 {
			case 0:
				return 500, nil
			case 1:
				return 404, nil
			case 2:
				return 0, errors.New("connection refused")
			}
			return 200, nil
		}
		if diff := cmp.Diff(whole, r.told(l, strings.Replace(withCallback, "hello", "hello again", 1))); diff != "" {
			t.Errorf("by an endpoint that fails (-want +got):\n%s", diff)
		}
		l.answer = nil
		// What no state tells: the send never left.
		r.text("support", "STOP")
		if diff := cmp.Diff([]string{"failed"}, r.told(l, strings.Replace(withCallback, "hello", "one more", 1))); diff != "" {
			t.Errorf("of a send that never left (-want +got):\n%s", diff)
		}
		if c := l.heard[len(l.heard)-1]; c.ErrorCode == nil || *c.ErrorCode != "opted_out" {
			t.Errorf("of a send that never left: %+v", c)
		}
		left, err := r.engine.Values(t.Context(), messaging.ValueQuery{Bucket: callbackBucket})
		if err != nil || len(left) != 0 || len(r.callbacks.watched) != 0 {
			t.Errorf("%d values and %d sends are left, %v", len(left), len(r.callbacks.watched), err)
		}
		if log := r.log.String(); strings.Contains(log, "key=x") {
			t.Error("the log has the callback's address")
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
}

// TestCallbacksGoOnAfterARestart tells what a former process had not told.
func TestCallbacksGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: func(tried int) (int, error) {
			if tried == 1 {
				return 200, nil // sending
			}
			return 503, nil
		}}
		r := startDaemon(t, newSpace(t), serving("support"))
		r.callbacks.client.Transport = l
		r.waitReady()
		m := decoded[api.PlatformMessage](t, submit(r.http, withCallback), http.StatusCreated)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"sending"}, l.statuses(m.ID)); diff != "" {
			t.Errorf("before (-want +got):\n%s", diff)
		}
		sending := r.callbacks.sending
		next := newCallbacks(r.engine, r.store.(messaging.Archive), sending, r.Daemon.log, prometheus.NewRegistry())
		again := &listener{}
		next.client.Transport = again
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { next.run(ctx) })
		time.Sleep(time.Minute)
		stop()
		run.Wait()
		if diff := cmp.Diff([]string{"sent", "delivered"}, again.statuses(m.ID)); diff != "" {
			t.Errorf("after (-want +got):\n%s", diff)
		}
		r.stop()
		<-r.ended
	})
}

// TestCallbacksGiveUp ends with a warning what can be told to nobody.
func TestCallbacksGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: func(int) (int, error) { return 410, nil }}
		r := startDaemon(t, newSpace(t), serving("support"))
		r.callbacks.client.Transport = l
		r.waitReady()
		decoded[api.PlatformMessage](t, submit(r.http, withCallback), http.StatusCreated)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.callbacks.watched) != 0 || !strings.Contains(r.log.String(), "given up") {
			t.Errorf("%d sends are looked after", len(r.callbacks.watched))
		}
		r.stop()
		<-r.ended
	})
}

func TestCallbacksCallWhomTheOperatorAllowed(t *testing.T) {
	t.Parallel()
	allow := []string{"hooks.example.com", "10.0.0.5:8080", "*.corp.example", "fd00::5"}
	for url, want := range map[string]bool{
		"http://127.0.0.1:5000/x":           true,
		"http://localhost/x":                true,
		"https://[::1]:9/x":                 true,
		"https://hooks.example.com/x":       true,
		"https://HOOKS.example.com:8443/x":  true,
		"http://10.0.0.5:8080/":             true,
		"https://a.corp.example/":           true,
		"http://[fd00::5]:80/":              true,
		"http://10.0.0.5:8081/":             false,
		"http://10.0.0.6:8080/":             false,
		"https://corp.example/":             false,
		"https://evilcorp.example/":         false,
		"https://hooks.example.com.evil.x/": false,
		"https://a@hooks.example.com/":      false,
		"ftp://hooks.example.com/":          false,
		"http:///x":                         false,
		"http:127.0.0.1/x":                  false,
		"hooks.example.com":                 false,
		"":                                  false,
		"http://169.254.169.254/latest":     false,
		"http://127.0.0.1.evil.example/":    false,
		"http://localhost.evil.example/":    false,
		"http://2130706433/":                false,
	} {
		if err := allowedCallback(url, allow); (err == nil) != want {
			t.Errorf("%q: got %v, want allowed: %v", url, err, want)
		}
	}
}
