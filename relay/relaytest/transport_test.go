package relaytest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func TestServesBothPaths_S1(t *testing.T) {
	t.Parallel()
	s := relaytest.NewServer(t)
	for _, url := range []string{
		s.URL(), s.URL() + "api/relay/ws", s.TLSURL(), s.TLSURL() + "api/relay/ws",
	} {
		c := dialURL(t, s, url)
		if f := c.call("signalwire.connect", connectParams()); f.Error != nil {
			t.Errorf("%s: %s", url, f.raw)
		}
		if c.ws.Subprotocol() != "" {
			t.Errorf("%s: subprotocol %q", url, c.ws.Subprotocol())
		}
	}
	for _, path := range []string{"api", "relay", "api/relay/ws/"} {
		resp, err := s.Client().Get("http" + strings.TrimPrefix(s.URL(), "ws") + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if path != "api" && resp.StatusCode/100 != 4 || path == "relay" && resp.StatusCode != http.StatusNotFound {
			t.Errorf("/%s: status %d, want 404", path, resp.StatusCode)
		}
	}
}

func TestRefusesStrangersOfTheAuthority_S1(t *testing.T) {
	t.Parallel()
	s := relaytest.NewServer(t)
	_, _, err := websocket.Dial(testContext(t), s.TLSURL(), nil)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("dial without the authority: %v, want a certificate error", err)
	}
	if !strings.Contains(string(s.CACert()), "BEGIN CERTIFICATE") {
		t.Errorf("CACert is no PEM: %q", s.CACert())
	}
}

func TestDeflateOnlyOnDemand_S1(t *testing.T) {
	t.Parallel()
	for _, accept := range []bool{false, true} {
		s := relaytest.NewServer(t)
		setFaults(t, s, func(f *relaytest.Faults) { f.AcceptDeflate = accept })
		ws, resp, err := websocket.Dial(testContext(t), s.URL(), &websocket.DialOptions{
			HTTPClient: s.Client(), CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		agreed := strings.Contains(resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		if agreed != accept {
			t.Errorf("accept %v: agreed %v", accept, agreed)
		}
		// The same exchange must work either way, the request being compressed
		// and long enough to matter.
		params := with(connectParams(), map[string]any{"agent": strings.Repeat("abc ", 500)})
		data, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "1", "method": "signalwire.connect", "params": params})
		if err := ws.Write(testContext(t), websocket.MessageText, data); err != nil {
			t.Fatal(err)
		}
		_, got, err := ws.Read(testContext(t))
		if err != nil || object(t, got)["result"] == nil {
			t.Errorf("accept %v: read %q, %v", accept, got, err)
		}
		_ = ws.CloseNow()
	}
}

func TestTranscriptHoldsEveryFrame_S2(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		c.authState()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		mark := s.LastSeq()
		id := c.request("messaging.send", sendParams(nil))
		c.states(4)
		synctest.Wait()
		frames := s.FramesAfter(mark)
		if len(frames) != 10 {
			t.Fatalf("%d frames, want the send, its answer, 4 events and 4 acks: %v", len(frames), frames)
		}
		first := frames[0]
		body := first.Body()["params"].(map[string]any)
		if first.Dir != relaytest.FromClient || first.Conn != 1 || first.Method != "messaging.send" ||
			string(first.ID) != `"`+id+`"` || body["body"] != "hello" || !strings.HasPrefix(first.Session, "signalwire_") {
			t.Errorf("first frame %+v", first)
		}
		if !first.Time.Equal(s.Clock().Now()) {
			t.Errorf("frame time %v, want %v", first.Time, s.Clock().Now())
		}
		if frames[1].Dir != relaytest.ToClient || string(frames[1].ID) != `"`+id+`"` {
			t.Errorf("second frame %v, want the answer", frames[1])
		}
		for i, f := range frames {
			if f.Seq != mark+1+uint64(i) {
				t.Errorf("frame %d has seq %d", i, f.Seq)
			}
		}
	})
}

