package relay

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// ask makes one request of Go and returns where its answer arrives. A second
// call of done would block for ever and so fail the bubble.
func (r *running) ask(method, params string) <-chan Answer {
	out := make(chan Answer, 1)
	r.Go(uuid.New(), method, []byte(params), func(a Answer) {
		a.Result = append([]byte(nil), a.Result...)
		out <- a
	})
	return out
}

func TestIdsAreFreshUUIDs_R7(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		seen := map[string]bool{}
		for range 3 {
			p := sp.accept()
			check := func(m msg) {
				t.Helper()
				var id string
				if json.Unmarshal(m.ID, &id) != nil || uuid.Validate(id) != nil || len(id) != 36 || seen[id] {
					t.Errorf("%s: id %s is no fresh UUID string", m.Method, m.ID)
				}
				seen[id] = true
			}
			m := p.read()
			check(m)
			p.answer(m, connectResultJSON)
			for range 2 { // receive and the first ping, in either order
				m = p.read()
				check(m)
				p.answer(m, `{"code":"200"}`)
			}
			r.ready(t)
			for range 3 {
				go func() { _ = r.Call(t.Context(), "x.y", nil, nil) }()
			}
			for range 3 {
				m := p.read()
				check(m)
				p.answer(m, `{}`)
			}
			// The same request again, after a failure, has another id.
			p.conn.reset()
			synctest.Wait()
		}
	})
}

func TestGoWritesTheIdItWasGiven_R7(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		id := uuid.MustParse("0192f0c1-2233-7abc-8def-0123456789ab")
		answers := make(chan Answer, 2)
		r.Go(id, "messaging.send", []byte(`{"b":[1,2]}`), func(a Answer) { answers <- a })
		m := p.expect("messaging.send")
		if want := `{"jsonrpc":"2.0","id":"0192f0c1-2233-7abc-8def-0123456789ab","method":"messaging.send","params":{"b":[1,2]}}`; string(m.raw) != want {
			t.Errorf("got  %s\nwant %s", m.raw, want)
		}
		r.Go(id, "messaging.send", nil, func(a Answer) { answers <- a })
		var e *Error
		if a := <-answers; !errors.As(a.Err, &e) || !e.Local || e.Temporary() {
			t.Errorf("an id in use: got %v, want a local refusal", a.Err)
		}
	})
}

