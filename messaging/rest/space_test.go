package rest_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging/rest"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// TestAgainstSimulatedSpace asks the simulator, which was written from the same page by
// somebody else.
func TestAgainstSimulatedSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		space := relaytest.NewServer(t, relaytest.InMemory, func(c *relaytest.Config) {
			c.Credentials = map[string]string{"p1": "t1"}
			c.StateDelay = time.Second
		})
		client := func(token rest.Secret) *rest.Client {
			c, err := rest.New(rest.Config{
				Space: space.HTTPURL(), Insecure: true, Project: "p1", Token: token, HTTP: space.Client(), Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := client("t1")
		const ours, theirs = "+12025550199", "+12025550101"
		ctx := t.Context()
		send := func(to, body string) *rest.Message {
			t.Helper()
			m, err := c.Create(ctx, rest.NewMessage{To: to, From: ours, Body: body})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		began := time.Now()
		first := send(theirs, "one")
		if first.Status != "queued" || first.Direction != "outbound" || first.Segments != 1 || first.Body != "one" || !first.CreatedAt.Equal(began.Truncate(time.Second)) {
			t.Errorf("created: got %+v", first)
		}
		send("+12025550102", "to another")
		time.Sleep(1300 * time.Millisecond)
		second := send(theirs, "two")
		time.Sleep(5 * time.Second)
		third := send(theirs, "three")
		time.Sleep(time.Minute)

		got, err := c.OutboundBetween(ctx, []rest.Pair{{From: ours, To: theirs}}, began, began.Add(2*time.Second))
		if err != nil || len(got) != 2 || got[0].ID != first.ID || got[1].ID != second.ID {
			t.Errorf("the first two: got %+v, %v", got, err)
		}
		ids := ""
		for e, err := range c.Logs(ctx, rest.LogQuery{PageSize: 1}, 9) {
			if err != nil {
				t.Fatal(err)
			}
			ids += e.ID + " "
		}
		if strings.Count(ids, " ") != 4 || !strings.HasPrefix(ids, third.ID+" "+second.ID+" ") || !strings.Contains(ids, first.ID) {
			t.Errorf("the log: got %s", ids)
		}
		e, err := c.Log(ctx, first.ID)
		if err != nil || e.Status != "delivered" || !e.Outbound() || e.Source != "realtime_api" || e.Type != "relay_message" {
			t.Errorf("the entry: got %+v, %v", e, err)
		}
		if m, err := c.Redact(ctx, first.ID); err != nil || m.Body != "" {
			t.Errorf("redacted: got %+v, %v", m, err)
		}

		var refused *rest.Error
		if _, err := c.Redact(ctx, send(theirs, "on its way").ID); !errors.As(err, &refused) || refused.Status != 422 || !refused.HasCode("cannot_redact_in_progress_message") {
			t.Errorf("redact too early: got %v", err)
		}
		if _, err := c.Create(ctx, rest.NewMessage{To: "nobody", From: ours, Body: "x"}); !errors.As(err, &refused) || !refused.HasCode("invalid_to_number") || refused.Problems[0].Attribute != "to" {
			t.Errorf("a bad number: got %v", err)
		}
		if _, err := c.Log(ctx, "nothing"); !errors.As(err, &refused) || refused.Status != http.StatusNotFound || refused.Temporary() {
			t.Errorf("no such entry: got %v", err)
		}
		if _, err := client("wrong").Log(ctx, first.ID); !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			t.Errorf("a wrong token: got %v", err)
		}
	})
}