func TestWaitFrameSeesPastAndFuture_S2(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		if _, err := s.WaitFrame(t.Context(), relaytest.IsMethod("signalwire.connect")); err != nil {
			t.Error(err)
		}
		go func() {
			time.Sleep(time.Second)
			c.request("signalwire.receive", map[string]any{"contexts": []string{"late"}})
		}()
		f, err := s.WaitFrame(t.Context(), relaytest.IsMethod("signalwire.receive"))
		if err != nil || f.Method != "signalwire.receive" {
			t.Errorf("got %v, %v", f, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.WaitFrame(ctx, relaytest.IsMethod("nothing")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err %v, want the deadline", err)
		}
	})
}

func TestTranscriptIsBounded_S2(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		for range 20 {
			c.call("signalwire.ping", map[string]any{})
		}
		frames := s.Frames()
		if len(frames) != 5 {
			t.Fatalf("%d frames kept, want 5", len(frames))
		}
		if last := frames[4].Seq; last != s.LastSeq() || frames[0].Seq != last-4 {
			t.Errorf("kept %d to %d, want the last 5 of %d", frames[0].Seq, last, s.LastSeq())
		}
	}, func(c *relaytest.Config) { c.Transcript = 5 })
}

func TestCountsInvalidInput_S3(t *testing.T) {
	t.Parallel()
	for _, closing := range []bool{false, true} {
		for name, tc := range map[string]struct {
			kind websocket.MessageType
			data string
			code int
		}{
			"binary":    {websocket.MessageBinary, "{}", 1003},
			"not json":  {websocket.MessageText, "hello", 1007},
			"truncated": {websocket.MessageText, `{"jsonrpc":"2.0"`, 1007},
			"array":     {websocket.MessageText, `[]`, 1007},
			"broken":    {websocket.MessageText, "{\"a\":\"\xff\"}", 1007},
			"no member": {websocket.MessageText, `{"jsonrpc":"2.0","id":"1"}`, 1007},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T, s *relaytest.Server) {
					setFaults(t, s, func(f *relaytest.Faults) { f.CloseOnInvalid = closing })
					c := connected(t, s, "office")
					if err := c.ws.Write(t.Context(), tc.kind, []byte(tc.data)); err != nil {
						t.Fatal(err)
					}
					if closing {
						if got := closeCode(c.ended()); got != tc.code {
							t.Errorf("closed with %d, want %d", got, tc.code)
						}
					} else if f := c.call("signalwire.ping", map[string]any{}); f.Error != nil {
						t.Errorf("after invalid input: %s", f.raw)
					}
					if got := s.Stats().InvalidFrames; got != 1 {
						t.Errorf("%d invalid frames counted, want 1", got)
					}
				}, relaytest.Lenient)
			})
		}
	}
}

// halfOpen runs the same client against both kinds of connection.
func TestHalfOpen_S28(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ read, write bool }{
		"deaf": {true, false}, "dumb": {false, true}, "both": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				c := connected(t, s, "office")
				c.authState()
				sess := s.Session(t)
				sess.Silence(tc.read, tc.write)
				mark := s.LastSeq()
				id := c.request("signalwire.ping", map[string]any{})
				time.Sleep(12 * time.Second) // two server pings fall due
				synctest.Wait()
				seen := len(s.FramesAfter(mark))
				pings := c.count(isPing)
				if wantPings := map[bool]int{false: 2, true: 0}[tc.write]; pings != wantPings {
					t.Errorf("%d server pings arrived, want %d", pings, wantPings)
				}
				arrived := false
				for _, f := range s.FramesAfter(mark) {
					arrived = arrived || f.Method == "signalwire.ping" && f.Dir == relaytest.FromClient
				}
				if arrived == tc.read {
					t.Errorf("the client's ping was read: %v (of %d frames)", arrived, seen)
				}
				if sess.Conn() == 0 {
					t.Error("the connection was closed")
				}
				sess.Silence(false, false)
				c.find("the pong", func(f frame) bool { return string(f.ID) == `"`+id+`"` })
			})
		})
	}
}

func TestHalfOpenNoticesTheClientLeaving_S28(t *testing.T) {
	t.Parallel()
	for _, options := range [][]relaytest.Option{{}, {relaytest.InMemory}} {
		s := relaytest.NewServer(t, options...)
		c := connected(t, s, "office")
		sess := s.Session(t)
		sess.Silence(true, true)
		c.request("signalwire.ping", map[string]any{})
		_ = c.ws.CloseNow()
		waitFor(t, s, "the end of the connection", func() bool { return sess.Conn() == 0 })
	}
}

