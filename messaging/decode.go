package messaging

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The event types we act on. The platform's documents speak of message.received and
// message.updated; the wire says messaging.receive and messaging.state. Both are accepted.
const (
	typeReceive    = "messaging.receive"
	typeReceiveDoc = "message.received"
	typeState      = "messaging.state"
	typeStateDoc   = "message.updated"
)

// kindOf tells whether an event type is ours; 0 if it is not.
func kindOf(eventType string) Kind {
	switch eventType {
	case typeReceive, typeReceiveDoc:
		return KindMessage
	case typeState, typeStateDoc:
		return KindState
	}
	return 0
}

// DecodeError says that an event of a known type could not be understood.
type DecodeError struct {
	Type string
	Err  error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("decode %s event: %v", e.Type, e.Err) }
func (e *DecodeError) Unwrap() error { return e.Err }

var (
	errNoID     = errors.New("message_id is missing or empty")
	errNoState  = errors.New("message_state is missing or empty")
	errNoSender = errors.New("from_number or to_number is missing or empty")
)

// inner is the payload of both event types, under the names of the wire and, where the
// platform's documents use others, under those too.
type inner struct {
	MessageID    string   `json:"message_id"`
	Context      string   `json:"context"`
	FromNumber   string   `json:"from_number"`
	ToNumber     string   `json:"to_number"`
	Body         string   `json:"body"`
	Media        []string `json:"media"`
	Segments     int      `json:"segments"`
	Tags         []string `json:"tags"`
	MessageState string   `json:"message_state"`
	Reason       string   `json:"reason"`

	ID    string `json:"id"`
	From  string `json:"from"`
	To    string `json:"to"`
	State string `json:"state"`
	Tag   string `json:"tag"`
}

type envelope struct {
	Params struct {
		Timestamp float64 `json:"timestamp"`
		Context   string  `json:"context"`
		Params    inner   `json:"params"`
	} `json:"params"`
}

// frameOptions let nothing that the platform might send lose a message: the last of two
// equal names wins and invalid UTF-8 becomes U+FFFD.
var frameOptions = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decodeEvent reads an event from its whole frame. The frame is kept, not copied.
func decodeEvent(kind Kind, eventType string, frame []byte, received time.Time) (*Event, error) {
	var env envelope
	if err := jsonv2.Unmarshal(frame, &env, frameOptions); err != nil {
		// Not the usual shape: numbers as strings, media as objects and the like.
		env = envelope{}
		if err := decodeLoose(frame, &env); err != nil {
			return nil, &DecodeError{Type: eventType, Err: err}
		}
	}
	in := &env.Params.Params
	ev := &Event{
		Kind:       kind,
		MessageID:  clean(first(in.MessageID, in.ID)),
		Context:    clean(first(in.Context, env.Params.Context)),
		From:       wireNumber(first(in.FromNumber, in.From)),
		To:         wireNumber(first(in.ToNumber, in.To)),
		Body:       clean(in.Body),
		Media:      cleanAll(in.Media),
		Segments:   in.Segments,
		Tags:       cleanAll(in.Tags),
		ReceivedAt: received,
		SentAt:     epoch(env.Params.Timestamp),
		Frame:      frame,
	}
	if in.Tag != "" {
		ev.Tags = append(ev.Tags, in.Tag)
	}
	if ev.MessageID == "" {
		return nil, &DecodeError{Type: eventType, Err: errNoID}
	}
	switch kind {
	case KindMessage:
		if ev.From == "" || ev.To == "" {
			return nil, &DecodeError{Type: eventType, Err: errNoSender}
		}
		ev.ID = ev.MessageID
	case KindState:
		ev.State = State(clean(first(in.MessageState, in.State)))
		ev.Reason = clean(in.Reason)
		if ev.State == "" {
			return nil, &DecodeError{Type: eventType, Err: errNoState}
		}
		ev.ID = ev.MessageID + "/" + string(ev.State)
		if slices.Contains(ev.Tags, secretTag) {
			ev.Body, ev.Frame = "", nil
		}
	}
	return ev, nil
}

// wireNumber reads a telephone number. One that came without its plus, as a JSON number
// must, gets it back, so that a person has one name: the shortest numbers of E.164 have
// eight digits, and a short code has six at the most.
func wireNumber(s string) Number {
	s = clean(s)
	if len(s) < 8 || len(s) > 15 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return Number(s)
	}
	return Number("+" + s)
}

// undecodable journals a frame of a known type that nobody can read, so that an operator
// finds it among the dead letters. Its id is the frame's own digest.
func undecodable(kind Kind, frame []byte, received time.Time) *Event {
	sum := sha256.Sum256(frame)
	return &Event{ID: "raw/" + hex.EncodeToString(sum[:16]), Kind: kind, Frame: frame, ReceivedAt: received}
}

// decodeLoose reads the same fields as the typed step from whatever JSON they are: null is
// absent, a number where text belongs is its digits, text where a number belongs is parsed,
// and media may be one string, a list, or objects with a url.
func decodeLoose(frame []byte, env *envelope) error {
	var raw map[string]any
	dec := json.NewDecoder(strings.NewReader(string(frame)))
	dec.UseNumber()
	if err := dec.Decode(&raw); err != nil {
		return errors.New("the frame is not a JSON object") // encoding/json would quote the frame
	}
	outer, ok := raw["params"].(map[string]any)
	if !ok {
		return errors.New("params is not an object")
	}
	in, ok := outer["params"].(map[string]any)
	if !ok {
		return errors.New("params.params is not an object")
	}
	env.Params.Context = text(outer["context"])
	env.Params.Timestamp, _ = strconv.ParseFloat(text(outer["timestamp"]), 64)
	p := &env.Params.Params
	for name, dst := range map[string]*string{
		"message_id": &p.MessageID, "context": &p.Context, "from_number": &p.FromNumber, "to_number": &p.ToNumber,
		"body": &p.Body, "message_state": &p.MessageState, "reason": &p.Reason,
		"id": &p.ID, "from": &p.From, "to": &p.To, "state": &p.State, "tag": &p.Tag,
	} {
		*dst = text(in[name])
	}
	p.Media, p.Tags = list(in["media"]), list(in["tags"])
	n, _ := strconv.ParseFloat(text(in["segments"]), 64)
	p.Segments = int(n)
	return nil
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func list(v any) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			out = append(out, list(e)...)
		}
	case map[string]any:
		if u := text(v["url"]); u != "" {
			out = append(out, u)
		}
	default:
		if s := text(v); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// clean makes text that every database takes: valid UTF-8 without NUL.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func cleanAll(list []string) []string {
	for i, s := range list {
		list[i] = clean(s)
	}
	return list
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// epoch turns the envelope's float seconds into a time; zero for none and for nonsense.
func epoch(s float64) time.Time {
	const farthest = 253402300800 // the year 10000
	if !(s > 0 && s < farthest) {
		return time.Time{}
	}
	sec, frac := math.Modf(s)
	return time.Unix(int64(sec), int64(frac*1e9)).UTC()
}
