package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// consenting is an operated daemon with a brand and a way to reach a person.
func consenting(t *testing.T, more string) *operated {
	t.Helper()
	o := prepare(t)
	o.configure(t, "brand: Pizza Ann\nconsent: {contact: ann@example.com}\n"+more, answering)
	o.start(t)
	return o
}

// say texts a context and waits for the acknowledgement.
func (o *operated) say(t *testing.T, body string) {
	t.Helper()
	in, err := o.space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: "support", Body: body}, relaytest.Target{})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Wait(t.Context()); err != nil {
		t.Fatalf("%q was not acknowledged: %v", body, err)
	}
}

// heard waits until so many texts are on the person's telephone, and gives them.
func (o *operated) heard(t *testing.T, n int) (texts []string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		texts = nil
		for _, m := range o.space.Handset(person).Messages() {
			texts = append(texts, m.Body)
		}
		if len(texts) >= n {
			return texts
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d texts on the telephone, want %d: %q", len(texts), n, texts)
		}
	}
}

// optedOut waits until the ledger says that a person opted out.
func (o *operated) optedOut(t *testing.T, who string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + o.listen + "/v1/consent/" + who)
		if err != nil {
			t.Fatal(err)
		}
		var of api.ConsentOf
		err = json.NewDecoder(resp.Body).Decode(&of)
		resp.Body.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case len(of.States) == 1 && of.States[0].OptedOut:
			return
		case time.Now().After(deadline):
			t.Fatalf("%s has not opted out", who)
		}
	}
}

// inbound finds the id of a text.
func (o *operated) inbound(t *testing.T, body string) string {
	t.Helper()
	found := jsonLines[api.Message](t, o.run(t, ExitOK, "", "messages", "--direction", "in", "--text", body, "--json"))
	if len(found) != 1 {
		t.Fatalf("%d messages %q", len(found), body)
	}
	return found[0].ID
}

const (
	confirmedStop  = "Pizza Ann: You are unsubscribed. We will not text you again. Reply START to return."
	confirmedStart = "Pizza Ann: You are subscribed again. Msg frequency varies. Reply HELP for help, STOP to end. Msg & data rates may apply."
	answeredHelp   = "Pizza Ann: for help, contact ann@example.com. Reply STOP to end. Msg & data rates may apply."
)

// The whole life of a consent, over a socket and a restart: who said STOP gets its one
// confirmation and the answer to HELP, and nothing more until START.
func TestStopOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	o := consenting(t, "")
	o.say(t, "STOP")
	want := []string{confirmedStop}
	o.heard(t, 1)
	o.stop(t)
	o.start(t)
	o.say(t, "hello")
	o.say(t, "stop")
	o.say(t, "HELP")
	want = append(want, answeredHelp)
	o.heard(t, len(want))
	o.say(t, "START")
	want = append(want, confirmedStart)
	o.heard(t, len(want))
	o.say(t, "hello again")
	want = append(want, "support: hello again")
	if got := o.heard(t, len(want)); !slices.Equal(got, want) {
		t.Errorf("on the telephone:\n%q, want\n%q", got, want)
	}
	o.stop(t)
}

// TestKillBetweenStopAndConfirmation kills the daemon around the commit of a STOP: when its
// acknowledgement comes, with the confirmation on its way, and at random instants before and
// after. Whatever is left, nothing but one confirmation leaves for the person.
func TestKillBetweenStopAndConfirmation(t *testing.T) {
	t.Parallel()
	o := prepare(t, func(c *relaytest.Config) {
		c.NoMagic = true
		c.Faults.QueueUnsubscribed = true
		c.Faults.Redelivery.OnReconnect = true
	})
	o.configure(t, "brand: Pizza Ann\n", answering)
	o.start(t)
	rnd := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	confirmed := 0
	for round := range 6 {
		who := fmt.Sprintf("+1202555016%d", round)
		inject := func(body string) *relaytest.Inbound {
			in, err := o.space.Inject(relaytest.SMS{From: who, To: ourNumber, Context: "support", Body: body}, relaytest.Target{})
			if err != nil {
				t.Fatal(err)
			}
			return in
		}
		acked := func(in *relaytest.Inbound) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := in.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		acked(inject("hello"))
		if _, err := o.space.Handset(who).Next(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(-1)
		stop := inject("STOP")
		if round%2 == 0 {
			acked(stop)
		} else {
			after = time.Duration(rnd.Int64N(int64(2 * time.Millisecond)))
			<-time.After(after)
		}
		o.signal(syscall.SIGKILL)
		o.exit()
		o.start(t)
		o.optedOut(t, who) // by a second delivery, if the first had not been journaled
		acked(inject("hello?"))
		acked(inject("hello??"))
		got := o.space.Handset(who).Messages()
		for i, m := range got {
			if i > 1 || i == 1 && m.Body != confirmedStop || i == 0 && m.Body != "support: hello" {
				t.Errorf("killed %s after the STOP (-1ns: on its acknowledgement), text %d is %q", after, i+1, m.Body)
			}
		}
		confirmed += len(got) - 1
	}
	t.Logf("%d of 6 were confirmed", confirmed)
	o.stop(t)
}

// Texts and the treatment of people who opted out follow a reload; how far a STOP reaches
// waits for a restart and is named.
func TestReloadChangesConsent(t *testing.T) {
	t.Parallel()
	o := consenting(t, "")
	o.configure(t, "brand: Ann & Sons\nconsent: {opt_out_message: '{{.Brand}}: no more texts. START to return.', scope: per_number, repeat_stop: daily}\n",
		"  support: {opted_out: observe, handlers: [{keyword: {words: [VOID], handlers: [ignore]}}, {reply: 'support: {{.Body}}'}]}\n")
	o.run(t, ExitOK, "need a restart: consent.scope, consent.repeat_stop", "reload")
	o.say(t, "STOP")
	if got := o.heard(t, 1); got[0] != "Ann & Sons: no more texts. START to return." {
		t.Errorf("confirmed with %q", got[0])
	}
	o.say(t, "hello")
	found := jsonLines[api.Message](t, o.run(t, ExitOK, `"status":"suppressed"`, "messages", "--text", "support: hello", "--json"))
	out := o.run(t, ExitOK, "no reply: suppressed: the person opted out on 20", "explain", found[0].ID)
	if !strings.Contains(out, ", by texting STOP\n") {
		t.Errorf("it is not said how:\n%s", out)
	}
	// What the chain of a STOP answers is suppressed by name too, beside the confirmation.
	o.run(t, ExitOK, "The chain of support was shown it, as contexts.support.opted_out says.", "explain", o.inbound(t, "STOP"))
	o.signal(syscall.SIGTERM)
	o.exit()
}
