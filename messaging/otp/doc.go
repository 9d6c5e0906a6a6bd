// Package otp issues one-time codes by text message and checks what people type in.
//
// A code is random digits of crypto/rand. The journal holds an HMAC-SHA256 of it, never the
// code; the text that carries it is a Secret send, which no reader of the journal is shown
// and which is removed once it has left. A code is good for a few minutes, for a few
// attempts, and once. Each attempt is written down before it is answered, so that many at a
// time get no more guesses than one after the other, also with several instances on one
// store.
//
//	codes, err := otp.New(engine, otp.Config{Secret: secret})
//	...
//	issued, err := codes.Issue(ctx, otp.Request{To: "+12025550101", From: "+12025550100", Context: "support"})
//	...
//	err = codes.Check(ctx, otp.Answer{To: "+12025550101", Code: "123456"})
package otp
