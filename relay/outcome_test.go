package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestInFlightRequestsEndAtOnce_R34(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		sent := r.ask("messaging.send", `{"n":1}`)
		p.expect("messaging.send")
		call := make(chan error, 1)
		go func() { call <- r.Call(context.Background(), "x.y", nil, nil) }()
		p.expect("x.y")
		start := time.Now()
		p.conn.reset()
		if a := <-sent; !errors.Is(a.Err, ErrInDoubt) || errors.Is(a.Err, ErrNotSent) || !strings.Contains(a.Err.Error(), "reset") {
			t.Errorf("written request: got %v, want ErrInDoubt with the cause", a.Err)
		}
		if err := <-call; !errors.Is(err, ErrInDoubt) {
			t.Errorf("Call: got %v, want ErrInDoubt", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("ended after %s, want at once", d)
		}
		// Without a session a request is not sent, before Go returns.
		synctest.Wait()
		late := r.ask("messaging.send", `{}`)
		select {
		case a := <-late:
			if !errors.Is(a.Err, ErrNotSent) {
				t.Errorf("offline: got %v, want ErrNotSent", a.Err)
			}
		default:
			t.Error("Go returned without an answer while offline")
		}
	})
}

// The kernel took part of the frames and then the peer was gone: exactly the
// requests of which it has no byte are not sent.
func TestLineBetweenNotSentAndInDoubt_R34(t *testing.T) {
	params := func(i int) []byte {
		return fmt.Appendf(nil, `{"n":%d,"body":"%s"}`, i, strings.Repeat("x", i%97))
	}
	// Exactly the first n frames, so that the next one begins where the kernel
	// ends.
	exactly := func(n int) (room int) {
		for i := range n {
			size := len(appendRequest(nil, uuid.UUID{}, "messaging.send", params(i)))
			room += 2 + 4 + size // header and mask
			if size > 125 {
				room += 2
			}
		}
		return room
	}
	for _, room := range []int{1, 150, 151, 1000, 3333, 20000, exactly(1), exactly(2), exactly(100), exactly(101) - 1, exactly(101) + 1} {
		synctestRun(t, fmt.Sprint(room), func(t *testing.T, sp *space) {
			r := sp.run()
			p := sp.ready()
			r.ready(t)
			p.answer(p.expect("signalwire.ping"), `{}`)
			synctest.Wait()
			p.conn.in.mu.Lock()
			p.conn.in.room = room // the "kernel" takes this much and no more
			p.conn.in.mu.Unlock()

			const n = 400
			var mu sync.Mutex
			outcomes := map[int]error{}
			ids := map[string]int{}
			for i := range n {
				id := uuid.New()
				ids[id.String()] = i
				r.Go(id, "messaging.send", params(i), func(a Answer) {
					mu.Lock()
					defer mu.Unlock()
					if _, twice := outcomes[i]; twice {
						t.Errorf("request %d ended twice", i)
					}
					outcomes[i] = a.Err
				})
			}
			time.Sleep(DefaultWriteTimeout + time.Second)
			synctest.Wait()
			// What did the kernel take? Whole frames, then perhaps a part of one.
			p.conn.in.mu.Lock()
			p.r.Reset(strings.NewReader(string(p.conn.in.buf)))
			p.conn.in.mu.Unlock()
			whole := 0
			partial := false
			for {
				_, payload, err := p.readFrame()
				if err != nil {
					partial = !errors.Is(err, io.EOF)
					break
				}
				var m msg
				if json.Unmarshal(payload, &m) != nil || m.Method != "messaging.send" {
					t.Fatalf("unexpected frame %s", payload)
				}
				whole++
			}
			line := whole
			if partial {
				line++
			}
			mu.Lock()
			defer mu.Unlock()
			if len(outcomes) != n {
				t.Fatalf("%d requests ended, want %d", len(outcomes), n)
			}
			if line == 0 || line == n {
				t.Fatalf("the line is at %d of %d; the test needs it between", line, n)
			}
			for i := range n {
				want := ErrNotSent
				if i < line {
					want = ErrInDoubt
				}
				if !errors.Is(outcomes[i], want) {
					t.Fatalf("request %d, the kernel has bytes of %d: got %v, want %v", i, line, outcomes[i], want)
				}
			}
			if got := r.Status().Disconnects[reasonWrite]; got != 1 {
				t.Errorf("disconnects by write: %d", got)
			}
		})
	}
}

