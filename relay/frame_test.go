package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// realFrames returns the frames in testdata/frames, by name.
func realFrames(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "frames", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no frames in testdata/frames: %v", err)
	}
	frames := map[string][]byte{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		frames[filepath.Base(f)] = bytes.TrimSpace(data)
	}
	return frames
}

// oddFrames are seeds that real traffic does not have.
var oddFrames = []string{
	`{}`, `[]`, `null`, `"x"`, `0`, `-`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, " {\t\"a\"\r:\n[ ] } ",
	`{"a":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"}`, `{"a":"\u12"}`, `{"a":"\x"}`, `{"a":"` + "\x01" + `"}`, `{"a":"` + "\xff\xfe" + `"}`,
	`{"a":-0}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":1e+5}`, `{"a":1E-5}`, `{"a":--1}`, `{"a":tru}`, `{"a":nulll}`, `{"a":+1}`,
	`{"i\u0064":1,"m\u0065thod":"signalwire.\u0065vent","params":{"event\u005ftype":"x"}}`,
	`{"id":1,"id":2,"method":"a","method":"b","params":{"event_type":"x"},"params":{}}`,
	`{"result":{"code":"1"},"result":{"message":"m"}}`, `{"result":{"code":1},"result":null}`,
	`{"error":null,"result":{"code":"200","message":"ok","code":"201"}}`,
	`{"params":{"params":{"params":{"event_type":"deep"}}}}`, `{"a":{"id":1},"b":[{"method":"x"}]}`,
	strings.Repeat(`[`, 10001) + strings.Repeat(`]`, 10001), `{"a":` + strings.Repeat(`[`, 9999) + strings.Repeat(`]`, 9999) + `}`, `{"a":` + strings.Repeat(`[`, 10000) + strings.Repeat(`]`, 10000) + `}`,
	`{"result":` + strings.Repeat(`{"a":`, 9999) + `1` + strings.Repeat(`}`, 9999) + `}`, `{"result":` + strings.Repeat(`{"a":`, 10000) + `1` + strings.Repeat(`}`, 10000) + `}`,
}

// checkFrame compares parse with encoding/json.
func checkFrame(t *testing.T, data []byte) {
	t.Helper()
	var f frame
	err := f.parse(data)
	var top map[string]json.RawMessage
	valid := json.Valid(data)
	isObject := valid && bytes.TrimLeft(data, " \t\r\n")[0] == '{'
	switch {
	case !valid && !errors.Is(err, errBadJSON):
		t.Fatalf("%.200q: got %v, encoding/json calls it invalid", data, err)
	case valid && !isObject && !errors.Is(err, errNotObject):
		t.Fatalf("%.200q: got %v, want not an object", data, err)
	case isObject && err != nil:
		t.Fatalf("%.200q: got %v, encoding/json calls it valid", data, err)
	}
	if err != nil {
		return
	}
	if json.Unmarshal(data, &top) != nil {
		return // deeper than Unmarshal goes, where Valid does not mind
	}
	same := func(name string, got span, object map[string]json.RawMessage, key string) {
		t.Helper()
		want, ok := object[key]
		if ok != got.present() {
			t.Fatalf("%.200q: %s present: got %v, want %v", data, name, got.present(), ok)
		}
		if ok && !bytes.Equal(got.in(data), want) {
			t.Fatalf("%.200q: %s: got %s, want %s", data, name, got.in(data), want)
		}
	}
	for key, got := range map[string]span{"id": f.id, "method": f.method, "params": f.params, "result": f.result, "error": f.err} {
		same(key, got, top, key)
	}
	var params, result map[string]json.RawMessage
	_ = json.Unmarshal(top["params"], &params)
	_ = json.Unmarshal(top["result"], &result)
	same("params.event_type", f.eventType, params, "event_type")
	same("params.params", f.inner, params, "params")
	same("result.code", f.code, result, "code")
	same("result.message", f.message, result, "message")
	for _, p := range []span{f.method, f.eventType, f.message} {
		if !p.present() {
			continue
		}
		got, ok := plainString(p.in(data))
		var want string
		isString := json.Unmarshal(p.in(data), &want) == nil && p.in(data)[0] == '"'
		if ok != isString {
			t.Fatalf("%s: a string: got %v, want %v", p.in(data), ok, isString)
		}
		if ok && bytes.IndexByte(p.in(data), '\\') >= 0 && string(got) != want {
			t.Fatalf("%s: got %q, want %q", p.in(data), got, want)
		}
	}
}

func TestFrameAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	for name, data := range realFrames(t) {
		t.Run(name, func(t *testing.T) {
			checkFrame(t, data)
			// Cut anywhere, and with any byte changed, the two still agree.
			for i := range data {
				checkFrame(t, data[:i])
				changed := bytes.Clone(data)
				for _, c := range []byte{'"', '\\', '{', 0, 0x1f, 0xff} {
					changed[i] = c
					checkFrame(t, changed)
				}
			}
		})
	}
	for _, text := range oddFrames {
		checkFrame(t, []byte(text))
	}
}

