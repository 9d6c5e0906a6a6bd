package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

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
