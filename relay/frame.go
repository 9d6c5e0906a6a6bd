package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
)

// span is a half-open range of a frame's bytes. The zero span means absent:
// no value starts at the first byte of an object.
type span struct{ start, end int }

func (p span) in(data []byte) []byte { return data[p.start:p.end] }
func (p span) present() bool         { return p.end > 0 }

// null reports whether p is absent or the literal null, which the protocol
// treats alike.
func (p span) null(data []byte) bool {
	return !p.present() || data[p.start] == 'n'
}

// frame is one JSON-RPC object taken apart without being decoded: where the
// values are that routing needs. The hot frames (an event, an answer) are
// recognised and handed on with this one pass over their bytes.
type frame struct {
	id, method, params, result, err span

	eventType span // params.event_type
	inner     span // params.params
	code      span // result.code
	message   span // result.message
}

var (
	errNotObject = errors.New("not a JSON object")
	errBadJSON   = errors.New("invalid JSON")
)

// maxDepth is how deeply values may nest; encoding/json draws the same line.
const maxDepth = 10000

// parse checks that data is one valid JSON object and notes its parts. Names
// are compared exactly, and of several members of one name the last counts, as
// in encoding/json.
func (f *frame) parse(data []byte) error {
	*f = frame{}
	i := skipSpace(data, 0)
	if i == len(data) {
		return errBadJSON
	}
	if data[i] != '{' {
		if i = skipValue(data, i, 0); i < 0 || skipSpace(data, i) != len(data) {
			return errBadJSON
		}
		return errNotObject
	}
	if i = f.members(data, i, topLevel); i < 0 || skipSpace(data, i) != len(data) {
		return errBadJSON
	}
	return nil
}

// level tells members which names to look for.
type level int

const (
	topLevel level = iota
	inParams
	inResult
)

