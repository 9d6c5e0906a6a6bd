// Floor is the limit of the bench: the least that a Relay client can do. It reads frames, picks five fields without
// decoding, writes the ack and the send into one buffer, and hands that to the kernel when nothing more is readable. No
// journal, no goroutine per message, no answer awaited, no reconnect worth the name.
//
// It reads SIGNALWIRE_PROJECT_ID, SIGNALWIRE_API_TOKEN and SIGNPOST_RELAY_URL, and answers every inbound on the contexts
// support, sales and billing with "You said: ...". It runs until it is killed.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/frame"
	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/pick"
)

// bufferSize holds more than the 256 events that the bench keeps outstanding.
const bufferSize = 256 << 10

func main() {
	for {
		log.Printf("connection ended: %v", run())
		time.Sleep(100 * time.Millisecond)
	}
}

type client struct {
	frames   frame.Writer
	out      []byte
	requests int64
}

func run() error {
	nc, rest, err := dial(os.Getenv("SIGNPOST_RELAY_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	c := &client{frames: frame.Writer{Masked: true}}
	c.text(`{"jsonrpc":"2.0","id":"connect","method":"signalwire.connect","params":{"version":{"major":2,"minor":0,"revision":0},` +
		`"agent":"bench-floor/1.0","event_acks":true,"authentication":{"project":` + strconv.Quote(os.Getenv("SIGNALWIRE_PROJECT_ID")) +
		`,"token":` + strconv.Quote(os.Getenv("SIGNALWIRE_API_TOKEN")) + `}}}`)
	in := frame.NewReader(nc, bufferSize, rest)
	for {
		if !in.Buffered() && len(c.out) > 0 {
			if _, err := nc.Write(c.out); err != nil {
				return err
			}
			c.out = c.out[:0]
		}
		op, payload, err := in.Next()
		switch {
		case err != nil:
			return err
		case op == frame.Ping:
			c.out = c.frames.Append(c.out, frame.Pong, payload)
		case op == frame.Text:
			c.handle(payload)
		}
	}
}

// handle answers one frame of the server.
func (c *client) handle(payload []byte) {
	var id, method, params []byte
	for o := pick.In(payload); ; {
		key, value, ok := o.Next()
		if !ok {
			break
		}
		switch string(key) {
		case "id":
			id = value
		case "method":
			method = value
		case "params":
			params = value
		}
	}
	switch string(method) {
	case `"signalwire.event"`:
		c.result(id, []byte("{}"))
		c.event(params)
	case `"signalwire.ping"`:
		c.result(id, params)
	case "":
		if string(id) == `"connect"` {
			c.text(`{"jsonrpc":"2.0","id":"receive","method":"signalwire.receive","params":{"contexts":["support","sales","billing"]}}`)
		}
	}
}

// event answers an inbound.
func (c *client) event(params []byte) {
	var kind, inner []byte
	for o := pick.In(params); ; {
		key, value, ok := o.Next()
		if !ok {
			break
		}
		switch string(key) {
		case "event_type":
			kind = value
		case "params":
			inner = value
		}
	}
	if string(kind) != `"messaging.receive"` {
		return
	}
	var context, from, to, body []byte
	for o := pick.In(inner); ; {
		key, value, ok := o.Next()
		if !ok {
			break
		}
		switch string(key) {
		case "context":
			context = value
		case "from_number":
			from = value
		case "to_number":
			to = value
		case "body":
			body = value
		}
	}
	c.requests++
	dst, mark := c.frames.Begin(c.out)
	dst = append(dst, `{"jsonrpc":"2.0","id":"b5a1c6de-0000-4000-8000-`...)
	for shift := 44; shift >= 0; shift -= 4 { // the twelve digits that make it look like a UUID
		dst = append(dst, "0123456789abcdef"[c.requests>>shift&0xf])
	}
	dst = append(dst, `","method":"messaging.send","params":{"context":`...)
	dst = append(dst, context...)
	dst = append(dst, `,"from_number":`...)
	dst = append(dst, to...)
	dst = append(dst, `,"to_number":`...)
	dst = append(dst, from...)
	dst = append(dst, `,"body":"You said: `...)
	dst = append(dst, pick.String(body)...) // escapes stay as they are
	dst = append(dst, `"}}`...)
	c.out = c.frames.End(dst, mark, frame.Text)
}

func (c *client) result(id, result []byte) {
	dst, mark := c.frames.Begin(c.out)
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"result":`...)
	dst = append(dst, result...)
	dst = append(dst, '}')
	c.out = c.frames.End(dst, mark, frame.Text)
}

func (c *client) text(s string) {
	c.out = c.frames.Append(c.out, frame.Text, []byte(s))
}

// dial opens the WebSocket and returns what the server sent behind its handshake.
func dial(raw string) (nc net.Conn, rest []byte, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	if nc, err = net.Dial("tcp", u.Host); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			nc.Close()
		}
	}()
	if _, err = fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", u.RequestURI(), u.Host); err != nil {
		return nil, nil, err
	}
	head := bufio.NewReader(nc)
	answer, err := http.ReadResponse(head, nil)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil, fmt.Errorf("the server answered %s", answer.Status)
	}
	rest = make([]byte, head.Buffered())
	_, err = io.ReadFull(head, rest)
	return nc, rest, err
}
