package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/examples/internal/exampletest"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// testBusiness is the business on a day of the tests.
func testBusiness(t *testing.T) business {
	return business{
		tickets:  newDesk(),
		books:    paperBooks{cents: map[messaging.Number]int{exampletest.Person: 4250}, folder: filepath.Join(t.TempDir(), "receipts")},
		onCall:   "+12025550171",
		brochure: "https://shop.example/plans.png",
		now:      time.Now,
	}
}

func TestConversations(t *testing.T) {
	t.Parallel()
	b := testBusiness(t)
	bot := exampletest.Start(t, "signpost.yaml", b.routes, nil)
	for _, say := range []struct{ label, body, want string }{
		{"support", "hours", "We're open Mon-Fri 9am-5pm. Text AGENT to reach a person."},
		{"support", "My order is late", "Thank you. A person will text you within the hour. Your ticket is #1."},
		{"support", "Help", "Corner Shop support: text HOURS or AGENT, or call (202) 555-0142. Reply STOP to end."},
		{"sales", "what?", "Sales here. Text PLANS for our plans, or CALL and we call you tomorrow."},
		{"sales", "CALL", "We call you tomorrow between 10 and 12. Is another time better? Just text it."},
		{"billing", "balance", "Your balance is $42.50."},
	} {
		bot.Converse(say.label, say.body, say.want)
	}
	bot.Text("sales", "plans")
	if got := bot.Answer(); !slices.Equal(got.Media, []string{b.brochure}) {
		t.Errorf("PLANS was answered with the media %q", got.Media)
	}
	// The person on call got a text of their own.
	ctx, enough := context.WithTimeout(t.Context(), 30*time.Second)
	defer enough()
	if got, err := bot.Space.Handset(string(b.onCall)).Next(ctx, 0); err != nil || got.Body != "Ticket #1 is waiting." {
		t.Errorf("the person on call got %q, %v", got.Body, err)
	}
}

// A picture of a receipt is fetched, filed and thanked for.
func TestReceipt(t *testing.T) {
	t.Parallel()
	host := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(host.Close)
	b := testBusiness(t)
	// A host of one's own has to be allowed by name.
	bot := exampletest.Start(t, filepath.Join("testdata", "receipts.yaml"), b.routes, nil)
	bot.Text("billing", "", strings.Replace(host.URL, "127.0.0.1", "localhost", 1)+"/receipt.png")
	if got, want := bot.Answer().Body, "Thank you, we have your receipt."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	filed, err := os.ReadDir(b.books.(paperBooks).folder)
	if err != nil || len(filed) != 1 || filepath.Ext(filed[0].Name()) != ".png" {
		t.Errorf("filed: %v, %v; want one picture", filed, err)
	}
}

// brokenDesk fails as often as it says.
type brokenDesk struct {
	tickets
	left int
}

func (d *brokenDesk) Open(ctx context.Context, key string, from messaging.Number, text string) (int, error) {
	if d.left--; d.left >= 0 {
		return 0, errors.New("connection refused")
	}
	return d.tickets.Open(ctx, key, from, text)
}

// While the ticket system is down nothing is promised; the message is tried again, and then
// the customer and the person on call are told once.
func TestEscalationWaitsForTheTicketSystem(t *testing.T) {
	t.Parallel()
	b := testBusiness(t)
	b.tickets = &brokenDesk{tickets: b.tickets, left: 1}
	r := contexts.NewRouter()
	b.routes(r)
	ev := &messaging.Event{ID: "m1", Kind: messaging.KindMessage, Context: "support", From: exampletest.Person, To: "+12025550100", Body: "broken"}
	if rec, err := messagingtest.Run(r, ev); err == nil || messaging.IsDrop(err) || len(rec.Sends()) != 0 {
		t.Errorf("first: %v with %d sends, want an error that is tried again, and none", err, len(rec.Sends()))
	}
	for range 2 { // a crash may repeat it: the ticket stays the same
		rec, err := messagingtest.Run(r, ev)
		if err != nil || len(rec.Sends()) != 2 || !strings.HasSuffix(rec.Replies()[0], "#1.") {
			t.Errorf("then: %v, %+v", err, rec.Sends())
		}
	}
}

func TestCallIsRemindedTomorrow(t *testing.T) {
	t.Parallel()
	b := testBusiness(t)
	now := time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)
	b.now = func() time.Time { return now }
	rec, err := messagingtest.Run(messaging.HandlerFunc(b.callBack), &messaging.Event{From: exampletest.Person})
	sends := rec.Sends()
	if err != nil || len(sends) != 2 || !sends[1].NotBefore.Equal(now.Add(20*time.Hour)) || sends[1].Category != messaging.CategoryNotification {
		t.Errorf("got %v, %+v", err, sends)
	}
}
