package daemon

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// TestConsentScripts runs the operator's commands against a daemon, each script its own, and
// a simulated space: "text NUMBER BODY" texts the daemon and waits for the acknowledgement.
func TestConsentScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/consent",
		Setup: func(env *testscript.Env) error {
			o := consenting(t, "")
			env.Values["space"] = o.space
			env.Vars = append(env.Vars, "NO_COLOR=1", "TZ=UTC", "USER=ann", "SIGNPOST_CONFIG="+o.path,
				"SIGNALWIRE_PROJECT_ID="+simProject, "SIGNALWIRE_API_TOKEN="+simToken)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"text": func(ts *testscript.TestScript, _ bool, args []string) {
				in, err := ts.Value("space").(*relaytest.Server).Inject(relaytest.SMS{From: args[0], To: ourNumber, Context: "support", Body: args[1]}, relaytest.Target{})
				ts.Check(err)
				ts.Check(in.Wait(t.Context()))
			},
			// list writes so many numbers into a file, one a line.
			"list": func(ts *testscript.TestScript, _ bool, args []string) {
				var n int
				_, err := fmt.Sscan(args[0], &n)
				ts.Check(err)
				var text bytes.Buffer
				for i := range n {
					fmt.Fprintf(&text, "+1312%07d\n", 2_000_000+i)
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), text.Bytes(), 0o600))
			},
		},
	})
}
