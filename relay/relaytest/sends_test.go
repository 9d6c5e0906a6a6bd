package relaytest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func TestSendChecksParams_S17(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change map[string]any
		wrong  string // the name in errors; empty: accepted
		strict bool
	}{
		"good":              {nil, "", true},
		"media only":        {map[string]any{"body": nil, "media": []string{"https://m.example/1"}}, "", true},
		"empty body, media": {map[string]any{"body": "", "media": []string{"https://m.example/1"}}, "", true},
		"all":               {map[string]any{"tags": []string{"a"}, "region": "us", "media": []string{}}, "", true},
		"no from":           {map[string]any{"from_number": nil}, "from_number", false},
		"empty to":          {map[string]any{"to_number": ""}, "to_number", false},
		"no context":        {map[string]any{"context": nil}, "context", false},
		"neither":           {map[string]any{"body": nil}, "body", false},
		"empty both":        {map[string]any{"body": "", "media": []string{}}, "body", false},
		"numeric to":        {map[string]any{"to_number": 12025550101}, "to_number", false},
		"media is a string": {map[string]any{"media": "https://m.example/1"}, "media", false},
		"tags of numbers":   {map[string]any{"tags": []int{1}}, "tags", false},
		"unknown, lenient":  {map[string]any{"colour": "red"}, "", false},
		"unknown, strict":   {map[string]any{"colour": "red"}, "colour", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, reports := quietServer(t, tc.strict)
			c := connected(t, s, "office")
			f := c.call("messaging.send", sendParams(tc.change))
			got := object(t, f.Result)
			sends := s.Sends()
			if len(sends) != 1 {
				t.Fatalf("%d sends noted, want 1", len(sends))
			}
			if tc.wrong == "" {
				if got["code"] != "200" || got["message"] != "Message accepted" || got["message_id"] != sends[0].MessageID {
					t.Errorf("got %s", f.raw)
				}
				if name == "unknown, lenient" && string(sends[0].Extra["colour"]) != `"red"` {
					t.Errorf("unknown param not noted: %+v", sends[0])
				}
				return
			}
			errs, _ := got["errors"].(map[string]any)
			if got["code"] != "400" || got["message"] == "" || errs[tc.wrong] == nil || len(errs) != 1 {
				t.Errorf("got %s, want 400 with an error for %s alone", f.raw, tc.wrong)
			}
			if sends[0].Executed || reports.count() == 0 {
				t.Errorf("executed %v, %d violations", sends[0].Executed, reports.count())
			}
		})
	}
}

// recorder is a TB that remembers instead of failing.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors []string
	logs   []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.errors) + len(r.logs)
}

// quietServer is a space whose violations do not fail t.
func quietServer(t *testing.T, strict bool) (*relaytest.Server, *recorder) {
	t.Helper()
	r := &recorder{TB: t}
	return relaytest.NewServer(r, relaytest.InMemory, func(c *relaytest.Config) { c.Strict = strict }), r
}

func TestStatesAfterAcceptance_S18(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		sender := connected(t, s, "office")
		colleague := connected(t, s, "office")
		stranger := connected(t, s, "sales")
		params := sendParams(map[string]any{"tags": []string{"k-1", "k-2"}, "media": []string{"https://m.example/1"}})
		id := object(t, sender.call("messaging.send", params).Result)["message_id"]
		for _, c := range []*client{sender, colleague} {
			for _, want := range []string{"queued", "initiated", "sent", "delivered"} {
				f := c.event("messaging.state")
				env, in := object(t, f.Params), f.inner(t)
				tags, _ := json.Marshal(in["tags"])
				media, _ := json.Marshal(in["media"])
				if in["message_state"] != want || in["message_id"] != id || in["direction"] != "outbound" ||
					in["context"] != "office" || env["context"] != "office" || in["from_number"] != "+12025550199" ||
					in["to_number"] != "+12025550101" || in["body"] != "hello" || in["segments"] != json.Number("1") ||
					string(tags) != `["k-1","k-2"]` || string(media) != `["https://m.example/1"]` || in["reason"] != nil {
					t.Errorf("%s: got %s", want, f.raw)
				}
			}
		}
		if n := stranger.count(isEvent("messaging.state")); n != 0 {
			t.Errorf("a session of another context got %d states", n)
		}
		if got := s.Sends()[0].States; !slices.Equal(got, []string{"queued", "initiated", "sent", "delivered"}) {
			t.Errorf("states noted: %q", got)
		}
	})
}

