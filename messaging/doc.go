// Package messaging turns text messages into durable events in and durable sends out.
//
// An [Engine] stands between a Relay session and the handlers of an application. It
// journals every inbound message before it acknowledges it, runs the [Handler] of the
// message one at a time per conversation, stores what the handler decided in one
// transaction with the message's completion, and hands each send through the gate to the
// wire. Its one guarantee: whatever crashes, no inbound is answered twice and none that was
// acknowledged is forgotten by a durable [Store].
//
// Begin with a Store (messaging/memory holds everything in memory, the SQL stores are
// durable), a Handler (usually a contexts.Router) and NewEngine:
//
//	eng := messaging.NewEngine(store, router, client, messaging.Config{})
//	go client.Run(ctx, eng)
//	err := eng.Run(ctx)
package messaging
