package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

const (
	searchLimit = 50
	searchMost  = 1000
)

var (
	errCursor  = errors.New("a search's Before or After is not the cursor of an answer; begin without one")
	errBoth    = errors.New("a search goes Before a cursor or After one, not both")
	errUnnamed = errors.New("a search names a fate that there is not")
)

// Search implements messaging.Archive. Numbers and texts are in no index: the rows are
// looked through from the newest on, or, where only unfinished or dead ones are wanted,
// those alone.
func (s *Store) Search(ctx context.Context, q messaging.Search) (*messaging.Found, error) {
	sc, err := s.newScan(q)
	if err != nil {
		return nil, fmt.Errorf("search the journal: %w", err)
	}
	for !sc.done {
		if err := sc.step(ctx, s); err != nil {
			return nil, s.blame(ctx, "search the journal", err)
		}
	}
	return sc.found, nil
}

// scan is a search under way.
type scan struct {
	q        messaging.Search
	limit    int
	stride   int // how many rows a step looks at
	deadline int64
	kind     string // what a cursor begins with
	table    string
	parts    []string // where the wanted rows are, one after the other; none: in the whole table
	where    string   // what they are like
	args     []any
	at       int64 // the last row that was looked at
	forward  bool
	found    *messaging.Found
	done     bool
}

func (s *Store) newScan(q messaging.Search) (*scan, error) {
	sc := &scan{q: q, limit: min(q.Limit, searchMost), stride: s.bounds.search, deadline: s.deadline(), kind: "e", table: "events", at: 1<<63 - 1, found: &messaging.Found{}}
	if sc.limit <= 0 {
		sc.limit = searchLimit
	}
	if q.Sends {
		sc.kind, sc.table = "s", "sends"
	}
	cursor := q.Before
	if q.After != "" {
		if q.Before != "" {
			return nil, errBoth
		}
		cursor, sc.forward, sc.at = q.After, true, 0
	}
	if cursor != "" {
		n, ok := strings.CutPrefix(cursor, sc.kind)
		at, err := strconv.ParseInt(n, 10, 64)
		if !ok || err != nil {
			return nil, errCursor
		}
		sc.at = at
	}
	sc.restrict()
	if q.Sends {
		return sc, sc.restrictStatuses()
	}
	sc.and(`kind = ?`, int64(messaging.KindMessage))
	return sc, sc.restrictFates()
}

func (sc *scan) and(condition string, args ...any) {
	sc.where += ` AND ` + condition
	sc.args = append(sc.args, args...)
}

// restrict says what the rows are like that both tables have.
func (sc *scan) restrict() {
	q := &sc.q
	if q.Number != "" {
		sc.and(`(from_number = ? OR to_number = ?)`, string(q.Number), string(q.Number))
	}
	if q.Context != "" {
		sc.and(`context = ?`, q.Context)
	}
	when := map[bool]string{false: "received_at", true: "created_at"}[q.Sends]
	if !q.Since.IsZero() {
		sc.and(when+` >= ?`, ceil(q.Since))
	}
	if !q.Until.IsZero() {
		sc.and(when+` < ?`, ceil(q.Until))
	}
	if q.Text != "" {
		sc.and(`instr(lower(body), lower(?)) > 0`, q.Text) // lower knows ASCII only
		if q.Sends {
			sc.and(`secret IS NULL`)
		}
	}
}

