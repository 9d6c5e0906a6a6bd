package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/signpost-sms/signpost/messaging"
)

// results are what a batch was told, for the case that it comes again.
type results struct {
	Len      int      `json:"n"`
	Appends  []result `json:"a,omitempty"`
	Settles  []bool   `json:"s,omitempty"` // lost
	Inserted []bool   `json:"i,omitempty"` // of every send, in order
	Unheld   []bool   `json:"u,omitempty"` // the same
	Claims   []bool   `json:"c,omitempty"` // granted
	Reports  []result `json:"r,omitempty"`
	Revives  []result `json:"v,omitempty"`
	// Of the sends, in order, and then of the claims.
	Overruled []overruled `json:"o,omitempty"`
	// The line of each change of consent; 0 if it was not applied.
	Lines []int64 `json:"l,omitempty"`
	// Of each change of a value, and the Enqueues that met a conflict.
	Values    []changedValue `json:"w,omitempty"`
	Conflicts []int          `json:"x,omitempty"`
}

// overruled is what the ledger said of a send, and at which place of the batch.
type overruled struct {
	At     int    `json:"i"`
	Status int16  `json:"u"`
	Reason string `json:"r,omitempty"`
	Until  *int64 `json:"t,omitempty"`
}

// overrulings calls f for each send of a batch that may be overruled, in order.
func overrulings(b *messaging.Batch, f func(overruled *bool, attempt **messaging.Attempt, status *messaging.Status, reason *string, notBefore *time.Time)) {
	eachSend(b, func(out *messaging.Outgoing) {
		f(&out.Overruled, &out.Attempt, &out.Status, &out.Reason, &out.NotBefore)
	})
	for _, c := range b.Claims {
		f(&c.Overruled, &c.Attempt, &c.Status, &c.Reason, &c.NotBefore)
	}
}

type result struct {
	Fresh  bool   `json:"f,omitempty"` // or done
	Unheld bool   `json:"u,omitempty"`
	Seq    int64  `json:"q,omitempty"`
	Merge  *merge `json:"m,omitempty"`
}

type merge struct {
	Send     uuid.UUID `json:"s"`
	Attempt  uuid.UUID `json:"t"`
	Reply    string    `json:"r,omitempty"`
	Callback bool      `json:"k,omitempty"`
	Outcome  int16     `json:"o"`
	Status   int16     `json:"u"`
	Advanced bool      `json:"a,omitempty"`
	Conflict bool      `json:"c,omitempty"`
	Again    bool      `json:"g,omitempty"`
}

func packMerge(m *messaging.Merge) *merge {
	if m == nil {
		return nil
	}
	return &merge{
		Send: m.Ref.ID, Attempt: m.Ref.Attempt, Reply: m.Ref.InReplyTo, Callback: m.Ref.Callback, Outcome: encode(outcomes, m.Outcome), Status: encode(statuses, m.Status),
		Advanced: m.Advanced, Conflict: m.Conflict, Again: m.Again != nil,
	}
}

func (m *merge) unpack() *messaging.Merge {
	if m == nil {
		return nil
	}
	return &messaging.Merge{
		Ref:     messaging.SendRef{ID: m.Send, Attempt: m.Attempt, InReplyTo: m.Reply, Callback: m.Callback},
		Outcome: decode(outcomes, m.Outcome), Status: decode(statuses, m.Status), Advanced: m.Advanced, Conflict: m.Conflict,
	}
}

// eachSend calls f for every send that a batch would insert, in order.
func eachSend(b *messaging.Batch, f func(*messaging.Outgoing)) {
	outs := func(o *messaging.Outcome) {
		if o != nil {
			for _, out := range o.Sends {
				f(out)
			}
		}
	}
	for _, a := range b.Appends {
		outs(a.Outcome)
	}
	for _, x := range b.Settles {
		outs(x.Outcome)
	}
	for _, q := range b.Enqueues {
		f(q.Outgoing)
	}
}

func pack(b *messaging.Batch) ([]byte, error) {
	r := results{Len: b.Len()}
	for _, a := range b.Appends {
		r.Appends = append(r.Appends, result{Fresh: a.Fresh, Unheld: a.Unheld, Merge: packMerge(a.Merge)})
	}
	for _, x := range b.Settles {
		r.Settles = append(r.Settles, x.Lost)
	}
	eachSend(b, func(out *messaging.Outgoing) {
		r.Inserted, r.Unheld = append(r.Inserted, out.Inserted), append(r.Unheld, out.Unheld)
	})
	for _, c := range b.Claims {
		r.Claims = append(r.Claims, c.Granted)
	}
	for _, rep := range b.Reports {
		r.Reports = append(r.Reports, result{Merge: packMerge(rep.Merge)})
	}
	for _, v := range b.Revives {
		r.Revives = append(r.Revives, result{Fresh: v.Done, Unheld: v.Unheld})
	}
	n := 0
	overrulings(b, func(is *bool, _ **messaging.Attempt, status *messaging.Status, reason *string, notBefore *time.Time) {
		if *is {
			r.Overruled = append(r.Overruled, overruled{n, encode(statuses, *status), *reason, millis(*notBefore)})
		}
		n++
	})
	b.EachConsent(func(c *messaging.ConsentChange) { r.Lines = append(r.Lines, c.State.Seq) })
	r.Values = packValues(b)
	for i, q := range b.Enqueues {
		if q.Conflict {
			r.Conflicts = append(r.Conflicts, i)
		}
	}
	return json.Marshal(r)
}

