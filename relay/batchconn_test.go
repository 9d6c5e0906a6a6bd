package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestBatchConnGathersAndCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newPipe(10)
		b := newBatchConn(near, near, 5*time.Second)
		if _, err := io.WriteString(b, "head"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "head" {
			t.Fatalf("before batch: %q, %v", got, err)
		}
		kicks := 0
		b.batch(func() { kicks++ })
		for _, s := range []string{"abc", "def", "ghi"} {
			if n, err := io.WriteString(b, s); n != 3 || err != nil {
				t.Fatal(n, err)
			}
		}
		if kicks != 3 || b.buffered() != 9 {
			t.Errorf("%d kicks, %d buffered", kicks, b.buffered())
		}
		if n, err := b.flush(); n != 9 || err != nil {
			t.Errorf("flush: %d, %v", n, err)
		}
		// One more byte than there is room for: the count is exact, the failure
		// is remembered.
		if _, err := io.WriteString(b, "xyz"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		n, err := b.flush()
		if n != 1 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("flush into a full pipe: %d, %v after %s", n, err, time.Since(start))
		}
		if _, err := io.WriteString(b, "more"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write after a failure: %v", err)
		}
		if n, err := b.flush(); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("flush after a failure: %d, %v", n, err)
		}
	})
}

// Under TLS a failed write does not tell how much left: all of it may have.
func TestBatchConnUnderTLSCountsEverything_R34(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	b := newBatchConn(failingConn{near}, near, time.Second)
	b.batch(func() {})
	if _, err := io.WriteString(b, "0123456789"); err != nil {
		t.Fatal(err)
	}
	if n, err := b.flush(); n != 10 || err == nil {
		t.Errorf("flush: got %d, %v; want all 10 and an error", n, err)
	}
	_ = b.Close()
}

type failingConn struct{ net.Conn }

func (failingConn) Write([]byte) (int, error) { return 0, errors.New("record failed") }

func TestBatchConnIsBounded(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	b := newBatchConn(near, near, time.Second)
	b.batch(func() {})
	chunk := make([]byte, 4096)
	for range maxBatch / len(chunk) {
		if _, err := b.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Write(chunk[:1]); !errors.Is(err, errBatchFull) {
		t.Errorf("beyond the bound: got %v", err)
	}
	b.abort()
	_ = b.Close()
	if _, err := b.Write(chunk); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestBatchConnCloseWaitsForTheFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newPipe(100)
		b := newBatchConn(near, near, time.Second)
		b.batch(func() {})
		_, _ = io.WriteString(b, "bye")
		go func() {
			time.Sleep(10 * time.Millisecond)
			_, _ = b.flush()
		}()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if got, _ := io.ReadAll(far); string(got) != "bye" {
			t.Errorf("got %q, want what was buffered", got)
		}
		// Nobody flushes: it does not wait for ever.
		near, _ = newPipe(100)
		b = newBatchConn(near, near, time.Second)
		b.batch(func() {})
		_, _ = io.WriteString(b, "bye")
		start := time.Now()
		_ = b.Close()
		if d := time.Since(start); d != closeGrace {
			t.Errorf("Close took %s, want %s", d, closeGrace)
		}
	})
}

func TestLaneKeepsOrder(t *testing.T) {
	t.Parallel()
	var l lane
	want := []string{"first"}
	for i := range 10 {
		l.push(fmt.Append(nil, i))
		want = append(want, fmt.Sprint(i))
	}
	l.pushFront([]byte("first"))
	if n, size := l.fits(7); n != 3 || size != 7 {
		t.Errorf("fits(7): got %d frames of %d bytes, want 3 of 7", n, size)
	}
	if n, _ := l.fits(1); n != 1 {
		t.Errorf("fits(1): got %d, want at least one", n)
	}
	for _, w := range want {
		if got := string(l.take()); got != w {
			t.Fatalf("got %q, want %q", got, w)
		}
	}
	if n, _ := l.fits(100); !l.empty() || n != 0 {
		t.Error("not empty")
	}
}
