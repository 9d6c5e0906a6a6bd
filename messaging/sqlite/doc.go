// Package sqlite is a [messaging.Store] in one SQLite file.
//
// It is for one daemon on one machine. A commit returns when the disk has it: WAL mode with
// synchronous=FULL, one connection that writes, a few that read. The file is locked against
// a second daemon and is not opened on a network file system, where SQLite's locks cannot be
// trusted.
//
// What a message costs does not grow with the journal. Finished rows are in no index that
// is read at work, and whether an id is new is answered by a filter in memory of fixed size
// for all but a few of them.
package sqlite
