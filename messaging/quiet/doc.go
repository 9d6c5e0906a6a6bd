// Package quiet answers one question: may a text message that nobody asked for this very
// minute be sent to this person now, and if not, when.
//
// The rules of texting speak of the recipient's local time, and the sender seldom knows
// it. So an [Hours] works with every place the recipient could be in: it takes the stored
// time zone if there is one, else the state or ZIP code, else the area code (or country
// code) of the number, else the fifty states, and allows a message only while the windows
// of all those places are open together. Its one guarantee: nothing is allowed outside the
// window of any place that the number could be in.
//
//	hours, err := quiet.New(quiet.Config{})           // the conservative preset
//	v := hours.Ask(time.Now(), quiet.Marketing, quiet.Recipient{Number: "+12025550143"})
//	if !v.Allowed {
//		at, ok := hours.Defer(v, expires)             // the next opening, spread over 15 minutes
//	}
//
// All data carries a version: the windows, the area codes and the tz database, which is
// embedded, so that a verdict depends neither on the machine's zoneinfo nor on the Go
// release. There is no I/O in this package. An Hours may be used by many goroutines.
//
// Nothing here is legal advice.
package quiet
