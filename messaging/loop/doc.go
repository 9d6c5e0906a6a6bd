// Package loop keeps two machines from texting each other for ever, and the same text from
// reaching a person twice.
//
// A [Breaker] is told of every inbound of a conversation and asked about every reply. A
// person may text ten times a minute, and the same word several times, and is answered each
// time. A machine gives itself away: by answering in less than two seconds five times
// running, by sending our own text back, by sending the same text again and again, by being
// one of our own numbers. Then replies end for a while that doubles each time. Thirty
// replies in a minute are the most that any conversation gets.
//
// [Duplicates] is for what is no reply: the same text to the same number within a window
// is held to be a mistake, such as a job that was started twice.
//
// There is no I/O and no clock. Memory is bounded. Both may be used by many goroutines.
package loop
