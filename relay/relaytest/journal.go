package relaytest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Direction tells who wrote a frame.
type Direction string

// The two directions, as seen from the server.
const (
	FromClient Direction = "in"
	ToClient   Direction = "out"
)

// Frame is one WebSocket message of the transcript. A frame from the client is
// noted before it is acted on, one to the client just before it is written, so
// the order of the transcript is the order of cause and effect.
type Frame struct {
	Seq     uint64    `json:"seq"` // 1, 2, 3, ... over all connections
	Time    time.Time `json:"time"`
	Dir     Direction `json:"dir"`
	Conn    int       `json:"conn"`              // connection number, from 1
	Session string    `json:"session,omitempty"` // protocol of the session, once there is one
	Raw     []byte    `json:"-"`                 // the payload as on the wire; do not modify
	Binary  bool      `json:"binary,omitempty"`

	ID        json.RawMessage `json:"id,omitempty"`         // byte for byte
	Method    string          `json:"method,omitempty"`     // empty on answers
	EventType string          `json:"event_type,omitempty"` // of signalwire.event
	Invalid   string          `json:"invalid,omitempty"`    // why it is not a JSON-RPC object
}

// Body returns the parsed payload, nil when it is no JSON object.
func (f Frame) Body() map[string]any {
	var m map[string]any
	if json.Unmarshal(f.Raw, &m) != nil {
		return nil
	}
	return m
}

// Decode parses the payload into v, as json.Unmarshal does.
func (f Frame) Decode(v any) error { return json.Unmarshal(f.Raw, v) }

// String shows the frame on one line.
func (f Frame) String() string {
	return fmt.Sprintf("#%d %s conn %d: %s", f.Seq, f.Dir, f.Conn, f.Raw)
}

// signal wakes everybody who waits for a change. Nothing is allocated while
// nobody waits.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that the next wake closes. Take it before looking at
// the state it guards.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// ring keeps the last entries of an endless sequence.
type ring[T any] struct {
	items []T
	next  uint64 // sequence number of the next entry; the first is 0
	limit int
}

func (r *ring[T]) add(v T) {
	if len(r.items) < r.limit {
		r.items = append(r.items, v)
	} else {
		r.items[r.next%uint64(r.limit)] = v
	}
	r.next++
}

// first is the number of the oldest entry kept.
func (r *ring[T]) first() uint64 { return r.next - uint64(len(r.items)) }

func (r *ring[T]) at(n uint64) *T { return &r.items[n%uint64(r.limit)] }

// since returns a copy of the entries numbered n and up that are still kept.
func (r *ring[T]) since(n uint64) []T {
	n = max(n, r.first())
	out := make([]T, 0, r.next-min(n, r.next))
	for ; n < r.next; n++ {
		out = append(out, *r.at(n))
	}
	return out
}

// recent remembers the last limit keys with a value each.
type recent[V any] struct {
	values map[string]V
	order  ring[string]
}

func newRecent[V any](limit int) *recent[V] {
	return &recent[V]{values: make(map[string]V), order: ring[string]{limit: limit}}
}

func (r *recent[V]) get(key string) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

func (r *recent[V]) put(key string, v V) {
	if _, ok := r.values[key]; !ok {
		if len(r.order.items) == r.order.limit {
			delete(r.values, *r.order.at(r.order.first()))
		}
		r.order.add(key)
	}
	r.values[key] = v
}

// journal is the transcript.
type journal struct {
	mu      sync.Mutex
	frames  ring[Frame]
	changed signal
}

func (j *journal) add(f Frame) {
	j.mu.Lock()
	f.Seq = j.frames.next + 1
	j.frames.add(f)
	j.mu.Unlock()
	j.changed.wake()
}

// after returns the kept frames with a Seq above seq.
func (j *journal) after(seq uint64) []Frame {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.frames.since(seq)
}

// Frames returns the transcript, oldest first. It is bounded by
// Config.Transcript; older frames are gone.
func (s *Server) Frames() []Frame { return s.journal.after(0) }

// FramesAfter returns the frames whose Seq is greater than seq.
func (s *Server) FramesAfter(seq uint64) []Frame { return s.journal.after(seq) }

// LastSeq returns the Seq of the newest frame, 0 before the first. Take it
// before an action to look only at what the action caused.
func (s *Server) LastSeq() uint64 {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return s.journal.frames.next
}

// WaitFrame returns the first frame of the transcript, past or future, for
// which match is true. It fails when ctx ends or the server closes.
func (s *Server) WaitFrame(ctx context.Context, match func(Frame) bool) (Frame, error) {
	return s.WaitFrameAfter(ctx, 0, match)
}

// WaitFrameAfter is WaitFrame over the frames whose Seq is greater than seq.
func (s *Server) WaitFrameAfter(ctx context.Context, seq uint64, match func(Frame) bool) (Frame, error) {
	for {
		changed := s.journal.changed.wait()
		for _, f := range s.journal.after(seq) {
			if match(f) {
				return f, nil
			}
			seq = f.Seq
		}
		if err := s.waitOn(ctx, changed); err != nil {
			return Frame{}, fmt.Errorf("wait for a frame: %w", err)
		}
	}
}

// IsMethod matches requests of a method, from either side.
func IsMethod(method string) func(Frame) bool {
	return func(f Frame) bool { return f.Method == method }
}

// IsAnswerTo matches the answer to a request id, given byte for byte.
func IsAnswerTo(id json.RawMessage) func(Frame) bool {
	return func(f Frame) bool { return f.Method == "" && string(f.ID) == string(id) }
}