func FuzzFrame(f *testing.F) {
	for _, data := range realFrames(f) {
		f.Add(data)
	}
	for _, text := range oddFrames {
		f.Add([]byte(text))
	}
	f.Fuzz(checkFrame)
}

// offline is a session without a socket: frames go in by hand, and what would
// be written stays in the lanes.
func offline(h Handler) *session {
	c, err := New(Config{Project: "p", Token: testToken})
	if err != nil {
		panic(err)
	}
	c.log = discard
	c.handler = h
	near, _ := newPipe(1)
	return &session{
		c: c, log: discard, accepting: true, conn: newBatchConn(near, near, time.Second), names: map[string]string{}, pending: map[uuid.UUID]pending{},
		probe: make(chan struct{}, 1), wake: make(chan struct{}, 1), stop: func() {},
	}
}

// FuzzReadObject feeds one frame to the router of a session in which one
// request of Go and one call of jsonrpc2 wait, and checks that it reaches at
// most one of them, the right one, and that events carry the bytes that came.
func FuzzReadObject(f *testing.F) {
	goID := uuid.MustParse("0192f0c1-0000-7000-8000-00000000000a")
	rpcID := uuid.MustParse("0192f0c1-0000-7000-8000-00000000000b")
	for _, data := range realFrames(f) {
		f.Add(data)
	}
	for _, id := range []string{goID.String(), rpcID.String(), strings.ToUpper(goID.String())} {
		for _, rest := range []string{`"result":{"code":"200","message":"ok"}`, `"result":null`, `"error":{"code":"-1","message":"no"}`, `"error":null,"result":{"code":500}`, `"method":"x"`, `"error":null`} {
			f.Add([]byte(`{"jsonrpc":"2.0","id":"` + id + `",` + rest + `}`))
		}
	}
	for _, text := range oddFrames {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := &watcher{events: make(chan *Event, 1)}
		s := offline(w)
		var got []Answer
		s.pending[goID] = pending{method: "messaging.send", done: func(a Answer) { got = append(got, a) }}
		s.pending[rpcID] = pending{method: "x.y", cancel: func(error) {}}
		answer := s.route(data)
		if s.drainEnd != nil {
			s.drainEnd.Stop()
		}

		var top struct {
			ID     json.RawMessage
			Method json.RawMessage
			Result json.RawMessage
			Error  json.RawMessage
		}
		exact := map[string]json.RawMessage{}
		valid := json.Unmarshal(data, &exact) == nil && exact != nil
		top.ID, top.Method, top.Result, top.Error = exact["id"], exact["method"], exact["result"], exact["error"]
		isNull := func(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
		var id string
		_ = json.Unmarshal(top.ID, &id)
		isAnswer := valid && isNull(top.Method) && (len(top.Result) > 0 || !isNull(top.Error))

		mineGo := isAnswer && strings.EqualFold(id, goID.String())
		mineRPC := isAnswer && strings.EqualFold(id, rpcID.String())
		plainID := bytes.IndexByte(top.ID, '\\') < 0 // an id in escapes is not how we wrote it
		if len(got) != 0 && !mineGo || mineGo && plainID && len(got) != 1 {
			t.Fatalf("%q: Go got %d answers", data, len(got))
		}
		if answer != nil && !mineRPC || mineRPC && plainID && answer == nil {
			t.Fatalf("%q: jsonrpc2 got %q", data, answer)
		}
		if answer != nil {
			var m struct {
				ID     string
				Result json.RawMessage
				Error  *struct {
					Code    int64
					Message string
					Data    json.RawMessage
				}
			}
			if err := json.Unmarshal(answer, &m); err != nil || m.ID != rpcID.String() || (m.Error == nil) != isNull(top.Error) {
				t.Fatalf("%q became %q: %v", data, answer, err)
			}
		}
		if len(w.events) > 0 {
			ev := <-w.events
			if !bytes.Equal(ev.Frame, data) || !isNull(exact["params"]) && !bytes.Equal(ev.Params, exact["params"]) {
				t.Fatalf("event of %q: frame %q, params %q", data, ev.Frame, ev.Params)
			}
			if ev.NeedsAck() == isNull(top.ID) {
				t.Fatalf("%q: NeedsAck is %v", data, ev.NeedsAck())
			}
			if err := ev.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range []*lane{&s.lanes.control, &s.lanes.acks} {
			for !l.empty() {
				var reply struct{ ID json.RawMessage }
				raw := l.take()
				if err := json.Unmarshal(raw, &reply); err != nil || !bytes.Equal(reply.ID, top.ID) {
					t.Fatalf("%q is answered with %q", data, raw)
				}
			}
		}
	})
}
