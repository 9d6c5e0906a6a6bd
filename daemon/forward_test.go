package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

// A webhook handler behind forward: it fails once, answers at the second attempt, and hears
// of the delivery of what it answered, under the id of the send.
func TestForwardServesAWebhookHandler(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 100)
	failed := false
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p struct {
			MessageID string `json:"message_id"`
			Body      string
			Status    string
		}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		seen <- r.URL.Path + " " + p.Status + p.Body + " " + p.MessageID
		if p.Body == "HOURS" && !failed {
			failed = true
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		if p.Body != "" {
			fmt.Fprintf(w, `{"reply": "You said %s"}`, p.Body)
		}
	}))
	t.Cleanup(endpoint.Close)
	r := startDaemon(t, newSpace(t), func(r *contexts.Router) {
		r.Context("support", func(r *contexts.Router) {
			r.With(handlers.Forward(endpoint.URL + "/incoming")).OnMessage(handlers.Ignore())
			r.With(handlers.Forward(endpoint.URL + "/status")).OnState(handlers.Ignore())
		})
	})
	r.waitReady()
	r.text("support", "HOURS")
	r.expectReply("You said HOURS")
	if got, want := r.replies(), 1; len(got) != want {
		t.Errorf("replies: got %q, want %d", got, want)
	}
	var ids []string
	for deadline := time.After(time.Minute); ; {
		var line string
		select {
		case line = <-seen:
		case <-deadline:
			t.Fatalf("delivered was not told\n%s", r.log)
		}
		var path, what, id string
		fmt.Sscan(line, &path, &what, &id)
		ids = append(ids, id)
		if path == "/status" && what == "delivered" {
			break
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("the two attempts: got the message ids %q and %q, want one", ids[0], ids[1])
	}
	last := ids[len(ids)-1]
	life, err := r.store.(messaging.Archive).Life(t.Context(), last)
	if err != nil || len(life.Sends) != 1 || life.Sends[0].Send.ID.String() != last {
		t.Errorf("the state names %q and not the send: %v, %+v", last, err, life)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v\n%s", err, r.log)
	}
}