func TestStatesForTheProtocolAsContext_S18(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := dial(t, s)
		protocol := object(t, c.call("signalwire.connect", connectParams()).Result)["protocol"]
		other := connected(t, s, "office")
		c.call("messaging.send", sendParams(map[string]any{"context": protocol}))
		if got := c.states(4); got[3] != "delivered" {
			t.Errorf("states %q", got)
		}
		if n := other.count(isEvent("messaging.state")); n != 0 {
			t.Errorf("another session got %d states", n)
		}
	})
}

func TestTagsCanBeHidden_S18(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		setFaults(t, s, func(f *relaytest.Faults) { f.HideTags = true })
		c := connected(t, s, "office")
		c.call("messaging.send", sendParams(map[string]any{"tags": []string{"k-1"}}))
		if in := c.event("messaging.state").inner(t); len(in["tags"].([]any)) != 0 {
			t.Errorf("tags %v", in["tags"])
		}
		if got := s.Sends()[0].Tags; !slices.Equal(got, []string{"k-1"}) {
			t.Errorf("noted tags %q", got)
		}
	})
}

func TestStateDelay_S18(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		start := time.Now()
		c.call("messaging.send", sendParams(nil))
		c.states(4)
		if took := time.Since(start); took != 8*time.Second {
			t.Errorf("four states took %v, want 8 s", took)
		}
	}, func(c *relaytest.Config) { c.StateDelay = 2 * time.Second })
}

func TestStatesFirstAndSameSegment_S20(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		setFaults(t, s, func(f *relaytest.Faults) { f.StatesFirst = true })
		c := connected(t, s, "office")
		c.authState()
		id := c.request("messaging.send", sendParams(nil))
		got := c.pending()
		if len(got) != 5 || string(got[4].ID) != `"`+id+`"` {
			t.Fatalf("got %s, want four states, then the answer", rawAll(got))
		}
		if got[0].inner(t)["message_id"] != object(t, got[4].Result)["message_id"] {
			t.Error("states and answer name different messages")
		}
	})
	// On a bare connection one read must hold the answer and the states. The
	// in-memory pipe keeps writes apart only if nobody reads late, so the client
	// waits in a read from before the send.
	synctest.Test(t, func(t *testing.T) {
		s := relaytest.NewServer(t, relaytest.InMemory)
		setFaults(t, s, func(f *relaytest.Faults) { f.SameSegment = true })
		var tap tapConn
		ws, _, err := websocket.Dial(t.Context(), s.URL(), &websocket.DialOptions{HTTPClient: tap.client(s)})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		write := func(method string, params any) {
			data, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": method, "method": method, "params": params})
			if err := ws.Write(t.Context(), websocket.MessageText, data); err != nil {
				t.Fatal(err)
			}
		}
		read := func() {
			if _, _, err := ws.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		write("signalwire.connect", connectParams("office"))
		read()
		read() // authorization state
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for range 5 {
				read()
			}
		}()
		synctest.Wait()
		tap.reset()
		write("messaging.send", sendParams(nil))
		<-gone
		if reads := tap.reads(); len(reads) != 1 || bytes.Count(reads[0], []byte("messaging.state")) != 4 {
			t.Errorf("%d reads, want one with the answer and four states", len(reads))
		}
	})
}

// tapConn notes what each Read of a connection returned.
type tapConn struct {
	net.Conn
	mu  sync.Mutex
	got [][]byte
}

func (c *tapConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.got = append(c.got, bytes.Clone(p[:n]))
	}
	return n, err
}

func (c *tapConn) reset() { c.mu.Lock(); c.got = nil; c.mu.Unlock() }
func (c *tapConn) reads() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

func TestAcceptThenDropAndDropUnexecuted_S21(t *testing.T) {
	t.Parallel()
	for _, executed := range []bool{true, false} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			outcome := relaytest.DropUnexecuted()
			if executed {
				outcome = relaytest.AcceptThenDrop()
			}
			s.NextSends(outcome)
			watcher := connected(t, s, "office")
			c := connected(t, s, "office")
			synctest.Wait() // the session's authorization state follows its answer, and left rightly
			mark := s.LastSeq()
			id := c.request("messaging.send", sendParams(map[string]any{"tags": []string{"k-1"}}))
			_ = c.ended()
			synctest.Wait()
			if n := c.count(func(f frame) bool { return string(f.ID) == `"`+id+`"` }); n != 0 {
				t.Error("the send was answered")
			}
			send, err := s.ExpectSend(t.Context(), relaytest.WithTag("k-1"))
			if err != nil {
				t.Fatal(err)
			}
			if send.Executed != executed || send.Code != "" || send.Request() != id || (send.MessageID != "") != executed {
				t.Errorf("executed %v: noted %+v", executed, send)
			}
			if got := watcher.count(isEvent("messaging.state")); (got == 4) != executed {
				t.Errorf("executed %v: %d states for others", executed, got)
			}
			for _, f := range s.FramesAfter(mark) {
				if f.Dir == relaytest.ToClient && f.Conn == send.Conn {
					t.Errorf("the transcript claims that %s left", f)
				}
			}
		})
	}
}

