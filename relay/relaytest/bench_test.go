package relaytest_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// BenchmarkExchange measures the server with a client that does as little as it
// can: each round is one inbound, its ack, one send, its answer, and four
// states with their acks. 256 rounds are under way at any time.
func BenchmarkExchange(b *testing.B) {
	for name, options := range map[string][]relaytest.Option{"tcp": {}, "memory": {relaytest.InMemory}} {
		b.Run(name, func(b *testing.B) {
			s := relaytest.NewServer(b, options...)
			ws, _, err := websocket.Dial(b.Context(), s.URL(), &websocket.DialOptions{HTTPClient: s.Client()})
			if err != nil {
				b.Fatal(err)
			}
			defer ws.CloseNow()
			ws.SetReadLimit(1 << 20)
			write := func(text string) {
				if err := ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
					b.Error(err)
				}
			}
			write(`{"jsonrpc":"2.0","id":"c","method":"signalwire.connect","params":{"version":{"major":2},"event_acks":true,"contexts":["office"],"authentication":{"project":"p","token":"t"}}}`)
			sess := s.Session(b)
			inject := func() { sess.Deliver(relaytest.SMS{Body: "a text of about fifty characters, as they are"}) }
			b.ResetTimer()
			for range min(b.N, 256) {
				inject()
			}
			sent, finished := 0, 0
			for finished < b.N {
				_, data, err := ws.Read(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				if !bytes.Contains(data, []byte(`"signalwire.event"`)) {
					continue
				}
				_, id, _ := strings.Cut(string(data), `"id":"`)
				id, _, _ = strings.Cut(id, `"`)
				write(`{"jsonrpc":"2.0","id":"` + id + `","result":{}}`)
				switch {
				case bytes.Contains(data, []byte(`"messaging.receive"`)):
					sent++
					write(fmt.Sprintf(`{"jsonrpc":"2.0","id":"s%d","method":"messaging.send","params":{"from_number":"+12025550199","to_number":"+12025550101","context":"office","body":"thanks"}}`, sent))
				case bytes.Contains(data, []byte(`"delivered"`)):
					finished++
					if finished+255 < b.N {
						inject()
					}
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rounds/s")
		})
	}
}
