package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/signpost-sms/signpost/messaging"
)

// persons says in which rows of a table a number is the person's, not ours.
var persons = map[string]string{
	"events": `CASE kind WHEN 1 THEN from_number ELSE to_number END`,
	"sends":  `to_number`,
}

// Forget implements messaging.Archive. The whole journal is looked through on a connection
// that reads, and changed a few rows at a time, between commits. What is removed is also
// overwritten in the file.
func (s *Store) Forget(ctx context.Context, theirs messaging.Number) (changed, unfinished int64, err error) {
	if theirs == "" {
		return 0, 0, nil
	}
	for _, k := range kinds {
		c, u, err := s.forgetIn(ctx, k, theirs)
		changed, unfinished = changed+c, unfinished+u
		if err != nil {
			return changed, unfinished, s.blame(ctx, "forget a number", err)
		}
	}
	err = s.gently(func() error {
		n, err := s.w.count(`DELETE FROM small_values WHERE number = ?`, string(theirs))
		changed += n
		return err
	})
	if err != nil {
		return changed, unfinished, s.blame(ctx, "forget a number", err)
	}
	return changed, unfinished, nil
}

func (s *Store) forgetIn(ctx context.Context, k kind, theirs messaging.Number) (changed, unfinished int64, err error) {
	for at := int64(0); ; {
		found, end, err := s.lookFor(ctx, k, theirs, at)
		if err != nil || end == at {
			return changed, unfinished, err
		}
		for len(found) > 0 {
			some := found[:min(len(found), s.bounds.forget)]
			found = found[len(some):]
			c, u, err := s.strip(ctx, k, some)
			changed, unfinished = changed+c, unfinished+u
			if err != nil {
				return changed, unfinished, err
			}
		}
		at = end
	}
}

// lookFor finds the rows of a person among the next rows, and how far it looked.
func (s *Store) lookFor(ctx context.Context, k kind, theirs messaging.Number, after int64) (found []int64, end int64, err error) {
	tx, done, err := s.moment(ctx)
	if err != nil {
		return nil, after, err
	}
	defer done()
	end = after
	if err := each(ctx, tx, 1, func(row []driver.Value) error {
		end = max(after, toInt(row[0]))
		return nil
	}, `SELECT max(seq) FROM (SELECT seq FROM `+k.table+` WHERE seq > ? ORDER BY seq LIMIT ?)`, after, s.bounds.search); err != nil {
		return nil, after, err
	}
	err = each(ctx, tx, 1, func(row []driver.Value) error {
		found = append(found, toInt(row[0]))
		return nil
	}, `SELECT seq FROM `+k.table+` WHERE seq > ? AND seq <= ? AND `+persons[k.table]+` = ?`, after, end, string(theirs))
	return found, end, err
}

// strip removes the texts of some rows and counts those that are not finished.
func (s *Store) strip(ctx context.Context, k kind, rows []int64) (changed, unfinished int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	err = s.gently(func() error {
		strip, err := s.w.prepare(`UPDATE ` + k.table + ` SET ` + k.strip + ` WHERE seq = ? AND NOT (` + k.live + `) AND (` + k.text + `)`)
		if err != nil {
			return err
		}
		defer s.w.discard(strip)
		live, err := s.w.prepare(`SELECT 1 FROM ` + k.table + ` WHERE seq = ? AND ` + k.live)
		if err != nil {
			return err
		}
		defer s.w.discard(live)
		for _, seq := range rows {
			n, err := strip.changes(seq)
			if err != nil {
				return err
			}
			changed += n
			var row [1]driver.Value
			lives, err := live.row(row[:], seq)
			if err != nil {
				return err
			}
			if lives {
				unfinished++
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	return changed, unfinished, nil
}
