package daemon

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
)

// askWithin bounds a command's question to the running daemon; a reload waits a few seconds
// for the platform.
const askWithin = 15 * time.Second

func (c *cli) reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the running daemon reload its configuration",
		Long: `Make the running daemon read its configuration again: all or nothing, and without a
reconnect. On an error the daemon goes on with the old configuration and this command
exits with 78. Keys that need a restart are named.`,
		Example: "  signpost reload\n  signpost reload --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, body, err := c.ask(cmd.Context(), http.MethodPost, "/v1/reload")
			if err != nil {
				return err
			}
			if code != http.StatusOK {
				return exitf(ExitConfig, "%s", api.ReadProblem(body).Error())
			}
			var done Reloaded
			if err := json.Unmarshal(body, &done); err != nil {
				return exitf(ExitUnavailable, "read the daemon's answer: %w; is it the same version as this command?", err)
			}
			if c.asJSON {
				return c.printJSON(done)
			}
			c.printf("%s", done)
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) healthCommand() *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the running daemon whether it is ready",
		Long: `Ask the running daemon whether messages can be taken and answered now, check by check.
Exit codes: 0 ready, 1 not ready, 69 no daemon answers.`,
		Example: "  signpost health\n  signpost health --live\n  signpost health --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz?format=json"
			if live {
				path = "/livez?format=json"
			}
			_, body, err := c.ask(cmd.Context(), http.MethodGet, path)
			if err != nil {
				return err
			}
			var h health
			if err := json.Unmarshal(body, &h); err != nil || h.Checks == nil {
				return exitf(ExitUnavailable, "what answers at the address of http.listen is no signpost: %s", api.ReadProblem(body).Error())
			}
			if c.asJSON {
				if err := c.printJSON(h); err != nil {
					return err
				}
			} else {
				c.printf("%s", h.plain())
			}
			if !h.OK {
				return withExit(ExitFindings, errSilent)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask for internal progress only, not for the session and the journal")
	c.jsonFlag(cmd)
	return cmd
}

// ask makes a request to the daemon that the configuration describes.
func (c *cli) ask(ctx context.Context, method, path string) (code int, body []byte, err error) {
	d, err := c.remote()
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	resp, err := d.send(ctx, method, path, nil)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = readAnswer(resp)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		err = refused(body)
	}
	return resp.StatusCode, body, err
}

// dialable turns a listen address into one that can be dialed from this machine.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