// waitFor waits for a condition on the server by watching its statistics change.
func waitFor(t testing.TB, s *relaytest.Server, what string, ok func() bool) {
	t.Helper()
	if err := s.Wait(testContext(t), ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestReset_S28(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]relaytest.Option{"tcp": {}, "memory": {relaytest.InMemory}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := relaytest.NewServer(t, options...)
			c := connected(t, s, "office")
			sess := s.Session(t)
			sess.Drop()
			if sess.Conn() != 0 {
				t.Error("still connected after Drop")
			}
			if err := c.ended(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("client saw %v, want a reset", err)
			}
		})
	}
}

func TestCloseWithAnyCode_S28(t *testing.T) {
	t.Parallel()
	for _, code := range []int{1000, 1001, 1008, 1011, 1012, 1013, 3000, 4999} {
		bubble(t, func(t *testing.T, s *relaytest.Server) {
			c := connected(t, s, "office")
			sess := s.Session(t)
			sess.Close(code, "because")
			if got := closeCode(c.ended()); got != code {
				t.Errorf("closed with %d, want %d", got, code)
			}
			synctest.Wait()
			if info := s.Connections()[0]; info.Closed.IsZero() || info.CloseCode != code {
				t.Errorf("connection %+v", info)
			}
		})
	}
	// Codes that RFC 6455 forbids on the wire still get there.
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		s.Session(t).Close(1006, "")
		if err := c.ended(); err == nil || !strings.Contains(err.Error(), "StatusAbnormalClosure") {
			t.Errorf("client saw %v, want a complaint about code 1006", err)
		}
	})
}

func TestSlowAndTrickledAndFragmented_S28(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		c := connected(t, s, "office")
		c.authState()
		sess := s.Session(t)
		start := time.Now()
		sess.Impair(relaytest.Impairment{WriteChunk: 10, WriteDelay: time.Millisecond, Fragment: 7})
		sess.Deliver(relaytest.SMS{Body: "slowly"})
		f := c.event("messaging.receive")
		took := time.Since(start)
		if f.inner(t)["body"] != "slowly" {
			t.Errorf("got %s", f.raw)
		}
		// Each 7 payload bytes cost 2 of header: over 9/7 of the frame's length.
		if least := time.Duration(len(f.raw)*9/7/10-1) * time.Millisecond; took < least {
			t.Errorf("trickled in %v, want at least %v", took, least)
		}
		c.ack(f)
		sess.Impair(relaytest.Impairment{ReadChunk: 1, ReadDelay: time.Millisecond})
		start = time.Now()
		c.call("signalwire.ping", map[string]any{})
		c.call("signalwire.ping", map[string]any{})
		if took := time.Since(start); took < 60*time.Millisecond {
			t.Errorf("slow reader took %v, want 1 ms for each byte of the second ping", took)
		}
	})
}

func TestStandingConnectionFaults_S28(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		old := connected(t, s, "office")
		setFaults(t, s, func(f *relaytest.Faults) { f.Impair = relaytest.Impairment{WriteChunk: 100, WriteDelay: time.Second} })
		start := time.Now()
		old.call("signalwire.ping", map[string]any{})
		if took := time.Since(start); took != 0 {
			t.Errorf("the connection of before took %v", took)
		}
		connected(t, s, "office")
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("a new connection took %v, want 1 s for each 100 bytes", took)
		}
		setFaults(t, s, func(f *relaytest.Faults) { *f = relaytest.Faults{SilenceWrites: true} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := websocket.Dial(ctx, s.URL(), &websocket.DialOptions{HTTPClient: s.Client()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial of a silent server: %v", err)
		}
	})
}

