package messagingtest

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// What FaultyStore hands on as it is. On a store without it the call is an error.

func (f *FaultyStore) archive() (messaging.Archive, error) {
	if a, ok := f.store.(messaging.Archive); ok {
		return a, nil
	}
	return nil, fmt.Errorf("messagingtest: %T is no messaging.Archive", f.store)
}

func (f *FaultyStore) sharer() (messaging.Sharer, error) {
	if s, ok := f.store.(messaging.Sharer); ok {
		return s, nil
	}
	return nil, fmt.Errorf("messagingtest: %T is no messaging.Sharer", f.store)
}

// Life implements messaging.Archive.
func (f *FaultyStore) Life(ctx context.Context, id string) (*messaging.Life, error) {
	a, err := f.archive()
	if err != nil {
		return nil, err
	}
	return a.Life(ctx, id)
}

// Search implements messaging.Archive.
func (f *FaultyStore) Search(ctx context.Context, s messaging.Search) (*messaging.Found, error) {
	a, err := f.archive()
	if err != nil {
		return nil, err
	}
	return a.Search(ctx, s)
}

// Forget implements messaging.Archive.
func (f *FaultyStore) Forget(ctx context.Context, theirs messaging.Number) (changed, unfinished int64, err error) {
	a, err := f.archive()
	if err != nil {
		return 0, 0, err
	}
	return a.Forget(ctx, theirs)
}

// Renew implements messaging.Sharer.
func (f *FaultyStore) Renew(ctx context.Context, owner uuid.UUID) (messaging.Lease, error) {
	s, err := f.sharer()
	if err != nil {
		return messaging.Lease{}, err
	}
	return s.Renew(ctx, owner)
}

// TakeOver implements messaging.Sharer.
func (f *FaultyStore) TakeOver(ctx context.Context, owner uuid.UUID) (int, error) {
	s, err := f.sharer()
	if err != nil {
		return 0, err
	}
	return s.TakeOver(ctx, owner)
}

// Leave implements messaging.Sharer.
func (f *FaultyStore) Leave(ctx context.Context, owner uuid.UUID) error {
	s, err := f.sharer()
	if err != nil {
		return err
	}
	return s.Leave(ctx, owner)
}

// Watch implements messaging.Sharer.
func (f *FaultyStore) Watch(ctx context.Context, owner uuid.UUID, told func()) error {
	s, err := f.sharer()
	if err != nil {
		return err
	}
	return s.Watch(ctx, owner, told)
}

// ledger is the wrapped store, if it has a ledger of consent.
func (f *FaultyStore) ledger() (messaging.ConsentLedger, error) {
	if l, ok := f.store.(messaging.ConsentLedger); ok {
		return l, nil
	}
	return nil, fmt.Errorf("messagingtest: %T is no messaging.ConsentLedger", f.store)
}

// Consents implements messaging.ConsentLedger.
func (f *FaultyStore) Consents(ctx context.Context, after int64, limit int) ([]messaging.ConsentState, error) {
	l, err := f.ledger()
	if err == nil {
		err = f.planned(false)
	}
	if err != nil {
		return nil, err
	}
	return l.Consents(ctx, after, limit)
}

// ConsentOf implements messaging.ConsentLedger.
func (f *FaultyStore) ConsentOf(ctx context.Context, numbers ...messaging.Number) ([]messaging.ConsentState, error) {
	l, err := f.ledger()
	if err != nil {
		return nil, err
	}
	return l.ConsentOf(ctx, numbers...)
}

// Entries implements messaging.ConsentLedger.
func (f *FaultyStore) Entries(ctx context.Context, q messaging.LedgerQuery) ([]messaging.ConsentEntry, error) {
	l, err := f.ledger()
	if err != nil {
		return nil, err
	}
	return l.Entries(ctx, q)
}

// Values implements messaging.ValueReader.
func (f *FaultyStore) Values(ctx context.Context, q messaging.ValueQuery) ([]messaging.Value, error) {
	r, ok := f.store.(messaging.ValueReader)
	if !ok {
		return nil, fmt.Errorf("messagingtest: %T is no messaging.ValueReader", f.store)
	}
	if err := f.planned(false); err != nil {
		return nil, err
	}
	return r.Values(ctx, q)
}
