package policy

import (
	"hash/maphash"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// hearing is what is kept of inbound messages as such. Its fields belong to the goroutine on
// which the rules are asked.
type hearing struct {
	seed   maphash.Seed
	recent [4096]uint64 // hashes of ids heard, each at a place that it determines
	ours   map[messaging.Number]struct{}
	lag    time.Duration // the least between the platform's timestamp and our reading
	timed  bool
}

func newHearing() hearing {
	return hearing{seed: maphash.MakeSeed(), ours: map[messaging.Number]struct{}{}}
}

// isNew reports whether a message is heard for the first time in a while.
func (h *hearing) isNew(id string) bool {
	sum := maphash.String(h.seed, id)
	place := &h.recent[sum%uint64(len(h.recent))]
	if *place == sum {
		return false
	}
	*place = sum
	return true
}

// oursMost bounds the numbers that are known as ours because they were texted.
const oursMost = 10_000

// learn notes that a number is ours: the platform delivered a message to it.
func (h *hearing) learn(n messaging.Number) {
	if _, known := h.ours[n]; known || len(h.ours) >= oursMost {
		return
	}
	h.ours[messaging.Number(strings.Clone(string(n)))] = struct{}{}
}

// ours reports whether a number is one of ours.
func (p *Policy) ours(number string) bool {
	n := messaging.Number(number)
	if _, configured := p.now.Load().cfg.Numbers[n]; configured {
		return true
	}
	_, learnt := p.hearing.ours[n]
	return learnt
}

// sent is when a message was sent by our clock: what the platform kept back for us was not
// sent at once although it comes so. The least lag that was seen stands for the difference
// of the clocks; it follows a lasting change of it.
func (h *hearing) sent(ev *messaging.Event) time.Time {
	if ev.SentAt.IsZero() {
		return ev.ReceivedAt
	}
	lag := ev.ReceivedAt.Sub(ev.SentAt)
	if !h.timed || lag < h.lag {
		h.lag, h.timed = lag, true
	}
	late := lag - h.lag
	h.lag += late / 256
	return ev.ReceivedAt.Add(-late)
}
