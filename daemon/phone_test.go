package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/messaging"
)

const handsetNumber = messaging.Number("+12025550123")

func testPhone() *phone {
	p := newPhone(handsetNumber)
	p.threads = []*thread{
		{context: "support", ours: "+12025550100"},
		{context: "sales", ours: "+12025550101"},
	}
	return p
}

func newPlainPhone(out io.Writer) *plainPhone {
	p := testPhone()
	return &plainPhone{phone: p, line: newPhoneLine(), out: out, to: p.threads[0]}
}

// decision is the trace of a chain's run over the message.
func decision(id, context, body string, o *messaging.Outcome) messaging.Trace {
	return messaging.Trace{Inbound: &messaging.InboundTrace{
		Event: &messaging.Event{
			Kind: messaging.KindMessage, MessageID: id, Context: context,
			From: handsetNumber, To: "+12025550100", Body: body,
		},
		Outcome: o,
	}}
}

func outgoing(id uuid.UUID, body string, status messaging.Status, reason string) *messaging.Outgoing {
	return &messaging.Outgoing{Send: messaging.Send{ID: id, To: handsetNumber, Body: body}, Status: status, Reason: reason}
}

func TestPlainPhoneShowsEveryEnd(t *testing.T) {
	t.Parallel()
	answered := uuid.MustParse("01890000-0000-7000-8000-000000000001")
	failed := uuid.MustParse("01890000-0000-7000-8000-000000000002")
	progress := func(id uuid.UUID, s messaging.Status, reason string) messaging.Trace {
		return messaging.Trace{Send: &messaging.SendTrace{ID: id, Status: s, Reason: reason}}
	}
	var out bytes.Buffer
	p := newPlainPhone(&out)
	p.send = func(th *thread, body string) (string, error) {
		id := "m-" + body
		var then []messaging.Trace
		switch body {
		case "HOURS":
			then = []messaging.Trace{
				decision(id, th.context, body, &messaging.Outcome{
					Fate: messaging.FateDone, Sends: []*messaging.Outgoing{outgoing(answered, "9 to 5", messaging.StatusSending, "")},
				}),
				progress(answered, messaging.StatusAccepted, ""), progress(answered, messaging.StatusSent, ""),
				progress(answered, messaging.StatusDelivered, ""),
			}
		case "far":
			then = []messaging.Trace{
				decision(id, th.context, body, &messaging.Outcome{
					Fate: messaging.FateDone, Sends: []*messaging.Outgoing{outgoing(failed, "hello", messaging.StatusQueued, "")},
				}),
				progress(failed, messaging.StatusUndelivered, "unreachable"),
			}
		case "quiet":
			then = []messaging.Trace{decision(id, th.context, body, &messaging.Outcome{Fate: messaging.FateDone})}
		case "stopped":
			then = []messaging.Trace{decision(id, th.context, body, &messaging.Outcome{
				Fate: messaging.FateDone, Sends: []*messaging.Outgoing{outgoing(uuid.UUID{9}, "hi", messaging.StatusSuppressed, "opted out")},
			})}
		case "broken":
			then = []messaging.Trace{
				decision(id, th.context, body, &messaging.Outcome{
					Fate: messaging.FateRetry, Err: "boom", RetryAt: time.Date(2026, 11, 24, 10, 0, 1, 0, time.UTC),
				}),
				decision(id, th.context, body, &messaging.Outcome{Fate: messaging.FateDead, Err: "boom"}),
			}
		case "refused":
			return "", errors.New("the carrier is on strike")
		}
		for _, tr := range then {
			p.line.trace(tr)
		}
		return id, nil
	}
	in := "support: HOURS\n\n/to sales\nfar\nsupport: quiet\nstopped\nbroken\nrefused\n/to nowhere\n"
	if err := p.run(t.Context(), strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	// Lines of different messages may interleave; those of one may not change places.
	for name, want := range map[string][]string{
		"answered":   {"> support: HOURS", "< 9 to 5", "  ✓ sent", "  ✓✓ delivered"},
		"failed":     {"> sales: far", "< hello", "  ✗ undelivered: unreachable"},
		"nothing":    {"> support: quiet", `  ✗ no reply: no handler of "support" decided to answer this`},
		"suppressed": {"> sales: stopped", "  ✗ no reply: suppressed (opted out): hi"},
		"dead":       {"> sales: broken", "  ✓ the handler failed (boom), next try at 10:00:01", "  ✗ no reply: dead letter: boom"},
		"not sent":   {"! not sent: the carrier is on strike"},
		"no context": {`! there is no context "nowhere"; there are: support, sales`},
	} {
		rest := strings.Split(out.String(), "\n")
		for _, line := range want {
			i := indexOf(rest, line)
			if i < 0 {
				t.Errorf("%s: no line %q in order in:\n%s", name, line, out.String())
				break
			}
			rest = rest[i+1:]
		}
	}
	if n := p.outstanding(); n != 0 {
		t.Errorf("%d messages outstanding after the end", n)
	}
}

func indexOf(lines []string, want string) int {
	for i, l := range lines {
		if l == want {
			return i
		}
	}
	return -1
}

func TestPlainPhoneWaitsForTheLastWordButNotForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlainPhone(io.Discard)
		p.send = func(*thread, string) (string, error) { return "m-1", nil }
		began := time.Now()
		err := p.run(t.Context(), strings.NewReader("hello\n"))
		if err == nil || !strings.Contains(err.Error(), "1 messages") {
			t.Errorf("run: got %v, want it to say that one message has no last word", err)
		}
		if got := time.Since(began); got != answerWithin {
			t.Errorf("run took %v, want %v", got, answerWithin)
		}
		if code := ExitCode(err); code != ExitFindings {
			t.Errorf("exit code %d, want %d: it is no defect of ours", code, ExitFindings)
		}
	})
}

