package relaytest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// A whole exchange with the smallest possible client. Tests use NewServer
// instead of Start, and the real client instead of this one.
func Example() {
	space, err := relaytest.Start(relaytest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer space.Close()
	ctx := context.Background()

	ws, _, err := websocket.Dial(ctx, space.URL(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ws.CloseNow()
	go func() { // connect, then acknowledge every event
		type object = map[string]any
		_ = wsjson.Write(ctx, ws, object{"jsonrpc": "2.0", "id": "1", "method": "signalwire.connect", "params": object{
			"version": object{"major": 2}, "event_acks": true, "contexts": []string{"office"},
			"authentication": object{"project": "p", "token": "t"},
		}})
		for {
			var frame object
			if wsjson.Read(ctx, ws, &frame) != nil {
				return
			}
			if frame["method"] == "signalwire.event" {
				_ = wsjson.Write(ctx, ws, object{"jsonrpc": "2.0", "id": frame["id"], "result": object{}})
			}
		}
	}()

	sess, err := space.WaitSession(ctx)
	if err != nil {
		log.Fatal(err)
	}
	delivery := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "hi"})
	if err := delivery.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("acknowledged on", sess.Contexts())
	// Output: acknowledged on [office]
}
