// Package consent knows the words by which people stop, start and ask about text messages.
//
// It is data with a version and a date, and pure functions over it: no I/O, no clock, no
// state. What a word does to a number is decided by the caller, in the transaction that
// journals the message.
package consent