// members walks the object that opens at i and returns where it ends, or -1.
func (f *frame) members(data []byte, i int, at level) int {
	depth := 1
	if at != topLevel {
		depth = 2
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(data) || data[i] != '"' {
			return -1
		}
		end := skipString(data, i)
		if end < 0 {
			return -1
		}
		key := data[i+1 : end-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			key = unquote(data[i:end])
		}
		i = skipSpace(data, end)
		if i >= len(data) || data[i] != ':' {
			return -1
		}
		start := skipSpace(data, i+1)
		if start >= len(data) {
			return -1
		}
		i = f.member(data, key, start, at, depth)
		if i < 0 {
			return -1
		}
		i = skipSpace(data, i)
		if i >= len(data) {
			return -1
		}
		switch data[i] {
		case ',':
			i = skipSpace(data, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

// member notes the value that starts at start if its name is wanted, and
// returns where it ends, or -1.
func (f *frame) member(data, key []byte, start int, at level, depth int) int {
	var into *span
	switch at {
	case topLevel:
		switch string(key) {
		case "id":
			into = &f.id
		case "method":
			into = &f.method
		case "error":
			into = &f.err
		case "params":
			f.eventType, f.inner = span{}, span{}
			end := 0
			if data[start] == '{' {
				end = f.members(data, start, inParams)
			} else {
				end = skipValue(data, start, depth)
			}
			f.params = span{start, end}
			return end
		case "result":
			f.code, f.message = span{}, span{}
			end := 0
			if data[start] == '{' {
				end = f.members(data, start, inResult)
			} else {
				end = skipValue(data, start, depth)
			}
			f.result = span{start, end}
			return end
		}
	case inParams:
		switch string(key) {
		case "event_type":
			into = &f.eventType
		case "params":
			into = &f.inner
		}
	case inResult:
		switch string(key) {
		case "code":
			into = &f.code
		case "message":
			into = &f.message
		}
	}
	end := skipValue(data, start, depth)
	if into != nil {
		*into = span{start, end}
	}
	return end
}

func skipSpace(data []byte, i int) int {
	for i < len(data) {
		switch data[i] {
		case ' ', '\t', '\r', '\n':
			i++
		default:
			return i
		}
	}
	return i
}

// skipValue returns where the JSON value that starts at i ends, or -1 if it is
// not one. depth counts the objects and arrays around it.
func skipValue(data []byte, i, depth int) int {
	if i >= len(data) {
		return -1
	}
	switch c := data[i]; c {
	case '"':
		return skipString(data, i)
	case '{':
		return skipObject(data, i, depth+1)
	case '[':
		return skipArray(data, i, depth+1)
	case 't':
		return skipLiteral(data, i, "true")
	case 'f':
		return skipLiteral(data, i, "false")
	case 'n':
		return skipLiteral(data, i, "null")
	default:
		if c == '-' || isDigit(c) {
			return skipNumber(data, i)
		}
		return -1
	}
}

func skipObject(data []byte, i, depth int) int {
	if depth > maxDepth {
		return -1
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(data) || data[i] != '"' {
			return -1
		}
		if i = skipString(data, i); i < 0 {
			return -1
		}
		i = skipSpace(data, i)
		if i >= len(data) || data[i] != ':' {
			return -1
		}
		if i = skipValue(data, skipSpace(data, i+1), depth); i < 0 {
			return -1
		}
		i = skipSpace(data, i)
		if i >= len(data) {
			return -1
		}
		switch data[i] {
		case ',':
			i = skipSpace(data, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

func skipArray(data []byte, i, depth int) int {
	if depth > maxDepth {
		return -1
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == ']' {
		return i + 1
	}
	for {
		if i = skipValue(data, i, depth); i < 0 {
			return -1
		}
		i = skipSpace(data, i)
		if i >= len(data) {
			return -1
		}
		switch data[i] {
		case ',':
			i = skipSpace(data, i+1)
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// skipString returns where the string whose opening quote is at i ends, or -1.
// It looks at eight bytes at a time for a quote, a backslash or a control
// character. Bytes that are not UTF-8 pass, as they do in encoding/json.
func skipString(data []byte, i int) int {
	i++
	for {
		for i+8 <= len(data) {
			x := binary.LittleEndian.Uint64(data[i:])
			quote := x ^ (eachByte * '"')
			slash := x ^ (eachByte * '\\')
			hit := ((quote - eachByte) &^ quote) | ((slash - eachByte) &^ slash) | ((x - eachByte*0x20) &^ x)
			if hit &= highBits; hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		for i < len(data) && data[i] != '"' && data[i] != '\\' && data[i] >= 0x20 {
			i++
		}
		if i >= len(data) || data[i] < 0x20 {
			return -1
		}
		if data[i] == '"' {
			return i + 1
		}
		if i = skipEscape(data, i); i < 0 {
			return -1
		}
	}
}

// skipEscape returns where the escape whose backslash is at i ends, or -1.
func skipEscape(data []byte, i int) int {
	if i+1 >= len(data) {
		return -1
	}
	switch data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 > len(data) {
			return -1
		}
		for _, c := range data[i+2 : i+6] {
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return -1
			}
		}
		return i + 6
	}
	return -1
}

func skipLiteral(data []byte, i int, word string) int {
	if end := i + len(word); end <= len(data) && string(data[i:end]) == word {
		return end
	}
	return -1
}

func skipNumber(data []byte, i int) int {
	if data[i] == '-' {
		i++
	}
	switch {
	case i >= len(data) || !isDigit(data[i]):
		return -1
	case data[i] == '0':
		i++
	default:
		i = skipDigits(data, i)
	}
	if i < len(data) && data[i] == '.' {
		if i++; i >= len(data) || !isDigit(data[i]) {
			return -1
		}
		i = skipDigits(data, i)
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		if i >= len(data) || !isDigit(data[i]) {
			return -1
		}
		i = skipDigits(data, i)
	}
	return i
}

func skipDigits(data []byte, i int) int {
	for i < len(data) && isDigit(data[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// plainString returns the contents of a raw JSON string; ok is false for any
// other value. Only a string with escapes is copied.
func plainString(raw []byte) (s []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true
	}
	return unquote(raw), true
}

// unquote decodes a raw JSON string that has been scanned already.
func unquote(raw []byte) []byte {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return []byte(s)
}
