package messaging

import (
	"context"
	"errors"
	"fmt"
)

// ErrLedger says that the ledger of consent is not as it was written.
var ErrLedger = errors.New("messaging: the ledger of consent was altered")

// ledgerPage is how many entries are read at a time.
const ledgerPage = 1000

// ledgerMend is what to do about an altered ledger.
const ledgerMend = "stop the daemon and keep the journal as it is, for it is evidence; then put the newest backup in its place whose ledger is whole"

// VerifyLedger reads the whole ledger and checks that its lines are numbered 1, 2, 3 ..., that
// each holds the hash of the one before it and its own, and that no number stands by a line
// that is not there. It returns how many lines it found right. An error that is [ErrLedger]
// names the first line that is wrong and what to do; any other says that the ledger cannot be
// read.
//
// It calls progress, which may be nil, with the number of lines checked after every 1,000. It
// may run beside commits, and then checks what they add as well. Of a ledger that was cut off
// together with all that stands by the lost lines nothing is left to tell; and the memory
// store's, of which only the newest lines are kept, is whole only until it forgets some.
func VerifyLedger(ctx context.Context, l ConsentLedger, progress func(entries int64)) (entries int64, err error) {
	if progress == nil {
		progress = func(int64) {}
	}
	var last ConsentEntry
	for {
		page, err := l.Entries(ctx, LedgerQuery{After: last.Seq, Limit: ledgerPage})
		if err != nil {
			return last.Seq, fmt.Errorf("messaging: read the ledger of consent after line %d: %w", last.Seq, err)
		}
		for i := range page {
			if err := follows(&page[i], &last); err != nil {
				return last.Seq, err
			}
			last = page[i]
		}
		if len(page) > 0 {
			progress(last.Seq)
			continue
		}
		more, err := beyond(ctx, l, last.Seq)
		if !more || err != nil {
			return last.Seq, err
		}
	}
}

// follows checks a line that comes after another, or after none if that is zero.
func follows(e, before *ConsentEntry) error {
	switch {
	case e.Seq > before.Seq+1 && before.Seq == 0:
		return fmt.Errorf("%w: it begins with line %d, so the lines before it were removed; %s", ErrLedger, e.Seq, ledgerMend)
	case e.Seq > before.Seq+1:
		return fmt.Errorf("%w: after line %d comes line %d, so what was between them was removed; %s", ErrLedger, before.Seq, e.Seq, ledgerMend)
	case e.Seq != before.Seq+1:
		return fmt.Errorf("%w: after line %d comes line %d, so the order was changed; %s", ErrLedger, before.Seq, e.Seq, ledgerMend)
	case e.Hash != e.Sum():
		return fmt.Errorf("%w: line %d does not say what was written (its hash is of something else); %s", ErrLedger, e.Seq, ledgerMend)
	case e.Prev != before.Hash && e.Seq == 1:
		return fmt.Errorf("%w: line 1 was not the first one when it was written, so those before it were removed; %s", ErrLedger, ledgerMend)
	case e.Prev != before.Hash:
		return fmt.Errorf("%w: line %d was written after another line than line %d as it is now, so one of the two was exchanged; %s",
			ErrLedger, e.Seq, before.Seq, ledgerMend)
	}
	return nil
}

// beyond reports that there are lines after the last one found, which came meanwhile. It is
// an error if a number stands by a line there and no such line is found.
func beyond(ctx context.Context, l ConsentLedger, last int64) (more bool, err error) {
	states, err := l.Consents(ctx, last, 1)
	if err != nil {
		return false, fmt.Errorf("messaging: read where the numbers stand after line %d: %w", last, err)
	}
	if len(states) == 0 {
		return false, nil
	}
	page, err := l.Entries(ctx, LedgerQuery{After: last, Limit: 1})
	if err != nil {
		return false, fmt.Errorf("messaging: read the ledger of consent after line %d: %w", last, err)
	}
	if len(page) == 0 {
		return false, fmt.Errorf("%w: it ends with line %d, and a number stands by line %d, so its end was removed; %s", ErrLedger, last, states[0].Seq, ledgerMend)
	}
	return true, nil
}
