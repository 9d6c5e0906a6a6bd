package relay

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// Canaries in every place that a secret can come from, and a log of every
// level.
func TestNoCredentialIsEverShown_R3(t *testing.T) {
	const (
		state    = "Y2FuYXJ5LWE=:Y2FuYXJ5LWI="
		protocol = "signalwire_canary_protocol"
		jwt      = "eyJcanary.jwt.token"
	)
	for _, useJWT := range []bool{false, true} {
		synctestRun(t, fmt.Sprint("jwt ", useJWT), func(t *testing.T, sp *space) {
			var mu sync.Mutex
			var log bytes.Buffer
			secret := testToken
			var shown []string
			r := sp.run(func(c *Config) {
				c.Logger = slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, w: &log}, &slog.HandlerOptions{Level: slog.LevelDebug - 8, AddSource: true}))
				if useJWT {
					secret = jwt
					c.Token, c.JWT = "", jwt
				}
			})
			echo := secret + " " + state + " " + protocol
			p := sp.accept()
			p.answer(p.read(), `{"protocol":"`+protocol+`"}`)
			p.answer(p.expect("signalwire.receive"), `{"code":"402","message":"for `+echo+`"}`)
			authState(p, `"a"`, state)
			p.answer(p.expect("signalwire.receive"), ok200)
			r.ready(t)
			note := func(err error) {
				if err == nil {
					t.Error("no error where one was wanted")
					return
				}
				shown = append(shown, fmt.Sprintf("%v %+v %#v", err, err, err))
				for ; err != nil; err = errors.Unwrap(err) {
					shown = append(shown, fmt.Sprintf("%v %#v", err, err))
				}
			}
			for _, answer := range []string{`"error":{"code":-1,"message":"%s"}`, `"error":{"code":"%s","message":"x"}`, `"error":"%s"`, `"result":{"code":"500","message":"%s"}`} {
				got := r.ask("messaging.send", `{"secret":"`+secret+`"}`)
				p.write(`{"jsonrpc":"2.0","id":%s,%s}`, p.expect("messaging.send").ID, fmt.Sprintf(answer, echo))
				a := <-got
				note(a.Err)
				shown = append(shown, a.Code, a.Message)
				done := make(chan error, 1)
				go func() { done <- r.Call(t.Context(), "x.y", nil, nil) }()
				p.write(`{"jsonrpc":"2.0","id":%s,%s}`, p.expect("x.y").ID, fmt.Sprintf(answer, echo))
				note(<-done)
			}
			p.write("malformed %s", echo)
			p.write(`{"jsonrpc":"2.0","id":"%s","method":"%s"}`, echo, echo)
			p.write(`{"jsonrpc":"2.0","id":"%s","result":{}}`, echo)
			lost := r.ask("messaging.send", `{}`)
			p.expect("messaging.send")
			p.send(wsFrame(8, true, "\x03\xe9"+echo))
			note((<-lost).Err)
			p = sp.accept()
			p.refuse(p.read(), "-32603", echo)
			p = sp.accept()
			p.refuse(p.read(), "-32002", echo)
			p = sp.next()
			p.readHead()
			p.send("HTTP/1.1 503 " + secret + "\r\nX-Echo: " + echo + "\r\nContent-Length: 0\r\n\r\n")
			p = sp.next()
			p.readHead()
			p.send("garbage " + echo + "\r\n\r\n")
			p = sp.ready()
			r.ready(t)
			p.send("\xff\xff" + echo)
			sp.ready()
			shown = append(shown, fmt.Sprintf("%+v", r.Status()), fmt.Sprintf("%+v %#v", r.cfg, r.cfg))
			mu.Lock()
			logged := log.String()
			mu.Unlock()
			shown = append(shown, logged)
			if len(logged) < 500 {
				t.Error("hardly anything was logged; the test proves nothing")
			}
			for _, text := range shown {
				for _, canary := range []string{secret, state} {
					if i := strings.Index(text, canary); i >= 0 {
						t.Errorf("a credential shows in ...%s...", text[max(0, i-100):min(len(text), i+100)])
					}
				}
			}
			if strings.Contains(logged, protocol) {
				t.Error("the session's name shows in the log")
			}
		})
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// What repeats is logged once: an outage of an hour is not 120 warnings.
func TestRepeatedTroubleIsLoggedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		var mu sync.Mutex
		var log bytes.Buffer
		sp.setRefuse(true)
		sp.run(func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, w: &log}, nil))
		})
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "refused") {
			t.Errorf("%d lines, want one warning:\n%s", n, log.String())
		}
	})
}
