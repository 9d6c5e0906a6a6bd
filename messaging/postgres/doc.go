// Package postgres keeps the journal in a PostgreSQL database that several instances share.
//
// A commit reads what its operations concern with a few statements in one round trip, under
// locks on the conversations and sends that it will change, decides in memory exactly as any
// other store does, and writes the rows that changed with one statement for each kind of
// row. So a batch of any size costs three round trips.
package postgres
