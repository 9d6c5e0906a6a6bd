package loadserver

import (
	"strconv"
	"time"

	"github.com/signpost-sms/signpost/relay/relaytest/bench/internal/frame"
)

// What the simulated platform calls itself. Lengths are those of the real identifiers.
const (
	projectID = "6f7d1c40-52a1-4b0e-9d57-1f0c2a9be001"
	spaceID   = "0c9e6b7a-8f2d-4c33-a6f1-5d2b8e4fa002"
	protocol  = "signalwire_9c41_a7e03d52"
)

// bodyPrefix and the eight digits after it name an inbound, in its body and in the answer that contains it.
const (
	bodyPrefix = "m="
	bodyDigits = 8
	bodyRest   = " Where is my order? It was due on Monday."
)

// ourNumbers has one of our numbers for each context.
var ourNumbers = []string{"+12025559901", "+12025559902", "+12025559903"}

const senderPrefix = "+1202555"

func appendSender(dst []byte, sender int) []byte {
	dst = append(dst, senderPrefix...)
	return appendDecimal(dst, sender, 4)
}

func appendDecimal(dst []byte, v, digits int) []byte {
	for range digits {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; v > 0 && digits > 0; i, digits = i-1, digits-1 {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// appendTimestamp appends the time as the platform writes it: seconds since the epoch, with a fraction.
func appendTimestamp(dst []byte, t time.Time) []byte {
	dst = strconv.AppendInt(dst, t.Unix(), 10)
	dst = append(dst, '.')
	return appendDecimal(dst, t.Nanosecond()/1e6, 3)
}

// appendEnvelope begins a signalwire.event, up to and including the name of its inner params.
func (s *Server) appendEnvelope(dst []byte, k kind, delivery, number int, eventType, context string) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":"`...)
	dst = appendID(dst, s.nonce, k, delivery, number)
	dst = append(dst, `","method":"signalwire.event","params":{"event_type":"`...)
	dst = append(dst, eventType...)
	dst = append(dst, `","event_channel":"`+protocol+`","timestamp":`...)
	dst = append(dst, s.timestamp...)
	dst = append(dst, `,"space_id":"`+spaceID+`","project_id":"`+projectID+`","context":"`...)
	dst = append(dst, context...)
	return append(dst, `","params":{"message_id":"`...)
}

// appendInbound appends the frame of one delivery of inbound i.
func (s *Server) appendInbound(dst []byte, i, delivery int) []byte {
	sender := i % s.cfg.Senders
	context := sender % len(Contexts)
	dst, mark := s.frames.Begin(dst)
	dst = s.appendEnvelope(dst, kindInbound, delivery, i, "messaging.receive", Contexts[context])
	dst = appendID(dst, s.nonce, kindMessage, 0, i)
	dst = append(dst, `","context":"`...)
	dst = append(dst, Contexts[context]...)
	dst = append(dst, `","direction":"inbound","from_number":"`...)
	dst = appendSender(dst, sender)
	dst = append(dst, `","to_number":"`...)
	dst = append(dst, ourNumbers[context]...)
	dst = append(dst, `","body":"`+bodyPrefix...)
	dst = appendDecimal(dst, i, bodyDigits)
	dst = append(dst, bodyRest+`","media":[],"segments":1,"message_state":"received","tags":[]}}}`...)
	return s.frames.End(dst, mark, frame.Text)
}

// appendState appends the frame of one state event of send number n.
func (s *Server) appendState(dst []byte, n int, k kind) []byte {
	send := &s.sends[n]
	state := "sent"
	if k == kindDelivered {
		state = "delivered"
	}
	context := Contexts[send.context]
	dst, mark := s.frames.Begin(dst)
	dst = s.appendEnvelope(dst, k, int(send.delivery), n, "messaging.state", context)
	dst = appendID(dst, s.nonce, kindAnswer, 0, n)
	dst = append(dst, `","context":"`...)
	dst = append(dst, context...)
	dst = append(dst, `","direction":"outbound","from_number":"`...)
	dst = append(dst, ourNumbers[send.context]...)
	dst = append(dst, `","to_number":"`...)
	dst = appendSender(dst, int(send.sender))
	dst = append(dst, `","body":"`...)
	dst = append(dst, send.body...)
	dst = append(dst, `","media":[],"segments":1,"message_state":"`...)
	dst = append(dst, state...)
	dst = append(dst, '"')
	if len(send.tags) > 0 {
		dst = append(dst, `,"tags":`...)
		dst = append(dst, send.tags...)
	}
	dst = append(dst, "}}}"...)
	return s.frames.End(dst, mark, frame.Text)
}

// appendPing appends a ping of the server; its number and its timestamp are checked in the answer.
func (s *Server) appendPing(dst []byte, number int) []byte {
	dst, mark := s.frames.Begin(dst)
	dst = append(dst, `{"jsonrpc":"2.0","id":"`...)
	dst = appendID(dst, s.nonce, kindPing, 0, number)
	dst = append(dst, `","method":"signalwire.ping","params":{"timestamp":`...)
	dst = append(dst, s.timestamp...)
	dst = append(dst, "}}"...)
	return s.frames.End(dst, mark, frame.Text)
}

// appendResult appends the answer to a request whose raw id is given, with a raw result.
func (s *Server) appendResult(dst, id []byte, result string) []byte {
	dst, mark := s.frames.Begin(dst)
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"result":`...)
	dst = append(dst, result...)
	dst = append(dst, '}')
	return s.frames.End(dst, mark, frame.Text)
}

func (s *Server) appendError(dst, id []byte, code, message string) []byte {
	dst, mark := s.frames.Begin(dst)
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"error":{"code":`...)
	dst = append(dst, code...)
	dst = append(dst, `,"message":"`...)
	dst = append(dst, message...)
	dst = append(dst, `"}}`...)
	return s.frames.End(dst, mark, frame.Text)
}

// appendAccepted appends the answer to send number n.
func (s *Server) appendAccepted(dst, id []byte, n int) []byte {
	dst, mark := s.frames.Begin(dst)
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"result":{"code":"200","message":"Message accepted","message_id":"`...)
	dst = appendID(dst, s.nonce, kindAnswer, 0, n)
	dst = append(dst, `"}}`...)
	return s.frames.End(dst, mark, frame.Text)
}
