package postgres

import (
	"context"
	"io"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// The statements of TakeOver, for a look at their plans.
const (
	TakeOverStatement       = takeOver
	ForgetDepartedStatement = forgetDeparted
)

// The statements of a commit that concern consent.
const (
	ReadStandsStatement   = readStands
	ReadCrossingStatement = readCrossing
	LockConsentsStatement = lockConsents
)

// Build makes the tables as a former version left them.
func Build(ctx context.Context, name string, version int64) error {
	conf, err := pgx.ParseConfig(name)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*conf)
	defer db.Close()
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}

// Examine is Verify of what a transaction sees.
func Examine(ctx context.Context, tx pgx.Tx, w io.Writer) error {
	return examine(ctx, tx, "the test", w)
}

// Indexes are those that Verify looks for.
var Indexes = indexes

// CommittingParams settle how the statements of a commit are planned.
var CommittingParams = committingParams

// WaitForNoDisk makes stores that are opened from now on answer before a commit is on the disk:
// on a busy one the tests would mostly wait.
func WaitForNoDisk() { synchronousCommit = "off" }

// asShipped is what a store waits for outside of tests.
var asShipped = synchronousCommit
