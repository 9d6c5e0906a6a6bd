package otp

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// bucket is where the states are kept.
const bucket = "signpost.codes"

// state is what is kept of a person's codes for a purpose. Times are Unix milliseconds.
type state struct {
	MAC      []byte    `json:"mac,omitempty"` // of the code that is open; none if it was used
	Salt     uuid.UUID `json:"salt"`
	Expires  int64     `json:"expires"`
	Attempts int       `json:"attempts,omitempty"`
	Sent     []int64   `json:"sent"` // when codes were issued of late, oldest first
}

// open takes a new code in the place of the former one.
func (s *state) open(salt uuid.UUID, mac []byte, now, expires time.Time) {
	s.Salt, s.MAC, s.Expires, s.Attempts = salt, mac, expires.UnixMilli(), 0
	s.Sent = append(s.Sent, now.UnixMilli())
}

// limit is before when no other code may be issued, and forgets issues of no more concern.
func (s *state) limit(now time.Time, cfg *Config) (until time.Time) {
	for len(s.Sent) > 0 && !time.UnixMilli(s.Sent[0]).Add(cfg.Window).After(now) {
		s.Sent = s.Sent[1:]
	}
	if n := len(s.Sent); n > 0 {
		until = time.UnixMilli(s.Sent[n-1]).Add(cfg.ResendAfter)
		if n >= cfg.Sends {
			if again := time.UnixMilli(s.Sent[n-cfg.Sends]).Add(cfg.Window); again.After(until) {
				until = again
			}
		}
	}
	return until
}

// read reads a state and its version; a new one if there is none.
func (c *Codes) read(ctx context.Context, key string) (*state, int64, error) {
	v, err := c.engine.Value(ctx, bucket, key)
	if err != nil {
		return nil, 0, fmt.Errorf("otp: read the state of a code: %w", err)
	}
	s := &state{}
	if v.Version == messaging.Absent {
		return s, v.Version, nil
	}
	if err := json.Unmarshal(v.Data, s); err != nil {
		return nil, 0, fmt.Errorf("otp: the state of a code cannot be read: %w", err)
	}
	return s, v.Version, nil
}

// write makes the change that stores a state, if it is still of that version. It is kept for
// as long as its code is good or its issues count.
func (c *Codes) write(key string, to messaging.Number, s *state, version int64) (*messaging.ValueChange, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("otp: write the state of a code: %w", err)
	}
	until := time.UnixMilli(s.Expires)
	if n := len(s.Sent); n > 0 {
		if counts := time.UnixMilli(s.Sent[n-1]).Add(c.cfg.Window); counts.After(until) {
			until = counts
		}
	}
	return &messaging.ValueChange{Bucket: bucket, Key: key, Number: to, Data: data, ExpiresAt: until, Expect: version}, nil
}
