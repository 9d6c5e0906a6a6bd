// Package consent knows the words by which people stop, start and ask about text messages,
// and when a confirmation of that may be sent.
//
// It is data with a version and a date ([Rules]) and pure functions over it ([Classify],
// [Confirm], [Wording]): no I/O, no clock, no state. What a verdict does to a number is
// decided by the caller, in the transaction that journals the message.
//
// The sheet takes the stricter of federal rule, carrier practice and common industry lists.
// It cannot be configured: a word that revokes consent by law does so for every sender. It
// is not legal advice.
package consent
