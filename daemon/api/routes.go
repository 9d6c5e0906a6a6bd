package api

import "slices"

// The tags of the description.
const (
	tagLook    = "looking"
	tagChange  = "changing"
	tagConsent = "consent"
)

// The parameters of searches.
var (
	pageParams = []param{
		{name: "number", about: "messages from or to this number"},
		{name: "context", about: "those of a context"},
		{name: "since", about: "received, or decided to be sent, then or later; RFC 3339"},
		{name: "until", about: "and before; RFC 3339"},
		{name: "text", about: "with this in the text"},
		{name: "limit", about: "so many, 1 to 1000; 50 without it", kind: "integer"},
		{name: "before", about: "behind the cursor of a former page"},
		{name: "after", about: "newer than a cursor, oldest first"},
	}
	searchParams = append([]param{
		{name: "direction", about: "in or out"},
		{name: "status", about: "sends with one of these, with commas between them"},
		{name: "fate", about: "inbounds with one of these, with commas between them"},
	}, pageParams...)
	linesParams = []param{
		{name: "limit", about: "so many, 1 to 1000; 50 without it", kind: "integer"},
		{name: "after", about: "the cursor of a former page", kind: "integer"},
	}
)

// ndjson is the type of an answer that comes line by line.
const ndjson = "application/x-ndjson"

// all are every path of the API but the description itself.
func (a *API) all() []route {
	return slices.Concat(a.routes(), a.bulkRoutes(), a.conversationRoutes(), a.platformRoutes())
}

// routes are those over the journal.
func (a *API) routes() []route {
	return []route{
		{method: "GET", path: "/v1/messages", tag: tagLook, summary: "A page of messages in both directions, newest first", params: searchParams, answer: Page{}, handle: a.messages},
		{method: "GET", path: "/v1/messages/{id}", tag: tagLook, summary: "The life of a message", answer: Life{}, handle: a.message},
		{method: "GET", path: "/v1/deadletters", tag: tagLook, summary: "A page of dead letters", params: pageParams, answer: Page{}, handle: a.deadLetters},
		{method: "GET", path: "/v1/deadletters/{id}", tag: tagLook, summary: "The life of a dead letter", answer: Life{}, handle: a.deadLetter},
		{method: "POST", path: "/v1/deadletters/replay", tag: tagChange, summary: "Run the chains of a context's dead letters again", body: ReplayAll{}, answer: Progress{}, media: ndjson, handle: a.replayAll},
		{method: "POST", path: "/v1/deadletters/{id}/replay", tag: tagChange, summary: "Run the chain of a dead letter again", answer: Done{}, handle: a.replay},
		{method: "POST", path: "/v1/deadletters/{id}/drop", tag: tagChange, summary: "Let a dead letter go", answer: Done{}, handle: a.drop},
		{method: "GET", path: "/v1/doubts", tag: tagLook, summary: "A page of sends in doubt", params: pageParams, answer: Page{}, handle: a.doubts},
		{method: "POST", path: "/v1/doubts/{id}/resolve", tag: tagChange, summary: "End a doubt", body: Resolve{}, answer: Done{}, handle: a.resolve},
		{
			method: "POST", path: "/v1/sends", tag: tagChange, summary: "Send a message, now or at a time",
			params: []param{{name: headerKey, about: "the same as the member key", header: true}}, body: NewSend{}, answer: Message{}, handle: a.createSend,
		},
		{
			method: "GET", path: "/v1/events", tag: tagLook, summary: "Messages as they are journaled, as server-sent events",
			params: append([]param{{name: "Last-Event-ID", about: "go on behind this event", header: true}}, searchParams...), answer: Message{}, media: "text/event-stream", handle: a.events,
		},
		{method: "GET", path: "/v1/contexts", tag: tagLook, summary: "The contexts and their chains", answer: ServedList{}, handle: a.contexts},
		{method: "POST", path: "/v1/verify/start", tag: "verify", summary: "Send a one-time code", body: VerifyStart{}, answer: VerifyStarted{}, handle: a.startVerify},
		{method: "POST", path: "/v1/verify/check", tag: "verify", summary: "Check a one-time code", body: VerifyCheck{}, answer: VerifyChecked{}, handle: a.checkVerify},
		{method: "POST", path: "/v1/sends/{id}/cancel", tag: tagChange, summary: "Take back a send that has not left", answer: Done{}, handle: a.cancel},
		{method: "GET", path: "/v1/consent", tag: tagConsent, summary: "Where the numbers stand", params: append([]param{
			{name: "opted_out", about: "those who said STOP", kind: "boolean"}, {name: "review", about: "those whose words somebody has to read", kind: "boolean"},
		}, linesParams...), answer: Standings{}, handle: a.consents},
		{method: "GET", path: "/v1/consent/{number}", tag: tagConsent, summary: "Where a number stands, and why", params: linesParams, answer: ConsentOf{}, handle: a.consentOf},
		{method: "GET", path: "/v1/consent/reviews", tag: tagConsent, summary: "What somebody has to read", params: linesParams, answer: Reviews{}, handle: a.reviews},
		{method: "GET", path: "/v1/consent/verify", tag: tagConsent, summary: "Whether the ledger is as it was written", answer: LedgerWhole{}, handle: a.verifyConsent},
		{method: "POST", path: "/v1/consent", tag: tagConsent, summary: "Write changes of consent", params: []param{
			{name: "dry_run", about: "say what would change, and write nothing", kind: "boolean"},
		}, body: Change{}, or: []Change{}, answer: ChangesDone{}, handle: a.setConsent},
		{method: "POST", path: "/v1/consent/forget", tag: tagConsent, summary: "Remove every text to and from a number", body: Forget{}, answer: Forgot{}, handle: a.forget},
		{method: "POST", path: "/v1/backup", tag: tagChange, summary: "Copy the journal to a new file", body: Backup{}, answer: Progress{}, media: ndjson, handle: a.backup},
	}
}
