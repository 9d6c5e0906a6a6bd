package daemon

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
)

// TestMain lets the scripts run this test binary as the commands that they name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"signpost": func() { os.Exit(Main(nil)) },
		// ownbot is somebody else's binary, with a context in code.
		"ownbot": func() {
			os.Exit(Main(func(r *contexts.Router) {
				r.Context("tickets", func(r *contexts.Router) { r.OnMessage(replying("ticket: ")) })
			}))
		},
		// stuckbot has a handler that never ends, and says when it is in there.
		"stuckbot": func() {
			os.Exit(Main(func(r *contexts.Router) {
				r.Context("support", func(r *contexts.Router) {
					r.OnMessage(messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error {
						fmt.Fprintln(os.Stderr, "stuck now")
						select {}
					}))
				})
			}))
		},
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, "NO_COLOR=1")
			return nil
		},
	})
}
