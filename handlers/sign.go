package handlers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader is the header of a signed POST of ours.
const SignatureHeader = "Signpost-Signature"

// Sign gives the value of [SignatureHeader] for a body that is posted at a time:
//
//	t=1790000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd
//
// v1 is the HMAC-SHA256, in hexadecimal digits, of the digits after t=, a full stop, and the
// body, with the secret for its key.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(signature(secret, t, body))
}

func signature(secret, t string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t))
	mac.Write([]byte("."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify is for the other side: it checks the value of a SignatureHeader against the body that
// came with it, and that it is not older than maxAge, 5 minutes being usual, nor from further
// ahead. The error says what is wrong and nothing of the secret.
func Verify(secret, header string, body []byte, now time.Time, maxAge time.Duration) error {
	t, rest, _ := strings.Cut(header, ",")
	t, okTime := strings.CutPrefix(t, "t=")
	digits, okMAC := strings.CutPrefix(rest, "v1=")
	seconds, err := strconv.ParseInt(t, 10, 64)
	got, hexErr := hex.DecodeString(digits)
	switch {
	case secret == "":
		return errors.New("there is no secret to verify with: it is the one that the configuration gives to the handler")
	case !okTime || !okMAC || err != nil || hexErr != nil:
		return fmt.Errorf("the header %s is missing or malformed: it is a time and a digest, as in t=1790000000,v1=5257a869", SignatureHeader)
	case !hmac.Equal(got, signature(secret, t, body)):
		return errors.New("the signature does not fit: another secret, or not the bytes of the body as they came")
	}
	if age := now.Sub(time.Unix(seconds, 0)).Abs(); age > maxAge {
		return fmt.Errorf("the signature is %v off the clock, and %v are allowed: set the clocks, or it was recorded and sent again", age, maxAge)
	}
	return nil
}
