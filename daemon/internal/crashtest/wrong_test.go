package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/coder/websocket"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// program is a small client of its own, right but for the faults that it is given. It keeps
// what it knows in memory, which a crash of it empties where a fault says so.
type program struct {
	acksFirst    bool // acknowledges, then dies at every fifth text before it has answered
	resends      bool // sends again whatever was not answered when a connection ended
	forgetsTag   bool
	forgetsTexts bool // answers what is delivered again
	shuffles     bool // answers pairs of texts in reverse
	misdials     bool // answers from the wrong number
}

// client is a running program.
type client struct {
	program
	space  *relaytest.Server
	ws     *websocket.Conn
	nextID int
	done   map[string]bool // texts by id that were answered
	open   map[string]call // requests that are not answered, by id
	held   []received      // for shuffles
	seen   int
}

type call struct {
	method string
	params map[string]any
}

type received struct {
	ID      string `json:"message_id"`
	From    string `json:"from_number"`
	To      string `json:"to_number"`
	Context string `json:"context"`
	Body    string `json:"body"`
}

// errCrash ends a client as if its process had died.
var errCrash = errors.New("crash")

// run serves until ctx ends, connecting again as often as needed.
func (c *client) run(ctx context.Context) {
	c.done, c.open = map[string]bool{}, map[string]call{}
	for ctx.Err() == nil {
		if err := c.serve(ctx); errors.Is(err, errCrash) {
			c.done, c.open = map[string]bool{}, map[string]call{}
		}
		// What was unacknowledged goes to the next session, if the space has noticed by then.
		_ = c.space.Wait(ctx, func() bool { return c.space.Stats().Open == 0 })
	}
}

func (c *client) serve(ctx context.Context) error {
	ws, resp, err := websocket.Dial(ctx, c.space.URL(), nil)
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	c.ws = ws
	lost := slices.Collect(maps.Keys(c.open))
	connect := map[string]any{
		"version": map[string]int{"major": 3, "minor": 0, "revision": 0}, "event_acks": true, "agent": "wrong",
		"authentication": map[string]string{"project": "crash", "token": "crash"},
		"contexts":       []string{lines[0].context, lines[1].context},
	}
	if err := c.request(ctx, "signalwire.connect", connect); err != nil {
		return err
	}
	for _, id := range lost {
		was := c.open[id]
		delete(c.open, id)
		if !c.resends || was.method != "messaging.send" {
			continue
		}
		if err := c.request(ctx, was.method, was.params); err != nil {
			return err
		}
	}
	for {
		_, data, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		if err := c.take(ctx, data); err != nil {
			return err
		}
	}
}

func (c *client) write(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageText, data)
}

