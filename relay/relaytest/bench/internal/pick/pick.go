// Package pick finds members of a JSON object without decoding it. Members may come in any order and with any white space;
// values are slices of the input.
package pick

import "bytes"

// Object walks the members of one JSON object. The zero value is an empty object.
type Object struct {
	data []byte
	pos  int
	bad  bool
}

// In returns the members of the JSON object in data. What is not an object has none, and Bad reports it.
func In(data []byte) Object {
	i := space(data, 0)
	if i >= len(data) || data[i] != '{' {
		return Object{bad: true}
	}
	return Object{data: data, pos: i + 1}
}

// Next returns the next member: its key without quotes, escapes left as they are, and its raw value.
func (o *Object) Next() (key, value []byte, ok bool) {
	i := space(o.data, o.pos)
	if i < len(o.data) && o.data[i] == ',' {
		i = space(o.data, i+1)
	}
	if i < len(o.data) && o.data[i] == '}' {
		o.pos = i
		return nil, nil, false
	}
	if i >= len(o.data) || o.data[i] != '"' {
		return nil, nil, o.fail()
	}
	end := skip(o.data, i)
	if end < 0 {
		return nil, nil, o.fail()
	}
	key = o.data[i+1 : end-1]
	if i = space(o.data, end); i >= len(o.data) || o.data[i] != ':' {
		return nil, nil, o.fail()
	}
	i = space(o.data, i+1)
	if end = skip(o.data, i); end < 0 {
		return nil, nil, o.fail()
	}
	o.pos = end
	return key, o.data[i:end], true
}

// Bad reports whether the walk met something other than a well-formed object.
func (o *Object) Bad() bool { return o.bad }

func (o *Object) fail() bool {
	o.bad = true
	o.data = nil
	return false
}

// String returns the text between the quotes of a raw string value, escapes left as they are, and nil for any other value.
func String(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	return raw[1 : len(raw)-1]
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skip returns the index behind the value at i, or -1 when the input ends first.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				if i = skipString(b, i); i < 0 {
					return -1
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return -1
	case ',', ':', '}', ']':
		return -1
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		end := i + n
		slashes := 0
		for end-1-slashes >= i && b[end-1-slashes] == '\\' {
			slashes++
		}
		if i = end + 1; slashes%2 == 0 {
			return i
		}
	}
}
