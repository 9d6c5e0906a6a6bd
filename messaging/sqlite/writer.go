package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	sq "modernc.org/sqlite"
)

// writer is the one connection that writes. It is used without database/sql, whose
// bookkeeping costs as much as a small statement. All its statements are prepared once.
type writer struct {
	conn connection
	all  []*stmt

	begin, commit, rollback *stmt

	findEvent, insertEvent, settleEvent, retryEvent, unearly, eventAt, revive, drop *stmt

	findKey, findReply, sendAt, insertSend, findSend, retire, claim, end, requeue, delay *stmt

	findAttempt, findRetired, findMessage, findRetiredMessage             *stmt
	accept, advance, acceptRetired, settleSend, conclude, concludeRetired *stmt

	findIDs, insertIDs, insertTail *stmt

	ledgerEnd, insertEntry, consentAt, findConsent, insertConsent, moveConsent *stmt

	findValue, setValue, deleteValue *stmt

	findBatch, saveBatch *stmt
}

// connection is what is used of the driver's.
type connection interface {
	driver.Conn
	driver.ConnPrepareContext
}

// preparer is a driver's connection as one that prepares statements.
func preparer(conn driver.Conn) (connection, error) {
	c, ok := conn.(connection)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connection cannot prepare statements"), conn.Close())
	}
	return c, nil
}

// stmt is a prepared statement with memory for its arguments.
type stmt struct {
	stmt interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
	args []driver.NamedValue
}

func openWriter(dsn string) (*writer, error) {
	c, err := sq.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	w := &writer{}
	if w.conn, err = preparer(conn); err != nil {
		return nil, err
	}
	for _, p := range w.statements() {
		if *p.to, err = w.prepare(p.sql); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare %q: %w", p.sql, err), w.close())
		}
	}
	return w, nil
}

func (w *writer) prepare(query string) (*stmt, error) {
	ps, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s := &stmt{}
	var ok bool
	if s.stmt, ok = ps.(interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}); !ok {
		_ = ps.Close()
		return nil, errors.New("the driver's statement takes no context")
	}
	w.all = append(w.all, s)
	return s, nil
}

func (w *writer) close() error {
	var err error
	for _, s := range w.all {
		err = errors.Join(err, s.stmt.Close())
	}
	return errors.Join(err, w.conn.Close())
}

// bind puts the arguments in their places. A context without an end goes with them: a
// statement that is interrupted would leave a transaction half done.
func (s *stmt) bind(args []driver.Value) (context.Context, []driver.NamedValue) {
	if len(s.args) != len(args) {
		s.args = make([]driver.NamedValue, len(args))
		for i := range s.args {
			s.args[i].Ordinal = i + 1
		}
	}
	for i, a := range args {
		s.args[i].Value = a
	}
	return context.Background(), s.args
}

func (s *stmt) exec(args ...driver.Value) error {
	_, err := s.stmt.ExecContext(s.bind(args))
	return err
}

// changes is exec, and tells how many rows it changed.
func (s *stmt) changes(args ...driver.Value) (int64, error) {
	r, err := s.stmt.ExecContext(s.bind(args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row reads the first row of a query into dest; false if there is none.
func (s *stmt) row(dest []driver.Value, args ...driver.Value) (found bool, err error) {
	rows, err := s.stmt.QueryContext(s.bind(args))
	if err != nil {
		return false, err
	}
	if err = rows.Next(dest); errors.Is(err, io.EOF) {
		return false, rows.Close()
	}
	found = err == nil
	return found, errors.Join(err, rows.Close())
}

// query calls f for every row; dest is overwritten by the next.
func (s *stmt) query(dest []driver.Value, f func() error, args ...driver.Value) error {
	rows, err := s.stmt.QueryContext(s.bind(args))
	if err != nil {
		return err
	}
	for {
		if err = rows.Next(dest); err != nil {
			break
		}
		if err = f(); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}
