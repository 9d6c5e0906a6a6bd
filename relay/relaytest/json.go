package relaytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"
)

// Frames are read and written field by field rather than through tagged
// structs: names match exactly, duplicates and strangers are seen, ids keep
// their bytes, and a script can write any value where another belongs.

// member is one name and value of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

var errNotObject = errors.New("not a JSON object")

// members returns the members of a JSON object in order, duplicates included.
func members(data []byte) ([]member, error) {
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	i := skipSpace(data, 0)
	if data[i] != '{' {
		return nil, errNotObject
	}
	ms := make([]member, 0, 8)
	for i = skipSpace(data, i+1); data[i] != '}'; i = skipSpace(data, i) {
		end := skipValue(data, i)
		name := unquote(data[i:end])
		i = skipSpace(data, skipSpace(data, end)+1) // past the colon
		end = skipValue(data, i)
		ms = append(ms, member{name, json.RawMessage(data[i:end:end])})
		if i = skipSpace(data, end); data[i] == ',' {
			i++
		}
	}
	return ms, nil
}

func skipSpace(data []byte, i int) int {
	for data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r' {
		i++
	}
	return i
}

// skipValue returns the end of the value at i. data is known to be valid.
func skipValue(data []byte, i int) int {
	switch data[i] {
	case '"':
		for i++; data[i] != '"'; i++ {
			if data[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		for depth := 0; ; i++ {
			switch data[i] {
			case '"':
				i = skipValue(data, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(data) && !bytes.ContainsRune([]byte(",]} \n\t\r"), rune(data[i])) {
		i++
	}
	return i
}

func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // raw is a valid JSON string
	return s
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || raw[0] == 'n' }

// stringOf returns the text of a JSON string, and whether it was one.
func stringOf(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return unquote(raw), true
}

// stringsOf returns the elements of a JSON array of strings.
func stringsOf(raw json.RawMessage) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil, false
	}
	out := make([]string, 0, len(elements))
	for _, e := range elements {
		s, ok := stringOf(e)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string; broken UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), "\ufffd"...)
			start = i + 1
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendMember appends `"name":` after the comma that separates it.
func appendMember(b []byte, name string) []byte {
	if last := b[len(b)-1]; last != '{' {
		b = append(b, ',')
	}
	return append(appendString(b, name), ':')
}

func appendStringMember(b []byte, name, value string) []byte {
	return appendString(appendMember(b, name), value)
}

// appendTime appends t as float epoch seconds with microseconds.
func appendTime(b []byte, t time.Time) []byte {
	us := t.UnixMicro()
	b = append(strconv.AppendInt(b, us/1e6, 10), '.')
	frac := strconv.Itoa(int(us % 1e6))
	return append(append(b, "000000"[len(frac):]...), frac...)
}

// jsonString is appendString as a value.
func jsonString(s string) json.RawMessage { return appendString(nil, s) }

// appendAny appends any value that encoding/json can encode.
func appendAny(b []byte, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return appendString(b, "unencodable value: "+err.Error())
	}
	return append(b, data...)
}