// ceil gives the first whole millisecond that is not before a time.
func ceil(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

func (sc *scan) restrictFates() error {
	if len(sc.q.Fates) == 0 {
		return nil
	}
	indexes := map[int64]string{
		fateUnfinished: `events INDEXED BY events_unfinished WHERE fate = 0`,
		fateDead:       `events INDEXED BY events_dead WHERE fate = 2`,
	}
	var codes, parts []string
	whole := false
	for _, f := range sc.q.Fates {
		code, ok := fates[f]
		if !ok {
			return errUnnamed
		}
		codes = append(codes, strconv.FormatInt(code, 10))
		if part, ok := indexes[code]; ok {
			parts = append(parts, part)
		} else {
			whole = true
		}
	}
	sc.and(`fate IN (` + strings.Join(codes, ", ") + `)`)
	if !whole {
		sc.parts = parts
	}
	return nil
}

// queuedParts are the queued sends, which their index has in the order of priorities.
var queuedParts = []string{
	`sends INDEXED BY sends_queued WHERE status = 1 AND priority IS NULL`,
	`sends INDEXED BY sends_queued WHERE status = 1 AND priority = 1`,
	`sends INDEXED BY sends_queued WHERE status = 1 AND priority = 2`,
	`sends INDEXED BY sends_queued WHERE status = 1 AND priority = 3`,
	`sends INDEXED BY sends_queued WHERE status = 1 AND priority = 4`,
	`sends INDEXED BY sends_queued WHERE status = 1 AND priority > 4`,
}

func (sc *scan) restrictStatuses() error {
	if len(sc.q.Statuses) == 0 {
		return nil
	}
	var codes, parts []string
	whole, open := false, false
	for _, st := range sc.q.Statuses {
		code, err := encode(statuses, st)
		if err != nil {
			return err
		}
		codes = append(codes, strconv.FormatInt(code, 10))
		switch st {
		case messaging.StatusQueued:
			parts = append(parts, queuedParts...)
		case messaging.StatusSending, messaging.StatusInDoubt:
			if !open {
				open, parts = true, append(parts, `sends INDEXED BY sends_open WHERE status IN (2, 3)`)
			}
		default:
			whole = true
		}
	}
	sc.and(statusNow+` IN (`+strings.Join(codes, ", ")+`)`, sc.deadline)
	if !whole {
		sc.parts = parts
	}
	return nil
}

// direction is how the rows are ordered.
func (sc *scan) direction() string {
	if sc.forward {
		return ``
	}
	return ` DESC`
}

// next gives the query for the next rows to look at.
func (sc *scan) next() (query string, args []any) {
	parts, beyond := sc.parts, `<`
	if len(parts) == 0 {
		parts = []string{sc.table + ` WHERE true`}
	}
	if sc.forward {
		beyond = `>`
	}
	order := ` AND seq ` + beyond + ` ? ORDER BY seq` + sc.direction() + ` LIMIT ` + strconv.Itoa(sc.stride)
	var all []string
	for _, p := range parts {
		all = append(all, `SELECT * FROM (SELECT seq FROM `+p+order+`)`)
		args = append(args, sc.at)
	}
	if len(parts) == 1 {
		return all[0], args
	}
	return `SELECT seq FROM (` + strings.Join(all, ` UNION ALL `) + `) ORDER BY seq` + sc.direction() + ` LIMIT ` + strconv.Itoa(sc.stride), args
}

// step looks through some rows.
func (sc *scan) step(ctx context.Context, s *Store) error {
	tx, end, err := s.moment(ctx)
	if err != nil {
		return err
	}
	defer end()
	next, args := sc.next()
	var low, high, count int64
	if err := each(ctx, tx, 3, func(row []driver.Value) error {
		low, high, count = toInt(row[0]), toInt(row[1]), toInt(row[2])
		return nil
	}, `SELECT min(seq), max(seq), count(*) FROM (`+next+`)`, args...); err != nil {
		return err
	}
	if count == 0 {
		sc.done = true
		return nil
	}
	if err := sc.read(ctx, tx, next, args, low, high); err != nil {
		return err
	}
	if sc.at = low; sc.forward {
		sc.at = high
	}
	if sc.done = sc.done || count < int64(sc.stride); !sc.done {
		sc.done, err = sc.tooOld(ctx, tx)
	}
	return err
}

// read takes what is wanted among the rows of a step, which next gives or which lie in a
// range. Once there is one more than wanted the scan is done.
func (sc *scan) read(ctx context.Context, tx *sql.Tx, next string, args []any, low, high int64) error {
	among, order := `seq IN (`+next+`)`, `seq`+sc.direction()
	if len(sc.parts) == 0 {
		among, args = `seq >= ? AND seq <= ?`, []any{low, high}
	}
	wanted := `seq IN (SELECT seq FROM ` + sc.table + ` WHERE ` + among + sc.where + ` ORDER BY ` + order +
		` LIMIT ` + strconv.Itoa(sc.limit+1-len(sc.found.Inbounds)-len(sc.found.Sends)) + `) ORDER BY `
	args = append(args, sc.args...)
	if !sc.q.Sends {
		found, err := readEvents(ctx, tx, `WHERE e.`+wanted+`e.`+order, args...)
		for _, f := range found {
			if sc.take(f.Event.Seq) {
				sc.found.Inbounds = append(sc.found.Inbounds, f.EventRecord)
			}
		}
		return err
	}
	found, err := readSends(ctx, tx, sc.deadline, `WHERE `+wanted+order, args...)
	for _, f := range found {
		if sc.take(f.seq) {
			sc.found.Sends = append(sc.found.Sends, f.SendRecord)
		}
	}
	return err
}

// take reports whether a row belongs to the page. The first that does not ends the scan.
func (sc *scan) take(seq int64) bool {
	if len(sc.found.Inbounds)+len(sc.found.Sends) == sc.limit {
		sc.found.More, sc.done = true, true
		return false
	}
	sc.found.Cursor = sc.kind + strconv.FormatInt(seq, 10)
	return true
}

// tooOld reports that nothing behind the last row can be young enough. An event is received
// before it is journaled, and that happens in the order of the rows; a send is made shortly
// before it is committed.
func (sc *scan) tooOld(ctx context.Context, tx *sql.Tx) (bool, error) {
	if sc.forward || sc.q.Since.IsZero() {
		return false, nil
	}
	column := map[bool]string{false: `journaled_at`, true: `created_at`}[sc.q.Sends]
	old := false
	err := each(ctx, tx, 1, func(row []driver.Value) error {
		at, known := row[0].(int64)
		old = known && at < sc.q.Since.Add(-clockSlack).UnixMilli()
		return nil
	}, `SELECT `+column+` FROM `+sc.table+` WHERE seq = ?`, sc.at)
	return old, err
}