// replay tells a batch that comes again what it was told.
func (s *Store) replay(ctx context.Context, tx pgx.Tx, b *messaging.Batch, packed []byte) error {
	var r results
	if err := json.Unmarshal(packed, &r); err != nil {
		return fmt.Errorf("the results of a batch cannot be read: %w", err)
	}
	sends, changes := 0, 0
	eachSend(b, func(*messaging.Outgoing) { sends++ })
	b.EachConsent(func(*messaging.ConsentChange) { changes++ })
	if r.Len != b.Len() || len(r.Appends) != len(b.Appends) || len(r.Settles) != len(b.Settles) || len(r.Inserted) != sends ||
		len(r.Claims) != len(b.Claims) || len(r.Reports) != len(b.Reports) || len(r.Revives) != len(b.Revives) || len(r.Lines) != changes || !unpackValues(b, r.Values) {
		return errReused
	}
	for i, a := range b.Appends {
		a.Fresh, a.Unheld, a.Merge = r.Appends[i].Fresh, r.Appends[i].Unheld, r.Appends[i].Merge.unpack()
		if m := r.Appends[i].Merge; m != nil && m.Again {
			again, err := readSend(ctx, tx, m.Send)
			if err != nil {
				return err
			}
			a.Merge.Again = again.outgoing()
		}
		if a.Fresh {
			if err := tx.QueryRow(ctx, `SELECT seq FROM events WHERE id = $1`, a.Event.ID).Scan(&a.Event.Seq); err != nil {
				return err
			}
		}
	}
	for i, x := range b.Settles {
		x.Lost = r.Settles[i]
	}
	n := 0
	eachSend(b, func(out *messaging.Outgoing) {
		out.Inserted, out.Unheld = r.Inserted[n], r.Unheld[n]
		n++
	})
	for i, q := range b.Enqueues {
		q.Existing, q.Conflict = nil, slices.Contains(r.Conflicts, i)
		if q.Outgoing.Inserted || q.Conflict {
			continue
		}
		found, err := sendsNamed(ctx, tx, q.Outgoing.Key)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			q.Existing = &found[0].Send
		}
	}
	for i, c := range b.Claims {
		c.Granted = r.Claims[i]
	}
	for i, rep := range b.Reports {
		rep.Merge = r.Reports[i].Merge.unpack()
	}
	r.overrule(b)
	if err := replayLines(ctx, tx, b, r.Lines); err != nil {
		return err
	}
	for i, v := range b.Revives {
		v.Done, v.Unheld, v.Event = r.Revives[i].Fresh, r.Revives[i].Unheld, nil
		if !v.Done || v.Drop || v.Unheld {
			continue
		}
		found, err := recordsOf(ctx, tx, `WHERE e.id = $1`, v.EventID)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			v.Event = found[0].Event
		}
	}
	return nil
}

// overrule overrules again what was overruled.
func (r *results) overrule(b *messaging.Batch) {
	left, n := r.Overruled, 0
	overrulings(b, func(is *bool, attempt **messaging.Attempt, status *messaging.Status, reason *string, notBefore *time.Time) {
		if *is = len(left) > 0 && left[0].At == n; *is {
			*attempt, *status, *reason, *notBefore = nil, decode(statuses, left[0].Status), left[0].Reason, timeOf(left[0].Until)
			left = left[1:]
		}
		n++
	})
}

// replayLines tells changes of consent what their lines in the ledger say.
func replayLines(ctx context.Context, tx pgx.Tx, b *messaging.Batch, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	found, err := consentLedger{tx}.entries(ctx, `WHERE seq = ANY($1)`, seqs)
	if err != nil {
		return err
	}
	lines := map[int64]*messaging.ConsentEntry{0: {}}
	for i := range found {
		lines[found[i].Seq] = &found[i]
	}
	b.EachConsent(func(c *messaging.ConsentChange) {
		line := lines[seqs[0]]
		seqs = seqs[1:]
		if line == nil {
			err = errReused
			return
		}
		if c.Changed, c.State = line.Changed, line.State; line.Seq != 0 {
			c.Crossing = line.Crossing
		}
	})
	return err
}

// readSend reads a send with its attempts.
func readSend(ctx context.Context, tx querier, id uuid.UUID) (*send, error) {
	found, err := sendsOf(ctx, tx, `WHERE s.id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, messaging.ErrUnknown
	}
	return found[0], nil
}
