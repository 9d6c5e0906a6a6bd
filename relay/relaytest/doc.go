// Package relaytest is a simulated SignalWire Relay space: a library for tests
// in the spirit of net/http/httptest, and a server that any SDK can be pointed
// at.
//
// NewServer starts a space for a test, Start one for a program. A space serves
// Relay over ws and wss, the REST endpoints for messages and their log, and an
// HTTP control API (CONTROL.md). It knows nothing of the client under test and
// shares no code with it.
//
//	space := relaytest.NewServer(t)                     // loopback sockets
//	space := relaytest.NewServer(t, relaytest.InMemory) // for testing/synctest
//
// Point the client at URL, with Client or DialContext when in memory. Then
// Session waits until it has connected and subscribed:
//
//	sess := space.Session(t)
//	d := sess.Deliver(relaytest.SMS{From: "+12025550101", Body: "hi"})
//	err := d.Wait(ctx)                    // acknowledged
//	send, err := space.ExpectSend(ctx, relaytest.ToNumber("+12025550101"))
//
// A send is accepted and delivered unless a script (NextSends, Carrier.On), the
// destination's magic number (MagicNumbers) or a standing fault (SetFaults) says
// otherwise. Session.Drop, Silence, Disconnect and Close, and Server.Restart,
// break connections in their several ways; NextUpgrades, NextConnects and
// NextReplies script handshakes, authentication and answers. Frames is the
// transcript of everything, WaitFrame waits for something in it.
//
// In a test every breach of the protocol by the client fails the test with a
// diff; the Lenient option turns that off. Violations and Stats tell the same in
// numbers.
//
// Everything timed follows the space's Clock and everything random its seed.
// Inside a synctest bubble an InMemory space lives in the bubble's time.
package relaytest
