// Package crashtest proves with real processes and real sockets what a daemon promises
// about crashes: whatever it acknowledged is answered once and in order, however often the
// process is killed, the connection is reset, or the daemon is restarted.
//
// The test binary is both sides. It runs itself again as the daemon, and is the platform,
// whose own ledger it judges. The usual runs are short; longer ones are asked for:
//
//	go test ./daemon/internal/crashtest -run Kill -kills 300 -timeout 1h -v
//	go test ./daemon/internal/crashtest -run Cut -cuts 300 -timeout 1h -v
//
// With -artifacts what the daemons logged and journaled is kept.
//
// Two daemons that share a journal, one of which is killed each time:
//
//	go test ./daemon/internal/crashtest -run 'Kill|Rolling' -daemons 2 -store postgres://postgres@127.0.0.1/postgres -v
package crashtest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon"
	"github.com/signpost-sms/signpost/messaging"
)

var (
	kills    = flag.Int("kills", 4, "kills in each variant of the kill test")
	cuts     = flag.Int("cuts", 20, "resets in each variant of the cut test")
	restarts = flag.Int("restarts", 4, "restarts in the rolling restart test")
	seed     = flag.Uint64("seed", 0, "seed of everything random; 0: another one each time")
	storeURL = flag.String("store", "sqlite:", "journal of the daemons; sqlite: is a new file for each test")
	daemons  = flag.Int("daemons", 1, "daemons that run at once in the kill and restart tests; several need a shared store")
)

// roleVar makes the test binary a daemon. Its value says who answers.
const roleVar = "CRASHTEST_ROLE"

// The roles of the test binary.
const (
	roleConfigured = "configured" // the handlers of the configuration, which run before their event is journaled
	roleCoded      = "coded"      // a handler in Go, which runs after it
)

// saying is what every answer begins with; the text that is answered follows.
const saying = "You said: "

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVar); role {
	case "":
		flag.Parse()
		os.Exit(m.Run())
	case roleConfigured:
		go dieWithParent()
		os.Exit(daemon.Main(nil))
	case roleCoded:
		go dieWithParent()
		os.Exit(daemon.Main(answerInGo))
	default:
		fmt.Fprintf(os.Stderr, "%s: no role %q\n", roleVar, role)
		os.Exit(1)
	}
}

// dieWithParent ends a daemon whose test is gone: standard input is a pipe from it.
func dieWithParent() {
	var b [1]byte
	for {
		if _, err := os.Stdin.Read(b[:]); err != nil {
			os.Exit(1)
		}
	}
}

func answerInGo(r *contexts.Router) {
	for _, l := range lines {
		r.Context(l.context, func(r *contexts.Router) {
			r.OnMessage(messaging.HandlerFunc(func(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
				w.Reply(saying + ev.Body)
				return nil
			}))
		})
	}
}

// random gives a test its randomness and logs how to have it again.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (again with -seed %d)", n, n)
	return rand.New(rand.NewPCG(n, uint64(len(t.Name()))))
}
