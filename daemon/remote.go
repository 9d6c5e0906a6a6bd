package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/relay"
)

// remote is the running daemon, as the commands that ask it see it.
type remote struct {
	listen string
	token  relay.Secret
	config string // the file that says so; empty for none
	client *http.Client
}

// remote finds the daemon that the configuration describes. It does not look whether it is
// there.
func (c *cli) remote() (*remote, error) {
	path, err := c.findConfig()
	if err != nil {
		return nil, err
	}
	cfg, err := whereToAsk(Source{Path: path, Environ: c.environ(), NoCredentials: true})
	if err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		return nil, exitf(ExitUnavailable, "http.listen is empty, so the daemon cannot be asked; set it, or send the daemon SIGHUP to reload")
	}
	return &remote{
		listen: cfg.Listen, token: cfg.Token, config: path,
		client: &http.Client{Transport: &http.Transport{}}, // no proxy: the daemon is on this machine
	}, nil
}

// maxAnswer bounds an answer: a thousand messages of many segments.
const maxAnswer = 64 << 20

// send makes a request; body, if not nil, as JSON. The caller closes the answer's body.
func (d *remote) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, exitf(ExitInternal, "encode the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+dialable(d.listen)+path, content)
	if err != nil {
		return nil, exitf(ExitConfig, "http.listen is no address: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token.Reveal())
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, d.silent(err)
	}
	return resp, nil
}

// silent says what to do when no daemon answers.
func (d *remote) silent(err error) error {
	cause := err
	if u := (*url.Error)(nil); errors.As(err, &u) {
		cause = u.Err
	}
	if errors.Is(err, context.Canceled) {
		return exitf(ExitUnavailable, "interrupted")
	}
	from := "no configuration file was found, so this is the default address"
	if d.config != "" {
		from = "the address is that of " + d.config
	}
	return exitf(ExitUnavailable, "no daemon answers on %s: %w; start it with \"signpost run\", or name the configuration of the one that runs with --config (%s)", d.listen, cause, from)
}

// get asks for what path says and decodes the answer.
func (d *remote) get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return d.exchange(ctx, http.MethodGet, path, nil, into)
}

// post tells the daemon something and decodes the answer.
func (d *remote) post(ctx context.Context, path string, body, into any) error {
	return d.exchange(ctx, http.MethodPost, path, body, into)
}

func (d *remote) exchange(ctx context.Context, method, path string, body, into any) error {
	resp, err := d.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := readAnswer(resp)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refused(answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return exitf(ExitUnavailable, "read the daemon's answer: %w; is it the same version as this command?", err)
	}
	return nil
}

// stream tells the daemon something long and hands over each line of progress but the last,
// which it returns.
func (d *remote) stream(ctx context.Context, path string, body any, each func(api.Progress)) (api.Progress, error) {
	resp, err := d.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return api.Progress{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := readAnswer(resp)
		if err != nil {
			return api.Progress{}, err
		}
		return api.Progress{}, refused(answer)
	}
	lines := json.NewDecoder(resp.Body)
	for {
		var p api.Progress
		if err := lines.Decode(&p); err != nil {
			return p, exitf(ExitUnavailable, "the daemon ended before it was done: %w; see its log", err)
		}
		switch {
		case p.Problem != nil:
			return p, withExit(exitOf(p.Problem), p.Problem)
		case p.Result != "":
			return p, nil
		}
		each(p)
	}
}

func readAnswer(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, exitf(ExitUnavailable, "read the daemon's answer: %w", err)
	}
	return body, nil
}

// refused is the error of a request that the daemon did not do.
func refused(body []byte) error {
	p := api.ReadProblem(body)
	return withExit(exitOf(p), p)
}

// exitOf is the exit code for a problem.
func exitOf(p *api.Problem) int {
	switch {
	case p.Of(api.Unauthorized):
		return ExitCredentials
	case p.Of(api.BadRequest), p.Of(api.Conflict):
		return ExitUsage
	case p.Of(api.Unknown), p.Of(api.TooLate), p.Of(api.Elsewhere), p.Of(api.Exists):
		return ExitFindings
	case p.Of(api.Unsupported):
		return ExitConfig
	}
	return ExitUnavailable
}