func TestDropEverySends_S21(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		setFaults(t, s, func(f *relaytest.Faults) { f.DropEverySends, f.DropExecuted = 3, true })
		for range 2 {
			c := connected(t, s, "office")
			for range 2 {
				if f := c.call("messaging.send", sendParams(nil)); f.code(t) != "200" {
					t.Errorf("got %s", f.raw)
				}
			}
			c.request("messaging.send", sendParams(nil))
			_ = c.ended()
		}
		synctest.Wait()
		if st := s.Stats(); st.Sends != 6 || st.Executed != 6 {
			t.Errorf("%d sends, %d executed, want 6 each", st.Sends, st.Executed)
		}
	})
}

func TestExpectSendTakesEachOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		for _, body := range []string{"a", "b", "c"} {
			c.call("messaging.send", sendParams(map[string]any{"body": body}))
		}
		isB := func(send relaytest.Send) bool { return send.Body == "b" && len(s.Sends()) == 3 }
		var got []string
		for _, match := range []func(relaytest.Send) bool{isB, nil, nil} {
			send, err := s.ExpectSend(t.Context(), match)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, send.Body)
		}
		if !slices.Equal(got, []string{"b", "a", "c"}) {
			t.Errorf("got %q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if send, err := s.ExpectSend(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fourth send: %+v, %v", send, err)
		}
	})
}

func TestRateAndFaultCodes_S36(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		for method, params := range map[string]any{
			"messaging.send": sendParams(nil), "signalwire.receive": contexts("office"),
			"signalwire.unreceive": contexts("sales"), "signalwire.ping": map[string]any{},
		} {
			s.NextReplies(method, relaytest.Reply{Code: "429"}, relaytest.Reply{Code: "500"}, relaytest.Reply{Code: "503"},
				relaytest.Reply{RPCCode: -32603}, relaytest.Reply{RPCCode: -32000})
			for _, want := range []string{"429", "500", "503", "-32603", "-32000"} {
				if f := c.call(method, params); f.code(t) != want {
					t.Errorf("%s: %s, want %s", method, f.raw, want)
				}
			}
			if f := c.call(method, params); f.Error != nil {
				t.Errorf("%s after the script: %s", method, f.raw)
			}
		}
		if st := s.Stats(); st.Executed != 1 {
			t.Errorf("%d sends executed, want the last", st.Executed)
		}
		setFaults(t, s, func(f *relaytest.Faults) {
			f.Replies = map[string]relaytest.Reply{"messaging.send": {Code: "503"}, "signalwire.connect": {RPCCode: -32603}}
		})
		for range 2 {
			if f := c.call("messaging.send", sendParams(nil)); f.code(t) != "503" {
				t.Errorf("standing reply: %s", f.raw)
			}
			if f := dial(t, s).call("signalwire.connect", connectParams()); f.code(t) != "-32603" {
				t.Errorf("standing reply to connect: %s", f.raw)
			}
		}
	})
}

func TestReplyShapes_S29(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		for _, tc := range []struct {
			reply relaytest.Reply
			want  string
		}{
			{relaytest.Reply{NumericCode: true}, `"result":{"code":200,"message":"Receiving events"}}`},
			{relaytest.Reply{OmitCode: true}, `"result":{"message":"Receiving events"}}`},
			{relaytest.Reply{NullError: true}, `"error":null,"result":{"code":"200",`},
			{relaytest.Reply{Code: "402", NumericCode: true, Message: "Pay"}, `"result":{"code":402,"message":"Pay"}}`},
			{relaytest.Reply{RPCCode: -32603, StringCode: true, Message: "No"}, `"error":{"code":"-32603","message":"No"}}`},
			{relaytest.Reply{RPCCode: -1, Data: json.RawMessage(`{"a":1}`)}, `"error":{"code":-1,"message":"","data":{"a":1}}}`},
			{relaytest.Reply{Code: "-32001", Message: "Permission Denied.", Errors: json.RawMessage(`{}`)}, `"errors":{}`},
		} {
			s.NextReplies("signalwire.receive", tc.reply)
			if f := c.call("signalwire.receive", contexts("office")); !strings.Contains(string(f.raw), tc.want) {
				t.Errorf("%+v: got %s, want %s", tc.reply, f.raw, tc.want)
			}
		}
	})
}
