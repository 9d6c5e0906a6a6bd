package daemon

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
)

// sendPath is the platform's path to send a message.
const sendPath = "/api/messaging/messages"

// submit sends a message through the platform's path.
func submit(h http.Handler, body string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequest("POST", sendPath, strings.NewReader(body))
	req.Host = "127.0.0.1:8377"
	for _, e := range edit {
		e(req)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// decoded reads an answer with the status.
func decoded[T any](t *testing.T, w *httptest.ResponseRecorder, status int) (v T) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("got %d %s, want %d", w.Code, w.Body, status)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const greeting = `{"from": "` + ourNumber + `", "to": "` + person + `", "body": "hello from the API"}`

// TestAPISendsThroughTheGate sends what code written for the platform sends, once per key,
// sees it delivered, and sends nothing to somebody who said STOP.
func TestAPISendsThroughTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startDaemon(t, newSpace(t), serving("support"))
		r.waitReady()
		key := func(req *http.Request) { req.Header.Set("Idempotency-Key", "greeting-1") }
		answers := make([]string, 100)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = submit(r.http, greeting, key).Body.String() })
		}
		wg.Wait()
		if n := len(slices.Compact(answers)); n != 1 {
			t.Errorf("%d answers to one key, such as %s", n, answers[0])
		}
		r.expectReply("hello from the API")
		time.Sleep(5 * time.Second) // the delivery states
		synctest.Wait()
		if got := r.replies(); len(got) != 1 {
			t.Errorf("the person has %q", got)
		}
		var m api.PlatformMessage
		if err := json.Unmarshal([]byte(answers[0]), &m); err != nil {
			t.Fatal(err, answers[0])
		}
		got := decoded[api.PlatformMessage](t, ask(r.http, "GET", sendPath+"/"+m.ID), http.StatusOK)
		if m.Status != "queued" || got.Status != "delivered" {
			t.Errorf("it was %s, and is %s", m.Status, got.Status)
		}

		r.text("support", "STOP")
		time.Sleep(5 * time.Second) // the confirmation
		synctest.Wait()
		never := decoded[api.PlatformMessage](t, submit(r.http, greeting), http.StatusCreated)
		if never.Status != "failed" || never.ErrorCode == nil || *never.ErrorCode != "opted_out" || !strings.Contains(*never.ErrorMessage, "STOP") {
			t.Errorf("to somebody who said STOP: %+v", never)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.replies(); len(got) != 2 {
			t.Errorf("after STOP the person has %q", got)
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
}

// TestPlatformsCredentialsOpenItsPathsAlone lets code that was written for the platform in
// with what it has, and nowhere else.
func TestPlatformsCredentialsOpenItsPathsAlone(t *testing.T) {
	t.Parallel()
	h := endpoints(t, HTTPConfig{Listen: "0.0.0.0:8377", Token: "correct horse battery staple"})
	basic := func(name, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, password) }
	}
	for name, tc := range map[string]struct {
		edit func(*http.Request)
		want int
	}{
		"nothing":               {func(*http.Request) {}, http.StatusUnauthorized},
		"project and token":     {basic(simProject, simToken), http.StatusOK},
		"another project":       {basic("other", simToken), http.StatusUnauthorized},
		"another token":         {basic(simProject, "other"), http.StatusUnauthorized},
		"the token as a bearer": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+simToken) }, http.StatusUnauthorized},
		"ours":                  {basic("anybody", "correct horse battery staple"), http.StatusOK},
		"no scheme":             {func(r *http.Request) { r.Header.Set("Authorization", "correct horse battery staple") }, http.StatusUnauthorized},
	} {
		w := ask(h, "GET", "/api/messaging/logs", tc.edit)
		if w.Code != tc.want {
			t.Errorf("%s: got %d, want %d", name, w.Code, tc.want)
		}
		if w.Code == http.StatusUnauthorized {
			decoded[api.PlatformErrors](t, w, http.StatusUnauthorized)
		}
		if w := ask(h, "GET", "/v1/messages", tc.edit); name == "project and token" && w.Code != http.StatusUnauthorized {
			t.Errorf("%s opened our own paths: %d", name, w.Code)
		}
	}
	for _, path := range []string{"/api/messaging/", "/api/messaging/brands", "/api/messaging/messages/a/b"} {
		if w := ask(h, "GET", path, basic(simProject, simToken)); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"errors"`) {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
}
