package relaytest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The server speaks RFC 6455 by itself, on the raw connection: faults need to
// reach every byte (fragments, reserved close codes, broken UTF-8), and a
// server that shared the client's WebSocket library would share its mistakes.

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	finBit  = 0x80
	rsv1Bit = 0x40
	maskBit = 0x80
)

// wsError is a breach of RFC 6455 by the client; code closes the connection.
type wsError struct {
	code int
	text string
}

func (e *wsError) Error() string { return e.text }

// acceptKey answers a handshake's Sec-WebSocket-Key (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// isUpgrade reports whether r asks for a WebSocket.
func isUpgrade(r *http.Request) bool {
	return headerHas(r.Header, "Connection", "upgrade") && headerHas(r.Header, "Upgrade", "websocket")
}

func headerHas(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

func offersDeflate(h http.Header) bool {
	for _, line := range h.Values("Sec-WebSocket-Extensions") {
		for part := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "permessage-deflate") {
				return true
			}
		}
	}
	return false
}

// appendFrame appends one unmasked frame.
func appendFrame(b []byte, first byte, payload []byte) []byte {
	b = append(b, first)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// appendMessage appends a message as one frame or, with fragment > 0, as
// several; deflate compresses it first.
func appendMessage(b []byte, op byte, payload []byte, fragment int, deflate bool) []byte {
	first := op
	if deflate {
		payload = deflated(payload)
		first |= rsv1Bit
	}
	if fragment <= 0 || len(payload) <= fragment {
		return appendFrame(b, first|finBit, payload)
	}
	for len(payload) > fragment {
		b = appendFrame(b, first, payload[:fragment])
		payload, first = payload[fragment:], opContinuation
	}
	return appendFrame(b, first|finBit, payload)
}

// closePayload encodes a close code and reason; code 0 means an empty payload.
// Codes that must not appear on the wire (1005, 1006) are written as asked.
func closePayload(code int, reason string) []byte {
	if code == 0 {
		return nil
	}
	p := binary.BigEndian.AppendUint16(nil, uint16(code))
	return append(p, reason[:min(len(reason), 123)]...)
}

// wsReader reads the client's messages.
type wsReader struct {
	r       *bufio.Reader
	deflate bool
	limit   int64                         // payload bytes of one message
	control func(op byte, payload []byte) // told of pings, pongs and closes
}

// next returns the next text or binary message. Control frames in between are
// handed over; a close frame ends with io.EOF.
func (w *wsReader) next() (op byte, payload []byte, err error) {
	compressed := false
	for {
		first, body, err := w.frame(int64(len(payload)))
		if err != nil {
			return 0, nil, err
		}
		code := first & 0x0f
		if code >= opClose {
			if first&finBit == 0 || len(body) > 125 {
				return 0, nil, &wsError{1002, "control frame fragmented or longer than 125 bytes"}
			}
			w.control(code, body)
			if code == opClose {
				return 0, nil, io.EOF
			}
			continue
		}
		switch {
		case code == opContinuation && op == 0:
			return 0, nil, &wsError{1002, "continuation frame without a message to continue"}
		case code != opContinuation && op != 0:
			return 0, nil, &wsError{1002, "new message before the last one ended"}
		case code > opBinary:
			return 0, nil, &wsError{1002, fmt.Sprintf("unknown opcode %d", code)}
		case code != opContinuation:
			op, compressed = code, first&rsv1Bit != 0
			if compressed && !w.deflate {
				return 0, nil, &wsError{1002, "compressed frame, but no extension was agreed"}
			}
		}
		if payload == nil {
			payload = body
		} else {
			payload = append(payload, body...)
		}
		if first&finBit != 0 {
			break
		}
	}
	if compressed {
		if payload, err = w.inflated(payload); err != nil {
			return 0, nil, err
		}
	}
	return op, payload, nil
}

func (w *wsReader) frame(already int64) (first byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(w.r, head[:2]); err != nil {
		return 0, nil, err
	}
	first = head[0]
	if first&0x30 != 0 {
		return 0, nil, &wsError{1002, "reserved bits set"}
	}
	masked, size := head[1]&maskBit != 0, int64(head[1]&0x7f)
	if !masked {
		return 0, nil, &wsError{1002, "client frame without a mask"}
	}
	switch size {
	case 126:
		if _, err := io.ReadFull(w.r, head[:2]); err != nil {
			return 0, nil, err
		}
		size = int64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		if _, err := io.ReadFull(w.r, head[:8]); err != nil {
			return 0, nil, err
		}
		size = int64(binary.BigEndian.Uint64(head[:8]))
	}
	if size < 0 || size+already > w.limit {
		return 0, nil, &wsError{1009, fmt.Sprintf("message longer than %d bytes", w.limit)}
	}
	var mask [4]byte
	if _, err := io.ReadFull(w.r, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(w.r, payload); err != nil {
		return 0, nil, err
	}
	unmask(payload, mask)
	return first, payload, nil
}

func unmask(p []byte, mask [4]byte) {
	wide := uint64(binary.LittleEndian.Uint32(mask[:]))
	wide |= wide << 32
	i := 0
	for ; i+8 <= len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], binary.LittleEndian.Uint64(p[i:])^wide)
	}
	for ; i < len(p); i++ {
		p[i] ^= mask[i&3]
	}
}

// deflateTail is what RFC 7692 strips from the end of each message; the second
// part is a final empty block, so that the decompressor ends with io.EOF.
const deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

func deflated(p []byte) []byte {
	var out bytes.Buffer
	// The level is in range, so NewWriter cannot fail, and a Buffer never does.
	w, _ := flate.NewWriter(&out, flate.BestSpeed)
	_, _ = w.Write(p)
	_ = w.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte(deflateTail[:4]))
}

func (w *wsReader) inflated(p []byte) ([]byte, error) {
	r := flate.NewReader(io.MultiReader(bytes.NewReader(p), strings.NewReader(deflateTail)))
	out, err := io.ReadAll(io.LimitReader(r, w.limit+1))
	if err != nil {
		return nil, &wsError{1007, "compressed data does not inflate"}
	}
	if int64(len(out)) > w.limit {
		return nil, &wsError{1009, fmt.Sprintf("message longer than %d bytes", w.limit)}
	}
	return out, nil
}
