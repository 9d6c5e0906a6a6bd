// Package handlers has the middleware and handlers that most applications need, usable from
// Go and, through [Builtins], by name from a configuration file.
//
// A middleware decides an event by not calling the next handler; the first that decides
// ends the chain:
//
//	r.Use(handlers.Recover, handlers.Timeout(10*time.Second))
//	r.Use(handlers.Keyword("HOURS", handlers.Reply("We're open Mon-Fri 9am-5pm")))
//	r.OnMessage(handlers.Reply("You said: {{.Body}}"))
//
// Keyword, Reply, ReplyTemplate and Ignore are pure (see [messaging.Instant]): a chain made of nothing
// else runs while its event is still being written. Recover and Timeout keep that property,
// Log keeps it while it has nothing to write.
//
// A handler that wants a picture of a message asks for it: [OpenMedia] fetches it, and
// [SaveMedia] keeps it as a file. Nothing is fetched otherwise.
//
// A conversation of several messages is made of [Menu], [NewQuestion], [NewReminder],
// [NewHandover] and [Unknown]. What they remember is stored with the event's completion. What
// is answered by a choice of a menu alone is as pure as the choice.
//
// A program is run by [Exec]. A handler that already exists as a web application stays what it is: [Forward] posts it
// the messages, and takes the reply of its answer.
//
// Handlers that answer people look at messages only. Delivery states pass them, so that no
// answer is ever sent because of the report on an answer.
package handlers
