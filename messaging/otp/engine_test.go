package otp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/otp"
	"github.com/signpost-sms/signpost/relay"
)

// phone is a wire whose other end remembers what came.
type phone struct{ frames []string }

func (p *phone) Go(id uuid.UUID, _ string, params []byte, done func(relay.Answer)) {
	p.frames = append(p.frames, string(params))
	done(relay.Answer{Code: "200", Result: json.RawMessage(`{"code":"200","message_id":"pm-` + id.String() + `"}`)})
}
func (*phone) Probe()       {}
func (*phone) Pause(string) {}
func (*phone) Resume()      {}

// The code reaches the person and nobody else: no reader of the journal, no search, no log at
// debug level and no metric.
func TestCodeIsNowhereToRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store, wire, reg := memory.New(memory.Config{}), &phone{}, prometheus.NewRegistry()
		nothing := messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error { return nil })
		engine := messaging.NewEngine(store, nothing, wire, messaging.Config{
			Metrics: messaging.NewMetrics(reg), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		stop, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- engine.Run(stop, t.Context()) }()
		engine.HandleState(relay.StateSubscribed)
		codes, err := otp.New(engine, otp.Config{Secret: make([]byte, 32), Metrics: otp.NewMetrics(reg)})
		if err != nil {
			t.Fatal(err)
		}
		issued, err := codes.Issue(t.Context(), otp.Request{To: "+12025550101", From: "+12025550100", Context: "support"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(wire.frames) != 1 {
			t.Fatalf("%d frames left, want 1", len(wire.frames))
		}
		code := regexp.MustCompile(`"body":"(\d{6}) `).FindStringSubmatch(wire.frames[0])[1]
		var sent struct{ Tags []string }
		if err := json.Unmarshal([]byte(wire.frames[0]), &sent); err != nil {
			t.Fatal(err)
		}
		tags, _ := json.Marshal(sent.Tags)
		for _, state := range []string{"sent", "delivered"} { // the platform repeats what it was given
			engine.HandleEvent(&relay.Event{Type: "messaging.state", Received: time.Now(), Frame: fmt.Appendf(nil,
				`{"jsonrpc":"2.0","method":"signalwire.event","params":{"event_type":"messaging.state","params":{"message_id":"pm1","context":"support","message_state":%q,"body":"%s is your code","tags":%s}}}`,
				state, code, tags)})
			synctest.Wait()
		}
		life, err := store.Life(t.Context(), issued.Send.String())
		if err != nil || life.Sends[0].Status != messaging.StatusDelivered || !life.Sends[0].Forgotten {
			t.Errorf("Life: %+v, %v; want a send that is delivered, without its text", life, err)
		}
		found, err := store.Search(t.Context(), messaging.Search{Sends: true})
		if err != nil {
			t.Fatal(err)
		}
		byText, err := store.Search(t.Context(), messaging.Search{Sends: true, Text: code})
		if err != nil || len(byText.Sends) > 0 {
			t.Errorf("a search for the code finds %v, %v", byText, err)
		}
		values, err := engine.Values(t.Context(), messaging.ValueQuery{Bucket: "signpost.codes"})
		if err != nil || len(values) != 1 {
			t.Fatalf("Values: %v, %v", values, err)
		}
		time.Sleep(2 * time.Second)
		metrics, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		shown, err := json.Marshal([]any{life, found, values, metrics})
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{"the journal and the metrics": string(shown), "the log": log.String(), "the state": string(values[0].Data)} {
			if strings.Contains(text, code) {
				t.Errorf("%s: the code can be read", where)
			}
		}
		if !strings.Contains(string(shown), messaging.SecretBody) {
			t.Error("the journal does not say that there was a code")
		}
		if err := codes.Check(t.Context(), otp.Answer{To: "+12025550101", Code: code}); err != nil {
			t.Errorf("Check: %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