func TestRefuseTCP_S28(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]relaytest.Option{"tcp": {}, "memory": {relaytest.InMemory}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := relaytest.NewServer(t, options...)
			old := connected(t, s, "office")
			setFaults(t, s, func(f *relaytest.Faults) { f.RefuseTCP = true })
			for _, url := range []string{s.URL(), s.TLSURL()} {
				_, _, err := websocket.Dial(testContext(t), url, &websocket.DialOptions{HTTPClient: s.Client()})
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("dial %s: %v, want connection refused", url, err)
				}
			}
			if f := old.call("signalwire.ping", map[string]any{}); f.Error != nil {
				t.Error("the connection of before is gone")
			}
			setFaults(t, s, func(f *relaytest.Faults) { f.RefuseTCP = false })
			connected(t, s, "office")
			dialURL(t, s, s.TLSURL())
		})
	}
}

func TestStalledHandshake_S28(t *testing.T) {
	t.Parallel()
	for name, arm := range map[string]func(*testing.T, *relaytest.Server){
		"standing": func(t *testing.T, s *relaytest.Server) {
			setFaults(t, s, func(f *relaytest.Faults) { f.StallHandshake = true })
		},
		"once": func(_ *testing.T, s *relaytest.Server) { s.NextUpgrades(relaytest.Upgrade{Stall: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *relaytest.Server) {
				arm(t, s)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				_, _, err := websocket.Dial(ctx, s.URL(), &websocket.DialOptions{HTTPClient: s.Client()})
				if err == nil || time.Since(start) != 10*time.Second {
					t.Errorf("dial ended after %v with %v, want the deadline", time.Since(start), err)
				}
				setFaults(t, s, func(f *relaytest.Faults) { f.StallHandshake = false })
				connected(t, s, "office")
			})
		})
	}
}

func TestStalledHandshakeOnTCP_S28(t *testing.T) {
	t.Parallel()
	s := relaytest.NewServer(t)
	setFaults(t, s, func(f *relaytest.Faults) { f.StallHandshake = true })
	raw, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL(), "ws://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := io.WriteString(raw, "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// Nothing can be waited for in silence; lifting the stall must let the same
	// connection go on, which shows that it was accepted and kept.
	setFaults(t, s, func(f *relaytest.Faults) { f.StallHandshake = false })
	answer, err := io.ReadAll(raw)
	if err != nil || !strings.Contains(string(answer), "404 Not Found") {
		t.Errorf("after the stall: %q, %v", answer, err)
	}
}

func TestUpgradeStatus_S28(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		status := func() int {
			ws, resp, err := websocket.Dial(t.Context(), s.URL(), &websocket.DialOptions{HTTPClient: s.Client()})
			if err == nil {
				_ = ws.CloseNow()
			}
			if resp == nil {
				return -1
			}
			if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After %q, want 7", resp.Header.Get("Retry-After"))
			}
			return resp.StatusCode
		}
		s.NextUpgrades(relaytest.Upgrade{Status: 401}, relaytest.Upgrade{Status: 403},
			relaytest.Upgrade{Status: 429, RetryAfter: 7 * time.Second}, relaytest.Upgrade{Status: 503}, relaytest.Upgrade{Reset: true})
		for _, want := range []int{401, 403, 429, 503, -1, 101} {
			if got := status(); got != want {
				t.Errorf("status %d, want %d", got, want)
			}
		}
		setFaults(t, s, func(f *relaytest.Faults) { f.UpgradeStatus = 503 })
		if a, b := status(), status(); a != 503 || b != 503 {
			t.Errorf("standing status: %d, %d, want 503 twice", a, b)
		}
	})
}

func TestMuteConnect_S28(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		setFaults(t, s, func(f *relaytest.Faults) { f.MuteConnect = true })
		c := dial(t, s)
		c.request("signalwire.connect", connectParams("office"))
		time.Sleep(time.Minute)
		if got := c.pending(); len(got) != 0 {
			t.Errorf("got %s, want silence", rawAll(got))
		}
		if n := len(s.Sessions()); n != 0 {
			t.Errorf("%d sessions, want none", n)
		}
	})
}

func TestInMemoryKnowsItsAddresses(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *relaytest.Server) {
		if _, err := s.DialContext(t.Context(), "tcp", "elsewhere.test:80"); err == nil || !strings.Contains(err.Error(), "URL") {
			t.Errorf("dial elsewhere: %v, want a hint at the URLs", err)
		}
	})
}