func TestResultCodes_R9(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		answer  string // members after the id
		code    string
		message string
		ok      bool
	}{
		{`"result":{"code":"200","message":"Message accepted"}`, "200", "Message accepted", true},
		{`"result":{"code":200,"message":"ok"}`, "200", "ok", true},
		{`"result":{"code":"201"}`, "201", "", true},
		{`"result":{"code":"226"}`, "226", "", true},
		{`"result":{}`, "", "", true},
		{`"result":null`, "", "", true},
		{`"result":"done"`, "", "", true},
		{`"result":{"code":null,"message":null}`, "", "", true},
		{`"error":null,"result":{"code":"200"}`, "200", "", true},
		{`"result":{"code":"200"},"error":null,"more":[{}]`, "200", "", true},
		{`"result":{"code":"402","message":"Payment required"}`, "402", "Payment required", false},
		{`"result":{"code":500,"message":"x"}`, "500", "x", false},
		{`"result":{"code":"-32001","message":"Permission Denied."}`, "-32001", "Permission Denied.", false},
		{`"result":{"code":"2000"}`, "2000", "", false},
		{`"result":{"code":"20"}`, "20", "", false},
		{`"result":{"code":"2xx"}`, "2xx", "", false},
		{`"result":{"code":true}`, "true", "", false},
		{`"error":{"code":-32603,"message":"Internal error"}`, "-32603", "Internal error", false},
		{`"error":{"code":"-32002","message":"nope"}`, "-32002", "nope", false},
		{`"error":{"message":"no code"}`, "", "no code", false},
		{`"error":"just words"`, "", "just words", false},
		{`"error":{"code":{"a":1},"message":7}`, `{"a":1}`, "", false},
		{`"error":{"code":-1,"message":"both"},"result":{"code":"200"}`, "-1", "both", false},
		{`"result":{"code":"4\u0030\u0030","message":"esc\u0061ped"}`, "400", "escaped", false},
	} {
		synctestRun(t, tt.answer, func(t *testing.T, sp *space) {
			r := sp.run()
			p := sp.ready()
			r.ready(t)
			check := func(how, code, message string, err error) {
				t.Helper()
				if (err == nil) != tt.ok {
					t.Errorf("%s: got error %v, want success %v", how, err, tt.ok)
				}
				if code != tt.code || message != tt.message {
					t.Errorf("%s: got code %q, message %q; want %q, %q", how, code, message, tt.code, tt.message)
				}
			}
			got := r.ask("messaging.send", `{}`)
			p.write(`{"jsonrpc":"2.0","id":%s,%s}`, p.expect("messaging.send").ID, tt.answer)
			a := <-got
			check("Go", a.Code, a.Message, a.Err)

			// The same answer to Call, which goes the way of jsonrpc2.
			done := make(chan error, 1)
			var result json.RawMessage
			go func() { done <- r.Call(t.Context(), "x.call", nil, &result) }()
			p.write(`{"jsonrpc":"2.0","id":%s,%s}`, p.expect("x.call").ID, tt.answer)
			err := <-done
			var e *Error
			if err == nil {
				check("Call", tt.code, tt.message, nil)
			} else if !errors.As(err, &e) {
				t.Errorf("Call: got %v, want an *Error", err)
			} else {
				check("Call", e.Code, e.Message, err)
			}
		})
	}
}

func synctestRun(t *testing.T, name string, f func(t *testing.T, sp *space)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { bubble(t, f) })
}

func TestErrorsSayWhoWhatAndWhy_R10(t *testing.T) {
	t.Parallel()
	remote := &Error{Method: "messaging.send", Code: "429", Message: "slow down"}
	if got, want := remote.Error(), "messaging.send refused, code 429: slow down"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	local := &Error{Method: "messaging.send", Code: codeFrameTooLarge, Message: "big", Local: true}
	if got := local.Error(); !strings.Contains(got, "locally") {
		t.Errorf("got %q, want the origin", got)
	}
	for code, want := range map[string]bool{"429": true, "500": true, "503": true, "-32603": true, "-32000": true, "402": false, "400": false, "-32601": false, "": false, "5": false} {
		if got := (&Error{Code: code}).Temporary(); got != want {
			t.Errorf("Temporary of code %q: got %v", code, got)
		}
	}
	if (&Error{Code: "500", Local: true}).Temporary() {
		t.Error("a local refusal is never temporary")
	}
}

func TestUnknownAnswersAreIgnored_R11(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		got := r.ask("messaging.send", `{}`)
		m := p.expect("messaging.send")
		for _, id := range []string{`"unknown"`, `0`, `null`, `-1`, `1.5`, `{"a":1}`, `"` + uuid.NewString() + `"`, strings.ToUpper(`"x"`)} {
			p.write(`{"jsonrpc":"2.0","id":%s,"result":{"code":"500"}}`, id)
			p.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"x"}}`, id)
		}
		p.write(`{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"}}`)
		p.answer(m, `{"code":"200","message_id":"mine"}`)
		p.answer(m, `{"code":"500","message_id":"twice"}`)
		a := <-got
		if a.Err != nil || !strings.Contains(string(a.Result), `"mine"`) {
			t.Errorf("got %+v", a)
		}
		synctest.Wait()
		if st := r.Status(); st.Unmatched != 18 || st.State != StateSubscribed {
			t.Errorf("unmatched: got %d, want 18; state %s", st.Unmatched, st.State)
		}
	})
}

