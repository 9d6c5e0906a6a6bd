// Package messagingtest helps to test what is built on package messaging.
//
// For handlers: [NewMessage] and [NewState] make events, [Run] gives one to a handler and
// returns what the handler decided.
//
//	rec, err := messagingtest.Run(handler, messagingtest.NewMessage("support", "+12025550101", "+12025550100", "HOURS"))
//	if err != nil || !slices.Equal(rec.Replies(), []string{"9 to 5"}) { ... }
//
// For stores: [TestStore] is the behaviour that the engine relies on, written down once as
// a test that every store passes. For whoever drives a store: [Faulty] makes one fail on
// demand.
package messagingtest
