package daemon

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// simulated is what "signpost sim --json" prints, once it accepts connections.
type simulated struct {
	Relay   string            `json:"relay"`
	TLS     string            `json:"relay_tls"`
	HTTP    string            `json:"http"`
	CAFile  string            `json:"ca_file,omitempty"`
	Project string            `json:"project"`
	Token   string            `json:"token"`
	Numbers map[string]string `json:"numbers"`
}

// The credentials that a simulated space accepts when none are given. It accepts any others
// too; these save whoever starts it from making some up.
const (
	simProject = "00000000-0000-4000-8000-000000000000"
	simToken   = "PTsimulated"
)

func (c *cli) simCommand() *cobra.Command {
	var listen, tlsListen, httpListen, caFile, project, token string
	var numbers map[string]string
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run the simulated Relay space alone, for any SDK",
		Long: `Run the simulated Relay space alone: a WebSocket endpoint that this daemon and the
official SDKs talk to unchanged, the REST endpoints of messages and logs, telephones that
receive what is sent, and a control API to text from them and to make things fail.
It needs no account and reaches no network.

What is sent to a number with a magic ending, such as +12025559002, meets another fate
than delivery: GET /control/magic lists them, relay/relaytest/CONTROL.md describes the
whole control API.

With --project and --token only those credentials are accepted; without, any are.`,
		Example: `  signpost sim
  signpost sim --listen 127.0.0.1:7777 --numbers +12025550100=support,+12025550101=sales
  signpost sim --json | jq -r .relay
  SIGNPOST_RELAY_URL=ws://127.0.0.1:7777/ signpost run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := relaytest.Config{
				Addr: listen, TLSAddr: tlsListen, HTTPAddr: httpListen, Numbers: numbers,
				Logger: slog.New(newMaskingHandler(newLogHandler(c.errw, LogAuto, slog.LevelInfo), token)),
				// Other ids each time: a daemon whose journal outlived the last simulator would take
				// the texts of this one for those of the last, delivered again.
				Seed: rand.Uint64(),
			}
			if (project == "") != (token == "") {
				return exitf(ExitUsage, "--project and --token belong together: give both, or neither to accept any credentials")
			}
			out := simulated{Project: simProject, Token: simToken, Numbers: numbers}
			if project != "" {
				cfg.Credentials = map[string]string{project: token}
				out.Project, out.Token = project, token
			}
			space, err := startSim(cfg)
			if err != nil {
				return exitf(ExitUnavailable, "start the simulator: %w; choose free addresses with --listen, --tls and --http", err)
			}
			defer space.Close()
			out.Relay, out.TLS, out.HTTP = space.URL(), space.TLSURL(), space.HTTPURL()
			if caFile != "" {
				if err := os.WriteFile(caFile, space.CACert(), 0o600); err != nil {
					return exitf(ExitUnavailable, "write the certificate of the simulator: %w; choose another path with --ca-file", err)
				}
				out.CAFile = caFile
			}
			if c.asJSON {
				if err := c.printJSON(out); err != nil {
					return err
				}
			} else {
				c.printf("%s", out)
			}
			<-cmd.Context().Done()
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:0", "address of the ws:// endpoint")
	f.StringVar(&tlsListen, "tls", "127.0.0.1:0", "address of the wss:// endpoint, with a certificate of its own authority")
	f.StringVar(&httpListen, "http", "", "address of REST and of the control API (default: "+simControl+", or any free port if that is taken)")
	f.StringVar(&caFile, "ca-file", "", "write the authority's certificate to this file")
	f.StringVar(&project, "project", "", "the only project id to accept (default: any)")
	f.StringVar(&token, "token", "", "the only API token to accept (default: any)")
	f.StringToStringVar(&numbers, "numbers", map[string]string{
		"+12025550100": "support", "+12025550101": "sales", "+12025550102": "billing",
	}, "phone numbers and the contexts they are bound to")
	c.jsonFlag(cmd)
	return cmd
}

// startSim starts the space; its control API where "signpost trigger" looks for it, unless
// another simulator is there or the configuration says otherwise.
func startSim(cfg relaytest.Config) (*relaytest.Server, error) {
	if cfg.HTTPAddr == "" {
		cfg.HTTPAddr = simControl
		if space, err := relaytest.Start(cfg); err == nil {
			return space, nil
		}
		cfg.HTTPAddr = ""
	}
	return relaytest.Start(cfg)
}

// String says in words where the simulator is and how to point a program at it.
func (s simulated) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "A simulated Relay space is up; Ctrl+C ends it.\n\n")
	fmt.Fprintf(&b, "  Relay     %s\n  with TLS  %s\n  REST      %s/api/\n  control   %s/control/\n\n", s.Relay, s.TLS, s.HTTP, s.HTTP)
	bound := make([]string, 0, len(s.Numbers))
	for number, context := range s.Numbers {
		bound = append(bound, fmt.Sprintf("  %s  %s\n", number, context))
	}
	sort.Strings(bound)
	b.WriteString(strings.Join(bound, ""))
	control := ""
	if s.HTTP != "http://"+simControl {
		control = " --control " + s.HTTP
	}
	fmt.Fprintf(&b, "\nA text from a person:\n  signpost trigger inbound%s --body HOURS", control)
	if len(s.Numbers) > 0 {
		fmt.Fprintf(&b, " --to %s", slices.Min(slices.Collect(maps.Keys(s.Numbers))))
	}
	fmt.Fprintf(&b, "\n\nSignpost:\n  SIGNPOST_RELAY_URL=%s SIGNALWIRE_PROJECT_ID=%s SIGNALWIRE_API_TOKEN=%s signpost run\n", s.Relay, s.Project, s.Token)
	fmt.Fprintf(&b, "JavaScript, @signalwire/realtime-api:\n  await SignalWire({ host: %q, project: %q, token: %q })\n", strings.TrimSuffix(s.Relay, "/"), s.Project, s.Token)
	if host, port, err := net.SplitHostPort(strings.Trim(strings.TrimPrefix(s.Relay, "ws:"), "/")); err == nil {
		fmt.Fprintf(&b, "Go, signalwire-go:\n  SIGNALWIRE_RELAY_HOST=%s SIGNALWIRE_RELAY_SCHEME=ws\n", net.JoinHostPort(host, port))
	}
	return b.String()
}
