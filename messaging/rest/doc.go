// Package rest speaks to the platform's REST API: it creates and redacts messages, reads
// the message log, and looks at phone numbers and the campaign registry.
//
// The daemon sends over Relay, not over this API. It needs the log to find out what became
// of a send whose answer was lost, which is what [Client.OutboundBetween] is made for, and
// the rest to examine an account.
//
//	c, err := rest.New(rest.Config{Space: "example.signalwire.com", Project: project, Token: token})
//	sent, err := c.OutboundBetween(ctx, []rest.Pair{{From: ours, To: theirs}}, at.Add(-2*time.Second), at.Add(2*time.Second))
//
// Its one guarantee: a list that it returns without an error is whole. Nothing is retried
// here; errors say whether trying again makes sense (see [Error.Temporary]), and whether a
// change may have been made although the answer is missing (see [ErrInDoubt]). No error and
// no log record holds a credential, a telephone number or the text of a message.
package rest
