// Package memory is a [messaging.Store] that keeps everything in the process's memory.
//
// It is for development, for tests, and for services that would rather lose what was in
// flight than wait for a disk. Everything is bounded: unfinished events and sends by
// bytes, dead letters and the history of what is finished by a share of them, and ids and
// attempts by count; the oldest is forgotten first. Nothing survives the process.
package memory
