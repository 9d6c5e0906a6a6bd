package api

import "sync"

// claims remembers which claim the client's key of a request led to, so that the request
// repeated claims nothing more. Of more than claimsMost the oldest are forgotten.
type claims struct {
	mu    sync.Mutex
	made  map[string]claimed
	order []string // a ring of the keys
	next  int
}

type claimed struct {
	inReplyTo, key string
	ok             bool
}

// claimsMost is how many are remembered: more than any endpoint has under way.
const claimsMost = 10_000

// of gives the claim of a key, which make makes the first time. Without a key each call makes
// one.
func (c *claims) of(key string, make func() (string, string, bool)) (inReplyTo, claimedKey string, ok bool) {
	if key == "" {
		return make()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	was, known := c.made[key]
	if !known {
		was.inReplyTo, was.key, was.ok = make()
		c.note(key, was)
	}
	return was.inReplyTo, was.key, was.ok
}

func (c *claims) note(key string, made claimed) {
	if c.made == nil {
		c.made = map[string]claimed{}
	}
	if len(c.order) < claimsMost {
		c.order = append(c.order, key)
	} else {
		delete(c.made, c.order[c.next])
		c.order[c.next] = key
		c.next = (c.next + 1) % claimsMost
	}
	c.made[key] = made
}
