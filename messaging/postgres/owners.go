package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// takenOver reports whether an event that the instance had in memory is another's now. What
// nobody has in memory goes to whoever settles it first.
func (w *working) takenOver(e *event) bool {
	return e.holder != nil && *e.holder == w.batch.Owner && e.owner != nil && *e.owner != w.batch.Owner
}

// lockOwners keeps the other owners of the batch's conversations from leaving, and from
// being declared dead, until those who take over can see what is left for them. Else it
// would be nobody's.
func (w *working) lockOwners(ctx context.Context, tx pgx.Tx) error {
	others := map[uuid.UUID]bool{}
	for _, c := range w.conversations {
		if c.owner != w.batch.Owner {
			others[c.owner] = true
		}
	}
	if len(others) == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, `SELECT 1 FROM instances WHERE owner = ANY($1) ORDER BY owner FOR KEY SHARE`, slices.Collect(maps.Keys(others)))
	if err == nil && int(tag.RowsAffected()) < len(others) {
		return errRaced // one is gone: its conversations are the caller's to take
	}
	return err
}
