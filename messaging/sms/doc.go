// Package sms knows how a text travels as text message: in which encoding, in how many
// segments, and between which numbers. It is pure: no I/O, no state.
//
// A text that consists of the GSM 03.38 alphabet takes 160 characters in one segment and
// 153 in each of several. A single character beyond that alphabet, such as a curly quote,
// makes the whole text UCS-2: 70 and 67. [Analyse] tells which characters those are,
// [Smart] replaces those that have a plain equivalent, and [Segments] counts.
package sms
