package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// allowance is how often something may be done in one conversation. It is counted in the
// conversation's session, so that a restart or another daemon does not begin anew.
type allowance struct {
	key   string
	times int
	every time.Duration
}

// take counts once more, and tells whether that is still allowed.
func (a allowance) take(ctx context.Context, w messaging.Responder) (bool, error) {
	session, now := w.Session(), time.Now()
	value, ok, err := session.Get(ctx, a.key)
	if err != nil {
		return false, err
	}
	var used int
	var since int64 // in milliseconds
	if ok {
		_, _ = fmt.Sscanf(value, "%d %d", &used, &since) // what cannot be read counts as nothing
	}
	left := a.every - now.Sub(time.UnixMilli(since))
	if used == 0 || left <= 0 || left > a.every {
		used, since, left = 0, now.UnixMilli(), a.every
	}
	if used >= a.times {
		return false, nil
	}
	session.Set(a.key, strconv.Itoa(used+1)+" "+strconv.FormatInt(since, 10), left)
	return true, nil
}

// nameOf is a short name that stays the same as long as the text does.
func nameOf(prefix, text string) string {
	hash := sha256.Sum256([]byte(text))
	return prefix + hex.EncodeToString(hash[:6])
}
