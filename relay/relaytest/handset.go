package relaytest

import (
	"context"
	"fmt"
	"time"
)

// Text is a text message that reached a handset.
type Text struct {
	Seq       uint64    `json:"seq"` // 1, 2, 3, ... over all handsets
	Time      time.Time `json:"time"`
	MessageID string    `json:"message_id"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Body      string    `json:"body"`
	Media     []string  `json:"media,omitempty"`
}

// Handset is a person's telephone. Its methods are safe for concurrent use.
type Handset struct {
	s      *Server
	number string
}

// Handset returns the telephone with that number; every number has one.
func (s *Server) Handset(number string) *Handset { return &Handset{s, number} }

// Number is the handset's number.
func (h *Handset) Number() string { return h.number }

// Messages returns the texts that arrived, oldest first. The space as a whole
// keeps the last Config.Transcript of them.
func (h *Handset) Messages() []Text { return h.after(0) }

func (h *Handset) after(seq uint64) []Text {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	var out []Text
	for n := max(seq, h.s.texts.first()); n < h.s.texts.next; n++ {
		if t := h.s.texts.at(n); t.To == h.number {
			out = append(out, *t)
		}
	}
	return out
}

// Next returns the first text whose Seq is greater than seq, waiting for it.
func (h *Handset) Next(ctx context.Context, seq uint64) (Text, error) {
	for {
		changed := h.s.changed.wait()
		if list := h.after(seq); len(list) > 0 {
			return list[0], nil
		}
		if err := h.s.waitOn(ctx, changed); err != nil {
			return Text{}, fmt.Errorf("wait for a text: %w", err)
		}
	}
}

// Subscribe returns a channel of the texts that arrive from now on. It is
// closed when ctx ends or the server closes.
func (h *Handset) Subscribe(ctx context.Context) <-chan Text {
	h.s.mu.Lock()
	seq := h.s.texts.next
	h.s.mu.Unlock()
	out := make(chan Text)
	go func() {
		defer close(out)
		for {
			t, err := h.Next(ctx, seq)
			if err != nil {
				return
			}
			seq = t.Seq
			select {
			case out <- t:
			case <-ctx.Done():
				return
			case <-h.s.done:
				return
			}
		}
	}()
	return out
}

// Text sends a message from the handset to one of our numbers. It fails when
// Config.Numbers binds that number to no context; use Inject to name one.
func (h *Handset) Text(to, body string, media ...string) (*Inbound, error) {
	return h.s.Inject(SMS{From: h.number, To: to, Body: body, Media: media}, Target{})
}

// arrive puts a send on its handset, once.
func (s *Server) arrive(r *sendRecord) {
	if r.arrived {
		return
	}
	r.arrived = true
	s.texts.add(Text{
		Seq: s.texts.next + 1, Time: s.clock.Now(), MessageID: r.MessageID, From: r.From, To: r.To, Body: r.Body, Media: r.Media,
	})
}
