// Package postgres keeps the journal in a PostgreSQL database that several instances share.
//
// A commit reads what its operations concern with a few statements in one round trip, under
// locks on the conversations and sends that it will change, decides in memory exactly as any
// other store does, and writes the rows that changed with one statement for each kind of
// row. So what a batch costs in round trips does not depend on its size: two between its BEGIN
// and COMMIT, and one more for each thing that is seldom in it, such as states, new people or
// conversations of another instance.
package postgres