func (c *client) request(ctx context.Context, method string, params map[string]any) error {
	c.nextID++
	id := fmt.Sprintf("request-%d", c.nextID)
	if method == "messaging.send" && !c.forgetsTag {
		params["tags"] = []string{"sp-" + id}
	}
	c.open[id] = call{method, params}
	return c.write(ctx, map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

// take acts on one frame.
func (c *client) take(ctx context.Context, data []byte) error {
	var f struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			Timestamp json.RawMessage `json:"timestamp"`
			Type      string          `json:"event_type"`
			Params    received        `json:"params"`
		} `json:"params"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	ack := func() error {
		result := map[string]any{}
		if f.Method == "signalwire.ping" {
			result["timestamp"] = f.Params.Timestamp
		}
		return c.write(ctx, map[string]any{"jsonrpc": "2.0", "id": f.ID, "result": result})
	}
	switch {
	case f.Method == "":
		var id string
		_ = json.Unmarshal(f.ID, &id) // every id of ours is a string
		delete(c.open, id)
		return nil
	case f.Params.Type != "messaging.receive" || c.done[f.Params.Params.ID] && !c.forgetsTexts:
		return ack()
	}
	c.seen++
	if c.acksFirst {
		if err := ack(); err != nil {
			return err
		}
		if c.seen%5 == 0 {
			return errCrash
		}
		return c.answer(ctx, f.Params.Params)
	}
	// What memory holds is as good as a journal here: it only dies where a fault says so.
	c.done[f.Params.Params.ID] = true
	if err := ack(); err != nil {
		return err
	}
	return c.answer(ctx, f.Params.Params)
}

func (c *client) answer(ctx context.Context, ev received) error {
	if c.shuffles {
		if c.held = append(c.held, ev); len(c.held) < 2 {
			return nil
		}
		ev, c.held = c.held[1], c.held[:1]
		defer func() { c.held = nil }()
		if err := c.send(ctx, ev); err != nil {
			return err
		}
		ev = c.held[0]
	}
	return c.send(ctx, ev)
}

func (c *client) send(ctx context.Context, ev received) error {
	from := ev.To
	if c.misdials {
		from = lines[0].number
	}
	return c.request(ctx, "messaging.send", map[string]any{
		"context": ev.Context, "from_number": from, "to_number": ev.From, "body": saying + ev.Body,
	})
}

// TestJudgeSeesWrongPrograms plays programs with one fault each, and a right one, to the
// ledger: it has to see each fault and nothing else.
func TestJudgeSeesWrongPrograms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		program
		cut   bool               // reset the connection six times, half of them when the send was taken
		again bool               // every text is delivered twice
		sees  func(verdict) bool // nil: nothing
	}{
		"right":                   {},
		"right, delivered again":  {again: true},
		"acknowledges first":      {program: program{acksFirst: true}, sees: func(v verdict) bool { return len(v.lost) > 0 }},
		"resends blindly":         {program: program{resends: true}, cut: true, sees: func(v verdict) bool { return len(v.twice) > 0 }},
		"never resends":           {cut: true, sees: func(v verdict) bool { return len(v.lost) > 0 }},
		"forgets the tag":         {program: program{forgetsTag: true}, sees: func(v verdict) bool { return len(v.untagged) > 0 }},
		"forgets what it has had": {program: program{forgetsTexts: true}, again: true, sees: func(v verdict) bool { return len(v.twice) > 0 }},
		"answers in disorder":     {program: program{shuffles: true}, sees: func(v verdict) bool { return len(v.swapped) > 0 }},
		"answers from elsewhere":  {program: program{misdials: true}, sees: func(v verdict) bool { return len(v.strangers) > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			space, l := newSpace(t, platform{redeliver: true, tags: true}, 0, relaytest.Lenient)
			for range 3 {
				if tc.cut {
					space.NextSends(relaytest.Repeat(5, relaytest.Deliver())...)
					space.NextSends(relaytest.AcceptThenDrop(), relaytest.DropUnexecuted())
				}
			}
			v := play(t, space, l, tc.program, tc.again)
			switch {
			case tc.sees == nil && (len(v.lost) > 0 || len(v.sins()) > 0):
				t.Errorf("a right program is accused: %v", v)
			case tc.sees != nil && !tc.sees(v):
				t.Errorf("the fault is not seen: %v", v)
			}
		})
	}
}

// play lets two people write 25 texts each to a program and waits for what it can do.
func play(t *testing.T, space *relaytest.Server, l *ledger, p program, again bool) verdict {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&client{program: p, space: space}).run(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	ready(t, space)
	for n := range 50 {
		if err := l.write(n / 2 % 2); err != nil { // two in a row of each
			t.Fatal(err)
		}
		if !again {
			continue
		}
		if err := l.deliver(n); err != nil {
			t.Fatal(err)
		}
	}
	wait, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := space.Wait(wait, func() bool { return l.verdict(t).acked == 50 }); err != nil {
		t.Fatalf("%v; %v", err, l.verdict(t))
	}
	for !answersPing(wait, t, space) {
	}
	return l.verdict(t)
}

// answersPing pings the program. It does one thing after the other, so that its answer
// proves that the space has had everything before; false if the connection ended first.
func answersPing(ctx context.Context, t *testing.T, space *relaytest.Server) bool {
	t.Helper()
	sess, err := space.WaitSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn, pong := sess.Conn(), sess.Ping()
	answered := func() bool {
		select {
		case <-pong:
			return true
		default:
			return false
		}
	}
	if err := space.Wait(ctx, func() bool { return answered() || sess.Conn() != conn || conn == 0 }); err != nil {
		t.Fatal(err)
	}
	return answered()
}
