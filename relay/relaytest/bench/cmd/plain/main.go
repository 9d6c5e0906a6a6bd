// Plain is the reference of the bench: the Relay client that a competent programmer writes in an afternoon. Nothing is
// durable. gorilla/websocket, encoding/json into map[string]any, an ack at once, a goroutine per message, UUID request ids
// with a map of those pending, and one locked write per frame. It is not tuned, and must not be.
//
// It reads SIGNALWIRE_PROJECT_ID, SIGNALWIRE_API_TOKEN and SIGNPOST_RELAY_URL, and answers every inbound on the contexts
// support, sales and billing with "You said: ...". It runs until it is killed.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
)

const requestTimeout = 10 * time.Second

type client struct {
	ws      *websocket.Conn
	writing sync.Mutex

	mu      sync.Mutex
	pending map[string]chan map[string]any
}

func main() {
	for {
		err := run(os.Getenv("SIGNPOST_RELAY_URL"), os.Getenv("SIGNALWIRE_PROJECT_ID"), os.Getenv("SIGNALWIRE_API_TOKEN"))
		log.Printf("connection ended: %v", err)
		time.Sleep(time.Second)
	}
}

func run(url, project, token string) error {
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		return err
	}
	defer ws.Close()
	c := &client{ws: ws, pending: make(map[string]chan map[string]any)}
	ended := make(chan error, 1)
	go func() { ended <- c.read() }()

	if _, err := c.call("signalwire.connect", map[string]any{
		"version":        map[string]any{"major": 2, "minor": 0, "revision": 0},
		"agent":          "bench-plain/1.0",
		"event_acks":     true,
		"authentication": map[string]any{"project": project, "token": token},
	}); err != nil {
		return err
	}
	if _, err := c.call("signalwire.receive", map[string]any{"contexts": []string{"support", "sales", "billing"}}); err != nil {
		return err
	}
	return <-ended
}

func (c *client) read() error {
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return err
		}
		var frame map[string]any
		if err := json.Unmarshal(data, &frame); err != nil {
			log.Printf("bad frame: %v", err)
			continue
		}
		id, _ := frame["id"].(string)
		switch frame["method"] {
		case "signalwire.event":
			if err := c.write(map[string]any{"jsonrpc": "2.0", "id": id, "result": map[string]any{}}); err != nil {
				return err
			}
			params, _ := frame["params"].(map[string]any)
			if params["event_type"] == "messaging.receive" {
				message, _ := params["params"].(map[string]any)
				go c.handle(message)
			}
		case "signalwire.ping":
			if err := c.write(map[string]any{"jsonrpc": "2.0", "id": id, "result": frame["params"]}); err != nil {
				return err
			}
		case nil:
			c.mu.Lock()
			waiter := c.pending[id]
			delete(c.pending, id)
			c.mu.Unlock()
			if waiter != nil {
				waiter <- frame
			}
		}
	}
}

func (c *client) handle(message map[string]any) {
	body, _ := message["body"].(string)
	_, err := c.call("messaging.send", map[string]any{
		"context":     message["context"],
		"from_number": message["to_number"],
		"to_number":   message["from_number"],
		"body":        fmt.Sprintf("You said: %s", body),
	})
	if err != nil {
		log.Printf("send: %v", err)
	}
}

func (c *client) call(method string, params map[string]any) (map[string]any, error) {
	id := uuid.NewString()
	answer := make(chan map[string]any, 1)
	c.mu.Lock()
	c.pending[id] = answer
	c.mu.Unlock()
	if err := c.write(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params}); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(requestTimeout)
	defer timeout.Stop()
	select {
	case frame := <-answer:
		if problem, ok := frame["error"]; ok {
			return nil, fmt.Errorf("%s: %v", method, problem)
		}
		result, _ := frame["result"].(map[string]any)
		return result, nil
	case <-timeout.C:
		return nil, errors.New(method + ": no answer")
	}
}

func (c *client) write(frame map[string]any) error {
	data, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.ws.WriteMessage(websocket.TextMessage, data)
}
