// Simulator serves a simulated Relay space to the tests of the JavaScript SDK in this folder. It prints one line of JSON with
// the addresses once it accepts connections, and ends when its standard input does, so that it cannot outlive its parent.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "simulator:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	space, err := relaytest.Start(relaytest.Config{})
	if err != nil {
		return err
	}
	defer space.Close()
	addresses := map[string]string{"relay": space.URL(), "http": space.HTTPURL()}
	if err := json.NewEncoder(out).Encode(addresses); err != nil {
		return fmt.Errorf("print the addresses: %w", err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return fmt.Errorf("wait for the end of the standard input: %w", err)
	}
	return nil
}
