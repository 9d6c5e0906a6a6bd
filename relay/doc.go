// Package relay keeps one project's session on SignalWire Relay alive: it dials
// the WebSocket, authenticates, subscribes to contexts, answers pings, notices
// when the peer is gone, obeys its requests to disconnect, and comes back, for
// months. It knows JSON-RPC, events and requests, and nothing of text messages.
//
// Its guarantee is to be exact about what happened. An event is acknowledged
// only when its receiver says so, at most once, and on the connection it came
// from. A request ends exactly once: with the platform's answer, with
// ErrNotSent if no byte of it can have left this process, or with ErrInDoubt.
// The package never sends anything twice.
//
// Begin with New and Run:
//
//	client, err := relay.New(relay.Config{Project: id, Token: token, Contexts: []string{"support"}})
//	...
//	err = client.Run(ctx, handler) // until ctx ends
//
// The handler gets each event on the goroutine that reads the socket, keeps it,
// returns at once and calls Event.Ack when the event is safely stored. Requests
// are made with Call, which waits, or with Go, which does not and is made for
// tens of thousands a second. SetContexts, Receive, Unreceive, Pause and Resume
// change what is subscribed to, connected or not; Status tells how things stand.
//
// PROTOCOL.md, beside this file, explains the protocol and each rule that this
// package follows. Package relaytest is a platform to test against.
package relay
