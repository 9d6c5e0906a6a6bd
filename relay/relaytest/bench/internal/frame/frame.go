// Package frame is the least of RFC 6455 that the load server and the floor client need: frames over a byte stream, with
// no copy that can be avoided. It shares nothing with the WebSocket library of the product.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Opcodes of RFC 6455, section 5.2.
const (
	Continuation byte = 0x0
	Text         byte = 0x1
	Binary       byte = 0x2
	Close        byte = 0x8
	Ping         byte = 0x9
	Pong         byte = 0xa
)

// MaxMessage is the largest message, in bytes, that a Reader accepts. Signpost caps its own frames at 256 KiB; four times
// that leaves room for other clients and still bounds the buffer.
const MaxMessage = 1 << 20

// ErrTooLarge is returned by Next for a message above MaxMessage.
var ErrTooLarge = errors.New("frame: message above 1 MiB")

// headerRoom is the space that Begin reserves: two bytes, and a 16-bit length. A message above 64 KiB moves its payload.
const headerRoom = 4

// maskRoom is the length of a masking key.
const maskRoom = 4

// Reader reads messages from a stream through one buffer. It is not safe for concurrent use.
type Reader struct {
	src        io.Reader
	buf        []byte
	start, end int
	fragments  []byte
	fragmentOp byte
}

// NewReader returns a Reader on src whose buffer starts at size bytes and grows to fit one message. The bytes of head, read
// ahead by an HTTP handshake, come first.
func NewReader(src io.Reader, size int, head []byte) *Reader {
	r := &Reader{src: src, buf: make([]byte, max(size, len(head)))}
	r.end = copy(r.buf, head)
	return r
}

// Buffered reports whether Next returns without reading from the stream.
func (r *Reader) Buffered() bool {
	_, _, total, err := r.header()
	return err != nil || (total > 0 && r.end-r.start >= total)
}

// FillFrom reads once from src into the buffer, as if src were the stream.
func (r *Reader) FillFrom(src io.Reader) error {
	if r.end == len(r.buf) {
		if r.start == 0 {
			return ErrTooLarge
		}
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	n, err := src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Next returns the next whole message or control frame, unmasked. The payload is valid until the next call.
func (r *Reader) Next() (op byte, payload []byte, err error) {
	for {
		first, payload, err := r.frame()
		if err != nil {
			return 0, nil, err
		}
		op, final := first&0x0f, first&0x80 != 0
		switch {
		case op >= Close:
			return op, payload, nil
		case op != Continuation && final:
			return op, payload, nil
		case op != Continuation:
			r.fragmentOp, r.fragments = op, append(r.fragments[:0], payload...)
		default:
			if len(r.fragments)+len(payload) > MaxMessage {
				return 0, nil, ErrTooLarge
			}
			if r.fragments = append(r.fragments, payload...); final {
				return r.fragmentOp, r.fragments, nil
			}
		}
	}
}

// frame returns the first byte and the payload of the next frame.
func (r *Reader) frame() (first byte, payload []byte, err error) {
	for {
		size, masked, total, err := r.header()
		if err != nil {
			return 0, nil, err
		}
		if total > 0 && r.end-r.start >= total {
			first = r.buf[r.start]
			payload = r.buf[r.start+total-size : r.start+total]
			if masked {
				at := r.start + total - size - maskRoom
				Mask(payload, binary.LittleEndian.Uint32(r.buf[at:]))
			}
			if r.start += total; r.start == r.end {
				r.start, r.end = 0, 0
			}
			return first, payload, nil
		}
		if total > len(r.buf) {
			grown := make([]byte, 2*total)
			r.end = copy(grown, r.buf[r.start:r.end])
			r.buf, r.start = grown, 0
		}
		if err := r.FillFrom(r.src); err != nil {
			return 0, nil, err
		}
	}
}

// header reads the header at the start of the buffer. A total of 0 means that it is not whole yet.
func (r *Reader) header() (size int, masked bool, total int, err error) {
	b := r.buf[r.start:r.end]
	if len(b) < 2 {
		return 0, false, 0, nil
	}
	if b[0]&0x70 != 0 {
		return 0, false, 0, fmt.Errorf("frame: reserved bits %#x without an extension", b[0]&0x70)
	}
	masked, size, total = b[1]&0x80 != 0, int(b[1]&0x7f), 2
	switch size {
	case 126:
		if len(b) < 4 {
			return 0, false, 0, nil
		}
		size, total = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return 0, false, 0, nil
		}
		long := binary.BigEndian.Uint64(b[2:])
		if long > MaxMessage {
			return 0, false, 0, ErrTooLarge
		}
		size, total = int(long), 10
	}
	if masked {
		total += maskRoom
	}
	return size, masked, total + size, nil
}

// Mask applies a masking key, read little-endian from the wire, to p in place.
func Mask(p []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(key >> (8 * (i & 3)))
	}
}

// Writer appends frames to a buffer. The payload is written by the caller between Begin and End, so that a message is
// composed where it is sent from. The zero value writes a server's frames, unmasked.
type Writer struct {
	Masked bool   // frames of a client
	key    uint32 // state of the masking keys
}

// Begin reserves the header of a frame at the end of dst.
func (w *Writer) Begin(dst []byte) (grown []byte, mark int) {
	mark = len(dst)
	room := headerRoom
	if w.Masked {
		room += maskRoom
	}
	for range room {
		dst = append(dst, 0)
	}
	return dst, mark
}

// End completes the frame that Begin started at mark. It panics above MaxMessage: no caller composes such a frame.
func (w *Writer) End(dst []byte, mark int, op byte) []byte {
	room, flag := headerRoom, byte(0)
	if w.Masked {
		room, flag = headerRoom+maskRoom, 0x80
	}
	size := len(dst) - mark - room
	header := 4
	switch {
	case size < 126:
		header = 2
	case size > MaxMessage:
		panic("frame: message above 1 MiB")
	case size > 0xffff:
		header = 10
	}
	if shift := header - headerRoom; shift != 0 {
		from := mark + room
		if shift > 0 {
			dst = append(dst, make([]byte, shift)...)
			copy(dst[from+shift:], dst[from:from+size])
		} else {
			copy(dst[from+shift:], dst[from:])
			dst = dst[:len(dst)+shift]
		}
	}
	dst[mark] = 0x80 | op
	switch header {
	case 2:
		dst[mark+1] = flag | byte(size)
	case 4:
		dst[mark+1] = flag | 126
		binary.BigEndian.PutUint16(dst[mark+2:], uint16(size))
	default:
		dst[mark+1] = flag | 127
		binary.BigEndian.PutUint64(dst[mark+2:], uint64(size))
	}
	if w.Masked {
		// A linear congruential generator (Numerical Recipes): the key must differ from frame to frame, and hides nothing here.
		w.key = w.key*1664525 + 1013904223
		binary.LittleEndian.PutUint32(dst[mark+header:], w.key)
		Mask(dst[mark+header+maskRoom:], w.key)
	}
	return dst
}

// Append appends a whole frame with the given payload.
func (w *Writer) Append(dst []byte, op byte, payload []byte) []byte {
	dst, mark := w.Begin(dst)
	return w.End(append(dst, payload...), mark, op)
}
