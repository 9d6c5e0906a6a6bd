package relay_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/google/uuid"

	"github.com/signpost-sms/signpost/relay"
)

// inbox is a Handler. A real one stores each event before it acknowledges it,
// on a goroutine of its own: see the messaging package.
type inbox struct{ events chan *relay.Event }

func (in inbox) HandleEvent(ev *relay.Event) {
	select {
	case in.events <- ev:
	default: // full: not acknowledged, so the platform may deliver it again
	}
}

func (inbox) HandleState(s relay.State) { log.Println("session is", s) }

// A whole program: print each event, and acknowledge it.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	client, err := relay.New(relay.Config{
		Project:  os.Getenv("SIGNALWIRE_PROJECT_ID"),
		Token:    relay.Secret(os.Getenv("SIGNALWIRE_API_TOKEN")),
		Contexts: []string{"support"},
	})
	if err != nil {
		log.Fatal(err)
	}

	in := inbox{events: make(chan *relay.Event, 1024)}
	go func() {
		for ev := range in.events {
			fmt.Println(ev.Type, len(ev.Params))
			if err := ev.Ack(); err != nil {
				log.Println(err)
			}
		}
	}()
	if err := client.Run(ctx, in); err != nil {
		log.Fatal(err) // the platform refused the credentials
	}
}

// A request without waiting. Its three ends are an answer, not sent, and in
// doubt; only the second may be repeated without thought.
func ExampleClient_Go() {
	var client *relay.Client // from New, running

	params := []byte(`{"from_number":"+12025550102","to_number":"+12025550101","context":"support","body":"Hello"}`)
	client.Go(uuid.New(), "messaging.send", params, func(a relay.Answer) {
		if a.Err == nil {
			fmt.Println("accepted", a.Code, string(a.Result))
		}
	})
}
