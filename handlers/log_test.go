package handlers_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

const canary = "canary-4711"

func returns(err error) messaging.Handler {
	return messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error { return err })
}

func TestLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		next messaging.Handler
		want string // outcome
	}{
		{"answered", handlers.Reply("yes"), "answered"},
		{"media", messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
			w.ReplyMedia("", "https://example.com/a.png")
			return nil
		}), "answered"},
		{"sent", messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
			w.Send(messaging.Send{Body: "x"})
			return nil
		}), "answered"},
		{"nothing", handlers.Ignore(), "nothing"},
		{"error", returns(errors.New("boom")), "error"},
		{"drop", returns(messaging.Drop(errors.New("boom"))), "drop"},
		{"later", returns(messaging.RetryAfter(time.Minute, errors.New("boom"))), "retry_after"},
	} {
		var j journal
		ev := message(canary)
		rec, err := messagingtest.Run(handlers.Log(j.logger(slog.LevelInfo), slog.LevelInfo)(tt.next), ev)
		records := j.records(t)
		if len(records) != 1 {
			t.Fatalf("%s: got %d records, want 1: %s", tt.name, len(records), j.String())
		}
		r := records[0]
		if r["outcome"] != tt.want || r["event_id"] != ev.ID || r["context"] != "support" || r["level"] != "INFO" || r["body_len"] != float64(len(canary)) {
			t.Errorf("%s: got record %v, want outcome %s of the event", tt.name, r, tt.want)
		}
		if (r["err"] == nil) != (err == nil) {
			t.Errorf("%s: got err %v in the record of %v", tt.name, r["err"], err)
		}
		if tt.want == "answered" && len(rec.Sends()) != 1 {
			t.Errorf("%s: got %d sends through the log, want 1", tt.name, len(rec.Sends()))
		}
		for _, secret := range []string{canary, string(sender), string(ours)} {
			if strings.Contains(j.String(), secret) {
				t.Errorf("%s: the log holds %q: %s", tt.name, secret, j.String())
			}
		}
	}
}

func TestLogIsSilentBelowItsLevel(t *testing.T) {
	t.Parallel()
	var j journal
	h := handlers.Log(j.logger(slog.LevelInfo), slog.LevelDebug)(handlers.Reply("yes"))
	if got, want := reply(t, h, message("x")), "yes"; got != want || j.String() != "" {
		t.Errorf("debug log at level info: got %q and log %q, want %q and no log", got, j.String(), want)
	}
}

func TestLogTellsOfAPanicAndLetsItPass(t *testing.T) {
	t.Parallel()
	var j journal
	h := handlers.Recover(handlers.Log(j.logger(slog.LevelInfo), slog.LevelInfo)(messaging.HandlerFunc(
		func(context.Context, messaging.Responder, *messaging.Event) error { panic(canary) })))
	var p *messaging.PanicError
	if err := handle(t, h, message("x")); !errors.As(err, &p) {
		t.Fatalf("got %v, want the panic to reach Recover", err)
	}
	if r := j.records(t); len(r) != 1 || r[0]["outcome"] != "panic" || strings.Contains(j.String(), canary) {
		t.Errorf("got %s, want one record with outcome panic and without its value", j.String())
	}
}

func TestLogState(t *testing.T) {
	t.Parallel()
	var j journal
	h := handlers.LogState(j.logger(slog.LevelInfo), slog.LevelWarn, messaging.StateFailed)(passed)
	failed := state(messaging.StateFailed)
	failed.Reason = "30003 unreachable: +12025550123, (202) 555-0123, 202.555.0123"
	failed.Send = &messaging.SendRef{InReplyTo: "inbound-1"}
	for _, ev := range []*messaging.Event{failed, state(messaging.StateDelivered), message(canary)} {
		if got, want := reply(t, h, ev), "passed"; got != want {
			t.Errorf("%s: got %q, want it passed on", ev.ID, got)
		}
	}
	records := j.records(t)
	if len(records) != 1 {
		t.Fatalf("got %d records, want one for the failed state: %s", len(records), j.String())
	}
	r := records[0]
	if r["level"] != "WARN" || r["state"] != "failed" || r["event_id"] != failed.ID || r["in_reply_to"] != "inbound-1" || r["send_id"] == nil {
		t.Errorf("got record %v, want the failed state of the send", r)
	}
	if got, want := r["reason"], "30003 unreachable: +*********23, (***) ***-**23, ***.***.**23"; got != want {
		t.Errorf("reason: got %q, want %q", got, want)
	}
}

func TestOnState(t *testing.T) {
	t.Parallel()
	special := messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, _ *messaging.Event) error {
		w.Reply("special")
		return nil
	})
	some := handlers.OnState(special, messaging.StateFailed, messaging.StateUndelivered)(passed)
	all := handlers.OnState(special)(passed)
	for _, tt := range []struct {
		ev        *messaging.Event
		some, all string
	}{
		{state(messaging.StateFailed), "special", "special"},
		{state(messaging.StateUndelivered), "special", "special"},
		{state(messaging.StateDelivered), "passed", "special"},
		{message("failed"), "passed", "passed"},
	} {
		if got := reply(t, some, tt.ev); got != tt.some {
			t.Errorf("%s %s with two states named: got %q, want %q", tt.ev.Kind, tt.ev.State, got, tt.some)
		}
		if got := reply(t, all, tt.ev); got != tt.all {
			t.Errorf("%s %s with none named: got %q, want %q", tt.ev.Kind, tt.ev.State, got, tt.all)
		}
	}
}
