// Command signpost answers text messages with SignalWire Relay. Everything it can do lives
// in package daemon, so that a binary of your own can do it too.
package main

import (
	"os"

	"github.com/signpost-sms/signpost/daemon"
)

func main() { os.Exit(daemon.Main(nil)) }
