// Package pace says when a text message may leave so that nobody is sent too much: the
// platform and the carriers by rate and by day, a person by number of messages, and the
// operator's own purse by a budget.
//
//	p, err := pace.New(pace.Limits{}, pace.Alone{})
//	v := p.Reserve(now, pace.Ask{From: from, To: to, Class: pace.TenDLC, Segments: 2, Priority: 4})
//	if !v.OK {
//		// ask again at v.At, with that time as Ask.Promised
//	}
//
// What is counted is segments. A send of n segments occupies n/rate seconds, and in no
// second do more segments leave than the rate says, except for a single send that alone is
// longer. Sizes that do not divide the rate are therefore sent a little slower than it.
//
// Answers come first: what is urgent (consent, replies, codes) may run up to a second ahead
// of the average, is never kept waiting by bulk but for the one bulk message that has just
// left, and while answers are being sent bulk is held to four fifths of the rate.
//
// There is no I/O and no clock in this package. Memory is bounded. A Pacer may be used by
// many goroutines; it decides for one process, and [Shared] is how several divide the
// limits among them.
package pace