// A caller that has given up still gets the answer: a late send result must be
// matched to its record.
func TestLateAnswerIsDelivered_R11(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		got := r.ask("messaging.send", `{}`)
		m := p.expect("messaging.send")
		go func() {
			time.Sleep(5 * time.Minute)
			p.answer(m, `{"code":"200","message_id":"late"}`)
		}()
		for {
			next, err := p.try()
			if err != nil {
				t.Fatal(err)
			}
			p.answer(next, `{}`)
			select {
			case a := <-got:
				if a.Err != nil {
					t.Errorf("late answer: %v", a.Err)
				}
				return
			default:
			}
		}
	})
}

func TestTooLargeIsRefusedHere(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		sp.ready()
		r.ready(t)
		big := `{"body":"` + strings.Repeat("x", maxOwnFrame) + `"}`
		var e *Error
		if a := <-r.ask("messaging.send", big); !errors.As(a.Err, &e) || !e.Local || errors.Is(a.Err, ErrNotSent) {
			t.Errorf("Go: got %v, want a local refusal that is not worth repeating", a.Err)
		}
		if err := r.Call(t.Context(), "x", json.RawMessage(big), nil); !errors.As(err, &e) || !e.Local {
			t.Errorf("Call: got %v", err)
		}
		if err := r.Call(t.Context(), "x", func() {}, nil); !errors.As(err, &e) || !e.Local {
			t.Errorf("Call with params that are no JSON: got %v", err)
		}
	})
}

func TestEveryWaitHasAnEnd_R53(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ready: got %v", err)
		}
		if err := r.Call(ctx, "x", nil, nil); !errors.Is(err, ErrNotSent) {
			t.Errorf("Call with a dead context: got %v, want ErrNotSent", err)
		}
		p := sp.ready()
		r.ready(t)
		// A context without a deadline is bounded by the call timeout, one with
		// a shorter deadline by that.
		start := time.Now()
		short, stop := context.WithTimeout(context.Background(), 3*time.Second)
		defer stop()
		if err := r.Call(short, "x.y", nil, nil); !errors.Is(err, ErrInDoubt) || time.Since(start) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		_ = p
	})
}

func TestCallDecodesItsResult(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		done := make(chan error, 1)
		var got struct{ Answer int }
		call := func(into any) {
			go func() { done <- r.Call(t.Context(), "x.y", map[string]string{"q": "?"}, into) }()
		}
		call(&got)
		m := p.expect("x.y")
		jsonEqual(t, m.Params, `{"q":"?"}`)
		p.answer(m, `{"code":"200","answer":42}`)
		if err := <-done; err != nil || got.Answer != 42 {
			t.Errorf("got %+v, %v", got, err)
		}
		call(&got)
		p.answer(p.expect("x.y"), `{"answer":"not a number"}`)
		var e *Error
		if err := <-done; !errors.As(err, &e) || !e.Local || strings.Contains(err.Error(), "not a number") {
			t.Errorf("a result of another form: got %v", err)
		}
	})
}

func TestUUIDText(t *testing.T) {
	t.Parallel()
	for range 1000 {
		id := uuid.New()
		text := string(appendUUID(nil, id))
		if text != id.String() {
			t.Fatalf("appendUUID: got %s, want %s", text, id)
		}
		for _, form := range []string{text, strings.ToUpper(text)} {
			if got, ok := parseUUID([]byte(`"` + form + `"`)); !ok || got != id {
				t.Fatalf("parseUUID(%s): got %s, %v", form, got, ok)
			}
		}
	}
	id := uuid.NewString()
	for _, bad := range []string{"", `""`, id, `"` + id, `"` + id[:35] + `"`, `"` + strings.Replace(id, "-", "0", 1) + `"`, `"` + "g" + id[1:] + `"`, "7" + id + `"`} {
		if _, ok := parseUUID([]byte(bad)); ok {
			t.Errorf("parseUUID(%s) succeeds", bad)
		}
	}
}
