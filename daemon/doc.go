// Package daemon is the whole Signpost process, lifted out of cmd so that tests and other
// people's binaries run it too: configuration, wiring, the order of start and stop, the
// local HTTP endpoints and every command.
//
// Its guarantee: whatever happens, the process either serves or says why not in one
// sentence with the mend, and a stop leaves nothing half done without saying so
// (exit code 75).
//
// A binary of your own, with every command of ours, is [Main] and a function that adds
// handlers to the router:
//
//	func main() {
//		os.Exit(daemon.Main(func(r *contexts.Router) { ... }))
//	}
//
// To run the daemon inside another program, use [New] and [Daemon.Run].
package daemon
