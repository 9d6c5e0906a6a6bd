package relay

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Answer is how a request of Go ended. Err is nil exactly when the platform
// answered and said yes: no error member, and a code that is absent or 2xx.
// Otherwise Err is an *Error (the platform said no, or with Local set this
// package did), or wraps ErrNotSent or ErrInDoubt.
type Answer struct {
	Code    string          // "200"; empty when the answer had none
	Message string          // the platform's words
	Result  json.RawMessage // valid during the call of done only: copy what is kept
	Err     error
}

// success reports whether code, absent as "", means yes.
func success(code string) bool {
	return code == "" || len(code) == 3 && code[0] == '2' && isDigit(code[1]) && isDigit(code[2])
}

// codeText returns a code, written as a string or as a number, as text.
func codeText(raw []byte) string {
	if len(raw) == 0 || raw[0] == 'n' {
		return ""
	}
	if s, ok := plainString(raw); ok {
		if string(s) == "200" { // the common one costs no allocation
			return "200"
		}
		return string(s)
	}
	if string(raw) == "200" {
		return "200"
	}
	return string(raw)
}

// wireError is the error member of an answer, its code a string or a number.
type wireError struct {
	Code    json.RawMessage `json:"code"`
	Message json.RawMessage `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// parseError reads the error member of an answer to method. It never fails:
// an error of an unexpected shape is still an error.
func parseError(method string, raw []byte) *Error {
	e := &Error{Method: method}
	var w wireError
	if json.Unmarshal(raw, &w) != nil {
		if s, ok := plainString(raw); ok {
			e.Message = string(s)
		}
		return e
	}
	e.Code = codeText(bytes.TrimSpace(w.Code))
	if s, ok := plainString(w.Message); ok {
		e.Message = string(s)
	}
	var data struct {
		Code string `json:"signalwire_error_code"`
	}
	if json.Unmarshal(w.Data, &data) == nil {
		e.authRequired = strings.EqualFold(data.Code, "AUTH_REQUIRED")
	}
	return e
}

// checkResult reads code and message of a result, and returns an *Error if it
// says no.
func checkResult(method string, raw []byte) *Error {
	var f frame
	if len(raw) == 0 || raw[0] != '{' || f.members(raw, 0, inResult) < 0 {
		return nil // a result that is no object has no code, and no code is a yes
	}
	code := ""
	if f.code.present() {
		code = codeText(f.code.in(raw))
	}
	if success(code) {
		return nil
	}
	e := &Error{Method: method, Code: code}
	if f.message.present() {
		if s, ok := plainString(f.message.in(raw)); ok {
			e.Message = string(s)
		}
	}
	return e
}
