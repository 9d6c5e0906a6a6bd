package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

const (
	// maxAnswer bounds the answer of an endpoint: a reply of the longest text needs 10 KiB even
	// if every character of it is escaped.
	maxAnswer = 64 << 10
	// maxRetryAfter bounds what a Retry-After may ask for: the conversation waits meanwhile.
	maxRetryAfter = 10 * time.Minute
)

// outward is the client of all endpoints. They are the operator's own, so that private
// addresses are fine. Redirects are not followed: a POST that becomes a GET on its way looks
// like a success and is none.
var outward = &http.Client{
	Transport: func() http.RoundTripper {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64 // as many as handlers run at once by default
		return t
	}(),
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// endpoint is where JSON is posted to.
type endpoint struct {
	url      string
	host     string // all of the address that may be shown: the rest may hold a secret
	secret   relay.Secret
	timeout  time.Duration
	patience time.Duration
	what     string // what is posted to it, for errors
}

// checkURL reads the address of an endpoint. The error does not name the option.
func checkURL(s string) (host string, err error) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return "", errors.New("there is none: give the http or https URL of your endpoint, such as http://127.0.0.1:5000/incoming-sms")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", errors.New("not a web address: give the full URL of your endpoint, such as http://127.0.0.1:5000/incoming-sms")
	}
	return u.Host, nil
}

// unanswered is an error of a post that got no answer at all: whoever took it may be at work.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// post gives a body to the endpoint and returns the body of its answer, at most maxAnswer + 1
// bytes of it. The error instructs: [messaging.Drop] if the endpoint refused, so that it would
// do so again; [messaging.RetryAfter] if it cannot be reached, for as long as patience lasts
// since the time given; any other may be the fault of this very post and is to be tried again
// a few times. It names the host alone, and nothing that was posted or answered.
func (e *endpoint) post(ctx context.Context, key string, body []byte, since time.Time) (answer []byte, err error) {
	began := time.Now()
	defer func() { observeOutside(ctx, e.what, began, err) }()
	return e.exchange(ctx, key, body, since)
}

func (e *endpoint) exchange(ctx context.Context, key string, body []byte, since time.Time) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return nil, messaging.Drop(errors.New("the address cannot be posted to: correct its url"))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "signpost")
	// Also makes the client try again by itself on a connection that the other side has closed.
	req.Header.Set("Idempotency-Key", key)
	if e.secret != "" {
		req.Header.Set(SignatureHeader, Sign(e.secret.Reveal(), time.Now(), body))
	}
	began := time.Now()
	resp, err := outward.Do(req)
	if err != nil {
		return nil, e.failed(ctx, err, since)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case resp.StatusCode/100 != 2:
		return nil, e.refused(resp, since)
	case err != nil:
		return nil, unanswered{fmt.Errorf("%s: the answer of %s broke off after %v: see its log", e.what, e.host, time.Since(began).Round(time.Millisecond))}
	}
	return answer, nil
}

// failed is the error of a post without an answer.
func (e *endpoint) failed(ctx context.Context, err error, since time.Time) error {
	// The text of a *url.Error has the whole address in it.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" && ctx.Err() == nil {
		return e.later(0, since, fmt.Errorf("%s: nothing answers at %s (%w): start what should listen there, or correct the url", e.what, e.host, dial.Err))
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return unanswered{fmt.Errorf("%s: %s did not answer within %v: make it answer sooner, or raise the timeout", e.what, e.host, e.timeout)}
	}
	return unanswered{fmt.Errorf("%s: no answer from %s: %w", e.what, e.host, err)}
}

// refused is the error of an answer that is no success.
func (e *endpoint) refused(resp *http.Response, since time.Time) error {
	says := fmt.Errorf("%s: %s answered %d %s", e.what, e.host, resp.StatusCode, http.StatusText(resp.StatusCode))
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return e.later(retryAfter(resp.Header.Get("Retry-After"), time.Now()), since, says)
	case code == http.StatusBadGateway, code == http.StatusGatewayTimeout, code == http.StatusTooEarly:
		return e.later(0, since, fmt.Errorf("%w: what is behind it does not run", says))
	case code == http.StatusRequestTimeout, code >= 500:
		return fmt.Errorf("%w: see its log", says)
	case code/100 == 3:
		return messaging.Drop(fmt.Errorf("%w, a redirect: set the url to where it leads", says))
	}
	return messaging.Drop(fmt.Errorf("%w and so refused it: mend it there and replay the dead letter", says))
}

// later says to try again; see pauseFor.
func (e *endpoint) later(d time.Duration, since time.Time, err error) error {
	return pauseFor(d, since, e.patience, err)
}

// retryAfter reads the header of that name: seconds, or a date; 0 if it says neither.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	var d time.Duration
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	if d <= 0 {
		return 0
	}
	return min(d, maxRetryAfter)
}
