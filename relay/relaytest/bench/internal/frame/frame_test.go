package frame

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 7, 8, 9, 125, 126, 127, 590, 65535, 65536, MaxMessage}
	for _, masked := range []bool{false, true} {
		w := Writer{Masked: masked}
		var stream []byte
		var want [][]byte
		for i, size := range sizes {
			payload := bytes.Repeat([]byte{byte('a' + i)}, size)
			want = append(want, payload)
			stream = w.Append(stream, Text, payload)
		}
		readers := map[string]io.Reader{
			"whole":      bytes.NewReader(stream),
			"byte-wise":  iotest.OneByteReader(bytes.NewReader(stream)),
			"half-sized": iotest.HalfReader(bytes.NewReader(stream)),
		}
		for name, src := range readers {
			r := NewReader(src, 64, nil)
			for i, payload := range want {
				op, got, err := r.Next()
				if err != nil || op != Text || !bytes.Equal(got, payload) {
					t.Fatalf("masked %v, %s, frame of %d bytes: op %d, %d bytes, err %v", masked, name, sizes[i], op, len(got), err)
				}
			}
			if _, _, err := r.Next(); err != io.EOF {
				t.Errorf("masked %v, %s: after the last frame: %v, want EOF", masked, name, err)
			}
		}
	}
}

func TestMinimalLength(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{0: 2, 125: 127, 126: 130, 65535: 65539, 65536: 65546} {
		var w Writer
		if got := len(w.Append(nil, Text, make([]byte, size))); got != want {
			t.Errorf("frame of %d bytes takes %d, want %d", size, got, want)
		}
	}
}

func TestMaskedBytesDiffer(t *testing.T) {
	t.Parallel()
	w := Writer{Masked: true}
	payload := []byte("a body that must not be readable on the wire")
	first := w.Append(nil, Text, payload)
	second := w.Append(nil, Text, payload)
	if bytes.Contains(first, payload) || bytes.Equal(first, second) {
		t.Error("the payload is not masked with a fresh key")
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	// "he" without FIN, a ping between, then "llo" with FIN.
	stream := []byte{0x01, 2, 'h', 'e', 0x89, 1, 'p', 0x80, 3, 'l', 'l', 'o'}
	r := NewReader(bytes.NewReader(stream), 64, nil)
	if op, got, err := r.Next(); op != Ping || string(got) != "p" || err != nil {
		t.Errorf("control frame within a message: op %d %q, err %v", op, got, err)
	}
	if op, got, err := r.Next(); op != Text || string(got) != "hello" || err != nil {
		t.Errorf("fragmented message: op %d %q, err %v", op, got, err)
	}
}

func TestBuffered(t *testing.T) {
	t.Parallel()
	var w Writer
	whole := w.Append(nil, Text, []byte("one"))
	r := NewReader(bytes.NewReader(nil), 64, append(bytes.Clone(whole), whole[:3]...))
	if !r.Buffered() {
		t.Error("a whole frame in the buffer is not seen")
	}
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if r.Buffered() {
		t.Error("a part of a frame counts as a whole one")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string][]byte{
		"too large":     {0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0},
		"reserved bits": {0xc1, 1, 'x'},
	} {
		if _, _, err := NewReader(bytes.NewReader(stream), 64, nil).Next(); err == nil || err == io.EOF {
			t.Errorf("%s: err %v, want a refusal", name, err)
		}
	}
}
