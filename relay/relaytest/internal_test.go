package relaytest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestSegments_S18(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		body string
		want int
	}{
		{"", 1},
		{strings.Repeat("a", 160), 1},
		{strings.Repeat("a", 161), 2},
		{strings.Repeat("a", 306), 2},
		{strings.Repeat("a", 307), 3},
		{strings.Repeat("€", 80), 1}, // two septets each
		{strings.Repeat("€", 81), 2}, //
		{strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3}, // an escape is not split: 152, 2+151, 1
		{strings.Repeat("é", 160), 1},                                  // in the alphabet
		{strings.Repeat("ё", 70), 1},
		{strings.Repeat("ё", 71), 2},
		{strings.Repeat("ё", 134), 2},
		{strings.Repeat("ё", 135), 3},
		{strings.Repeat("a", 69) + "ё", 1},
		{strings.Repeat("😀", 35), 1}, // two units each
		{strings.Repeat("😀", 36), 2},
		{strings.Repeat("😀", 67), 3}, // 33 to a part, pairs not split
		{"`", 1},
		{strings.Repeat("`", 71), 2}, // not in GSM-7
	} {
		if got := segments(tc.body); got != tc.want {
			t.Errorf("segments of %d bytes %.8q...: %d, want %d", len(tc.body), tc.body, got, tc.want)
		}
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	ms, err := members([]byte(` { "a" : [1,{"x":"]}"}] ,"b\u0022":"\\\"}", "a":null , "n":-1.5e3,"o":{} } `))
	if err != nil {
		t.Fatal(err)
	}
	want := []member{
		{"a", json.RawMessage(`[1,{"x":"]}"}]`)},
		{`b"`, json.RawMessage(`"\\\"}"`)},
		{"a", json.RawMessage(`null`)},
		{"n", json.RawMessage(`-1.5e3`)},
		{"o", json.RawMessage(`{}`)},
	}
	if len(ms) != len(want) {
		t.Fatalf("%d members, want %d", len(ms), len(want))
	}
	for i := range want {
		if ms[i].name != want[i].name || !bytes.Equal(ms[i].value, want[i].value) {
			t.Errorf("member %d is %s: %s, want %s: %s", i, ms[i].name, ms[i].value, want[i].name, want[i].value)
		}
	}
	for _, bad := range []string{``, ` `, `[]`, `1`, `{"a":1`, `{"a":1}{`, "null"} {
		if _, err := members([]byte(bad)); err == nil {
			t.Errorf("%q passes for an object", bad)
		}
	}
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":"a","method":"m","params":{"a":[1,2,{"b":"c\"}"}]}}`))
	f.Add([]byte("{\"a\xff\":\"\\u00e9\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ms, err := members(data)
		var want map[string]json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil {
			if err == nil {
				t.Errorf("accepted %q", data)
			}
			return
		}
		if err != nil {
			t.Fatalf("refused %q: %v", data, err)
		}
		got := map[string]json.RawMessage{}
		for _, m := range ms {
			got[m.name] = m.value
		}
		if len(got) != len(want) {
			t.Errorf("%d members, want %d", len(got), len(want))
		}
		for name, v := range want {
			if !bytes.Equal(bytes.TrimSpace(v), got[name]) {
				t.Errorf("%q is %s, want %s", name, got[name], v)
			}
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("q\"b\\s\n\x00\x1f\u2028é\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && back != want {
			t.Errorf("%q became %q", s, back)
		}
		if got := unquote(appendString(nil, s)); got != back {
			t.Errorf("unquote: %q, want %q", got, back)
		}
	})
}

// wsClientFrame is a masked frame.
func wsClientFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, maskBit|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	}
	b = append(b, 1, 2, 3, 4)
	at := len(b)
	b = append(b, payload...)
	unmask(b[at:], [4]byte{1, 2, 3, 4})
	return b
}

func TestWSReader(t *testing.T) {
	t.Parallel()
	long, longer := bytes.Repeat([]byte("x"), 300), bytes.Repeat([]byte("y"), 70_000)
	var controls []byte
	in := bytes.Join([][]byte{
		wsClientFrame(finBit|opText, []byte("one")),
		wsClientFrame(opText, []byte("tw")), wsClientFrame(finBit|opPing, []byte("p")), wsClientFrame(finBit|opContinuation, []byte("o")),
		wsClientFrame(finBit|opBinary, long), wsClientFrame(finBit|opText, longer), wsClientFrame(finBit|opText, nil),
		wsClientFrame(finBit|opClose, nil),
	}, nil)
	w := wsReader{r: bufio.NewReader(bytes.NewReader(in)), limit: 100_000, control: func(op byte, _ []byte) { controls = append(controls, op) }}
	for _, want := range []struct {
		op      byte
		payload []byte
	}{{opText, []byte("one")}, {opText, []byte("two")}, {opBinary, long}, {opText, longer}, {opText, nil}} {
		op, payload, err := w.next()
		if err != nil || op != want.op || !bytes.Equal(payload, want.payload) {
			t.Errorf("got %d, %d bytes, %v; want %d, %d bytes", op, len(payload), err, want.op, len(want.payload))
		}
	}
	if _, _, err := w.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the close: %v", err)
	}
	if !bytes.Equal(controls, []byte{opPing, opClose}) {
		t.Errorf("controls %v", controls)
	}
}

func TestWSReaderRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   []byte
		code int
	}{
		"no mask":           {[]byte{finBit | opText, 1, 'x'}, 1002},
		"reserved bit":      {wsClientFrame(finBit|0x20|opText, nil), 1002},
		"compressed":        {wsClientFrame(finBit|rsv1Bit|opText, nil), 1002},
		"opcode":            {wsClientFrame(finBit|0x3, nil), 1002},
		"continuation":      {wsClientFrame(finBit|opContinuation, nil), 1002},
		"interrupted":       {append(wsClientFrame(opText, nil), wsClientFrame(finBit|opText, nil)...), 1002},
		"long control":      {wsClientFrame(finBit|opPing, make([]byte, 126)), 1002},
		"fragmented ping":   {wsClientFrame(opPing, nil), 1002},
		"too long":          {wsClientFrame(finBit|opText, make([]byte, 1001)), 1009},
		"too long in parts": {append(wsClientFrame(opText, make([]byte, 600)), wsClientFrame(finBit|opContinuation, make([]byte, 600))...), 1009},
	} {
		w := wsReader{r: bufio.NewReader(bytes.NewReader(tc.in)), limit: 1000, control: func(byte, []byte) {}}
		_, _, err := w.next()
		var broken *wsError
		if !errors.As(err, &broken) || broken.code != tc.code {
			t.Errorf("%s: %v, want code %d", name, err, tc.code)
		}
	}
}

func TestMemPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := memPipe("a", "b")
		// Buffered: the writer does not wait for a reader, up to the bound.
		if n, err := a.Write(make([]byte, memBuffer)); n != memBuffer || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if err := a.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		n, err := a.Write([]byte("more"))
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("full: wrote %d, %v after %v", n, err, time.Since(start))
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no time-out", err)
		}
		_ = a.SetWriteDeadline(time.Time{})
		go func() { _, _ = a.Write([]byte("tail")); _ = a.Close() }()
		all, err := io.ReadAll(b)
		if err != nil || len(all) != memBuffer+4 || !bytes.HasSuffix(all, []byte("tail")) {
			t.Errorf("read %d bytes, %v", len(all), err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a closed peer: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read from a closed end: %v", err)
		}
	})
}

// TestMemPipeKeepsOrder pushes a long sequence through in pieces of changing
// size, so that the ring wraps and grows at every offset.
func TestMemPipeKeepsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := memPipe("a", "b")
		sent := make([]byte, 3*memBuffer)
		for i := range sent {
			sent[i] = byte(i * 7 / 3)
		}
		go func() {
			for rest, n := sent, 1; len(rest) > 0; n = n*3%10_007 + 1 {
				k, _ := a.Write(rest[:min(n, len(rest))])
				rest = rest[k:]
			}
			_ = a.Close()
		}()
		var got []byte
		for n := 1; ; n = n*5%7_919 + 1 {
			p := make([]byte, n)
			k, err := b.Read(p)
			got = append(got, p[:k]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes arrived changed, of %d", len(got), len(sent))
		}
	})
}

func TestMemPipeDeadlinesWakeReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := memPipe("a", "b")
		errs := make(chan error)
		go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
		synctest.Wait()
		_ = a.SetReadDeadline(time.Unix(1, 0)) // past, while a reader waits
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		_ = a.SetDeadline(time.Time{})
		go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
		synctest.Wait()
		_, _ = b.Write([]byte("lost"))
		b.Reset()
		if err := <-errs; err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the reset: %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write after the reset: %v", err)
		}
	})
}

func TestClockOrder(t *testing.T) {
	t.Parallel()
	c := NewFrozenClock(time.Unix(1000, 0))
	var got []string
	note := func(name string) func() {
		return func() { got = append(got, name+c.Now().Sub(time.Unix(1000, 0)).String()) }
	}
	c.afterFunc(3*time.Second, note("c"))
	c.afterFunc(time.Second, note("a"))
	c.afterFunc(time.Second, note("b"))
	stopped := c.afterFunc(2*time.Second, note("stopped"))
	c.afterFunc(2*time.Second, func() { c.afterFunc(time.Second, note("d")) })
	c.afterFunc(9*time.Second, note("late"))
	stopped.stop()
	stopped.stop()
	c.Advance(4 * time.Second)
	if want := "a1s b1s c3s d3s"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if !c.Now().Equal(time.Unix(1004, 0)) {
		t.Errorf("now %v", c.Now())
	}
	c.Advance(-time.Second)
	if !c.Now().Equal(time.Unix(1004, 0)) {
		t.Error("the clock went back")
	}
}

func TestRunningClockAdvances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, start := NewClock(), time.Now()
		var fired []time.Duration
		c.afterFunc(10*time.Second, func() { fired = append(fired, time.Since(start)) })
		c.afterFunc(30*time.Second, func() { fired = append(fired, time.Since(start)) })
		time.Sleep(time.Second)
		c.Advance(15 * time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(fired) != 2 || fired[0] != time.Second || fired[1] != 15*time.Second {
			t.Errorf("fired after %v of real time, want 1 s and 15 s", fired)
		}
		c.close()
	})
}

func TestRecentForgets(t *testing.T) {
	t.Parallel()
	r := newRecent[int](3)
	for i, key := range []string{"a", "b", "a", "c", "d"} {
		r.put(key, i)
	}
	if _, ok := r.get("a"); ok {
		t.Error("the oldest was kept")
	}
	if v, ok := r.get("d"); !ok || v != 4 || len(r.values) != 3 {
		t.Errorf("d is %d, %v; %d kept", v, ok, len(r.values))
	}
}