// A carrier that reports no delivery leaves a reply at sent.
func TestPlainPhoneTakesSentForALastWord(t *testing.T) {
	t.Parallel()
	for status, want := range map[messaging.Status]time.Duration{
		messaging.StatusSent: 2*time.Second + sentIsFinal, messaging.StatusInDoubt: answerWithin,
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			p := newPlainPhone(&out)
			reply := outgoing(uuid.New(), "hi", messaging.StatusQueued, "")
			p.send = func(th *thread, body string) (string, error) {
				time.AfterFunc(time.Second, func() {
					p.line.trace(decision("m-1", th.context, body, &messaging.Outcome{Fate: messaging.FateDone, Sends: []*messaging.Outgoing{reply}}))
				})
				time.AfterFunc(2*time.Second, func() {
					p.line.trace(messaging.Trace{Send: &messaging.SendTrace{ID: reply.ID, Status: status}})
				})
				return "m-1", nil
			}
			began := time.Now()
			err := p.run(t.Context(), strings.NewReader("hello\n"))
			if got := time.Since(began); got != want || (err == nil) != (want != answerWithin) {
				t.Errorf("%s: run ended after %v with %v, want %v:\n%s", status, got, err, want, out.String())
			}
		})
	}
}

func TestPlainPhoneEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		p := newPlainPhone(io.Discard)
		done := make(chan error, 1)
		go func() { done <- p.run(ctx, r) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		w.Close()
	})
}

func TestPhoneShowsOnlyItsOwnConversations(t *testing.T) {
	t.Parallel()
	p := testPhone()
	stranger := decision("m-1", "support", "hi", &messaging.Outcome{Fate: messaging.FateDone})
	stranger.Inbound.Event.From = "+12025550188"
	duplicate := messaging.Trace{Inbound: &messaging.InboundTrace{Event: stranger.Inbound.Event, Duplicate: true}}
	mine := decision("m-2", "support", "by other means", &messaging.Outcome{Fate: messaging.FateDone})
	line := newPhoneLine()
	for _, tr := range []messaging.Trace{stranger, duplicate, mine} {
		line.trace(tr)
	}
	for _, ev := range line.take() {
		p.apply(ev)
	}
	var got []string
	for _, b := range p.threads[0].bubbles {
		got = append(got, b.text)
	}
	want := []string{"by other means", `no reply: no handler of "support" decided to answer this`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bubbles (-want +got):\n%s", diff)
	}
}

func TestPhoneLineIsBounded(t *testing.T) {
	t.Parallel()
	l := newPhoneLine()
	for i := range 3 * phoneLineLimit {
		l.put(phoneEvent{send: &messaging.SendTrace{Reason: strings.Repeat("x", i%2)}, session: "s"})
	}
	if n := len(l.take()); n > phoneLineLimit {
		t.Errorf("the line holds %d events, want at most %d", n, phoneLineLimit)
	}
}

func TestPhoneThreadIsBounded(t *testing.T) {
	t.Parallel()
	p := testPhone()
	for range 2 * threadLimit {
		p.add(p.threads[0], &bubble{text: "x"})
	}
	if n := len(p.threads[0].bubbles); n != threadLimit {
		t.Errorf("the thread holds %d bubbles, want %d", n, threadLimit)
	}
}

func TestPlainPhoneAsksOneThingAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlainPhone(io.Discard)
		began := time.Now()
		var at []time.Duration
		p.send = func(th *thread, body string) (string, error) {
			at = append(at, time.Since(began))
			if body == "slow" {
				time.AfterFunc(10*time.Second, func() {
					p.line.trace(decision("slow", th.context, body, &messaging.Outcome{Fate: messaging.FateDone}))
				})
				return body, nil
			}
			time.AfterFunc(time.Second, func() {
				p.line.trace(decision(body, th.context, body, &messaging.Outcome{Fate: messaging.FateDone}))
			})
			return body, nil
		}
		if err := p.run(t.Context(), strings.NewReader("a\nslow\nb\n")); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, time.Second, time.Second + turnWithin}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("when the lines were texted (-want +got):\n%s", diff)
		}
	})
}

func TestDevTouchesNothingOfTheWorld(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "signpost.yaml")
	own := `signalwire: {space: example.signalwire.com, project: real, token: realtoken}
relay: {url: "wss://relay.example/", ca_file: /nowhere.pem}
store: sqlite:///var/lib/signpost/signpost.db
http: {listen: "0.0.0.0:8377", token_file: /nowhere}
contexts: {pizza: {handlers: [{reply: hi}]}}
`
	if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cli{configPath: path, environ: func() []string { return []string{"SIGNALWIRE_JWT_TOKEN=realjwt", "SIGNALWIRE_SPACE=real"} }}
	cfg, err := c.loadDev("ws://relay.test/")
	if err != nil {
		t.Fatal(err)
	}
	type world struct {
		Relay      RelayConfig
		SignalWire SignalWireConfig
		Store      string
		Listen     string
	}
	want := world{
		RelayConfig{URL: "ws://relay.test/", Insecure: true},
		SignalWireConfig{Project: simProject, Token: simToken},
		"memory:", "",
	}
	got := world{cfg.Relay, cfg.SignalWire, cfg.Store.Reveal(), cfg.HTTP.Listen}
	if got != want {
		t.Errorf("got %+v, token %q, jwt %q; want %+v", got, got.SignalWire.Token.Reveal(), got.SignalWire.JWT.Reveal(), want)
	}
	if names := cfg.ContextNames(); len(names) != 1 || names[0] != "pizza" {
		t.Errorf("contexts %v, want the person's own", names)
	}
}
