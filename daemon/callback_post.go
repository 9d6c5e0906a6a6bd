package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
)

// post tells an endpoint one stage. Once its patience is over, what could not be told counts
// as told.
func (c *callbacks) post(ctx context.Context, r *messaging.SendRecord, told api.Callback) seen {
	target := r.Send.Callback
	u, err := url.Parse(target)
	if err == nil {
		err = c.sending.Callback(target)
	}
	log := c.log.With("send_id", told.ID, "status", told.Status)
	if err != nil {
		c.posts.WithLabelValues("given_up").Inc()
		log.Warn("a callback is not allowed any more and is not told", "err", err)
		return seenTold
	}
	log = log.With("host", u.Host)
	if !c.enter(u.Host) {
		return seenBusy
	}
	defer c.leave(u.Host)
	status, err := c.exchange(ctx, target, told)
	if err == nil && status/100 == 2 {
		c.posts.WithLabelValues("told").Inc()
		return seenTold
	}
	if ctx.Err() != nil {
		return seenFailed
	}
	patience := callbackPatience
	if err == nil {
		err = fmt.Errorf("it answered %d", status)
		switch status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		default:
			if status < 500 {
				patience = callbackRefused
			}
		}
	}
	since := c.since(r.Send.ID)
	if time.Since(since) >= patience {
		c.posts.WithLabelValues("given_up").Inc()
		log.Warn("a callback could not be told and is given up", "err", err, "after", time.Since(since).Round(time.Second))
		return seenTold
	}
	c.posts.WithLabelValues("failed").Inc()
	log.Debug("a callback could not be told and is tried again", "err", err)
	return seenFailed
}

// callbackAnswer is how much of an answer is read, so that its connection can be used again.
const callbackAnswer = 4 << 10

func (c *callbacks) exchange(ctx context.Context, target string, told api.Callback) (status int, err error) {
	body, err := json.Marshal(told)
	if err != nil {
		return 0, fmt.Errorf("encode what is told: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the address cannot be posted to")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "signpost")
	req.Header.Set("Idempotency-Key", told.ID+"-"+told.Status)
	resp, err := c.client.Do(req)
	if err != nil {
		var whole *url.Error // its text has the whole address in it
		if errors.As(err, &whole) {
			err = whole.Err
		}
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, callbackAnswer) // whatever it says
	return resp.StatusCode, nil
}