func TestWriteIsBounded_R4(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		synctest.Wait()
		p.conn.in.mu.Lock()
		p.conn.in.room = 10
		p.conn.in.mu.Unlock()
		start := time.Now()
		a := <-r.ask("messaging.send", `{}`)
		if d := time.Since(start); d != DefaultWriteTimeout {
			t.Errorf("the write failed after %s, want %s", d, DefaultWriteTimeout)
		}
		if !errors.Is(a.Err, ErrInDoubt) {
			t.Errorf("got %v, want ErrInDoubt: ten bytes left", a.Err)
		}
	})
}

// A pong and an ack do not wait for the bulk that is queued before them.
func TestControlOvertakesBulk_R5(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.room = 64 << 10
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		p.event(`"ev"`, "messaging.receive")
		ev := <-r.events
		body := `{"body":"` + strings.Repeat("x", 600) + `"}`
		const n = 5000 // some 3.5 MB
		for range n {
			r.Go(uuid.New(), "messaging.send", []byte(body), func(Answer) {})
		}
		synctest.Wait() // the pipe is full, the writer waits
		p.write(`{"jsonrpc":"2.0","id":"pg","method":"signalwire.ping","params":{}}`)
		synctest.Wait()
		if err := ev.Ack(); err != nil {
			t.Fatal(err)
		}
		before := map[string]int{}
		for sends := 0; len(before) < 2; {
			m := p.read()
			switch {
			case m.Method == "messaging.send":
				sends++
			case m.Method == "":
				before[string(m.ID)] = sends
			}
		}
		// In front are at most what the pipe held, the round being written, and
		// the one that was encoded: about 200 kB of 3.5 MB.
		for id, sends := range before {
			if most := 3 * 64 << 10 / 600; sends > most {
				t.Errorf("reply %s came after %d bulk frames, want at most %d of %d", id, sends, most, n)
			}
		}
	})
}

// Bulk does not starve either, however many acknowledgements there are.
func TestAcksDoNotStarveRequests_R5(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.room = 64 << 10
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		var evs []*Event
		for i := range 10000 {
			p.event(fmt.Sprint(i), "x")
			evs = append(evs, <-r.events)
		}
		for _, ev := range evs {
			if err := ev.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		r.ask("messaging.send", `{}`)
		acks := 0
		for {
			m := p.read()
			if m.Method == "messaging.send" {
				break
			}
			acks++
		}
		if acks > 5000 {
			t.Errorf("the request came after %d of 10000 acks", acks)
		}
	})
}

func TestPendingIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		sp.room = 64 << 20
		r := sp.run()
		p := sp.ready()
		r.ready(t)
		p.answer(p.expect("signalwire.ping"), `{}`)
		synctest.Wait()
		refused := 0
		for range maxPending + 5 {
			r.Go(uuid.New(), "x.y", nil, func(a Answer) {
				if errors.Is(a.Err, ErrNotSent) {
					refused++
				}
			})
		}
		if refused != 5 {
			t.Errorf("%d refused, want 5", refused)
		}
		if st := r.Status(); st.Pending != maxPending {
			t.Errorf("pending: got %d, want %d", st.Pending, maxPending)
		}
	})
}

// The peer answered and left, and our next write finds out before the reader
// does: the answer counts.
func TestAnswerBeforeTheEndCounts_R34(t *testing.T) {
	bubble(t, func(t *testing.T, sp *space) {
		w := newWatcher()
		w.onEvent = func(*Event) { time.Sleep(lastWords / 2) } // a reader that is a little behind
		r := sp.runWith(w)
		p := sp.ready()
		r.ready(t)
		p.answer(p.await("signalwire.ping"), `{}`)
		answered := r.ask("messaging.send", `{}`)
		m := p.expect("messaging.send")
		p.event(`1`, "x")
		p.answer(m, `{"code":"200"}`)
		p.conn.Close()
		synctest.Wait()
		lost := r.ask("messaging.send", `{}`)
		if a := <-answered; a.Err != nil {
			t.Errorf("answered request: got %v", a.Err)
		}
		if a := <-lost; !errors.Is(a.Err, ErrNotSent) {
			t.Errorf("request to a closed peer: got %v, want ErrNotSent", a.Err)
		}
	})
}
