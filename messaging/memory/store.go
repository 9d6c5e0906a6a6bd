package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
)

// Config bounds a Store. The zero value of every field means its documented default.
type Config struct {
	// MaxBytes bounds the unfinished events and the sends that have not left for good.
	// Beyond it Commit takes no new ones and returns messaging.ErrFull. Default 32 MiB.
	MaxBytes int64
	// MaxHistory bounds what is remembered of finished events and sends, so that people's
	// questions are answered and a send whose delivery failed can go out again. Half of it
	// are sends, a quarter events, a quarter dead letters; the oldest is forgotten first. It
	// gives way when MaxBytes are needed for what is unfinished. Default an eighth of MaxBytes.
	MaxHistory int64
	// MaxIDs is how many event ids are remembered, so that a redelivered event is
	// recognised. Default 250,000.
	MaxIDs int
	// MaxKeys is how many idempotency keys are remembered. Default 50,000.
	MaxKeys int
	// MaxValues bounds the small values, in bytes; beyond it the one that expires first is
	// forgotten before its time. Default an eighth of MaxBytes.
	MaxValues int64
	// MaxAttempts is how many attempts are remembered after their answer, so that later
	// delivery states find their send. Default 50,000.
	MaxAttempts int
}

func (c Config) withDefaults() Config {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 32 << 20
	}
	if c.MaxHistory <= 0 {
		c.MaxHistory = c.MaxBytes / 8
	}
	if c.MaxValues <= 0 {
		c.MaxValues = c.MaxBytes / 8
	}
	if c.MaxIDs <= 0 {
		c.MaxIDs = 250_000
	}
	if c.MaxKeys <= 0 {
		c.MaxKeys = 50_000
	}
	if c.MaxAttempts <= 0 {
		c.MaxAttempts = 50_000
	}
	return c
}

// Store implements messaging.Store in memory. Its methods may be called concurrently. It
// keeps the strings and slices that it is given, which must not be changed afterwards. It
// has no clock: time is what its caller says.
type Store struct {
	cfg  Config
	hash hasher

	mu      sync.Mutex
	seq     int64
	sendSeq int64
	bytes   int64 // of unfinished events and sends

	events                map[string]*event // unfinished, by event id
	firstEvent, lastEvent *event            // in arrival order
	sends                 map[uuid.UUID]*send
	firstSend, lastSend   *send               // in commit order
	open                  map[uuid.UUID]*send // by newest attempt, while its outcome is not known
	spare                 []*send
	spareEvents           []*event

	// What is finished and still remembered.
	left   *shelf[*send]
	done   *shelf[*event]
	dead   *shelf[*event]
	buried map[string]*event // the dead letters, by event id

	seen *ring // event ids

	keys    *ring // idempotency keys
	keySend []uuid.UUID

	attempts   *ring // attempts whose outcome is known, by id
	tracks     []track
	messages   *ring // the same, by the platform's message id
	messageRow []uint32

	early      *ring // states that overtook their report, by message id
	earlyState []earlyState

	ledger ledger
	values values

	now  time.Time              // of the last batch
	ids  map[uuid.UUID]struct{} // scratch: ids that the batch brings
	last answers
}

var (
	_ messaging.Store       = (*Store)(nil)
	_ messaging.Archive     = (*Store)(nil)
	_ messaging.ValueReader = (*Store)(nil)
)

// New makes an empty store.
func New(cfg Config) *Store {
	cfg = cfg.withDefaults()
	return &Store{
		cfg:        cfg,
		hash:       newHasher(),
		events:     map[string]*event{},
		sends:      map[uuid.UUID]*send{},
		open:       map[uuid.UUID]*send{},
		left:       newShelf[*send](cfg.MaxHistory / 2),
		done:       newShelf[*event](cfg.MaxHistory / 4),
		dead:       newShelf[*event](cfg.MaxHistory / 4),
		buried:     map[string]*event{},
		seen:       newRing(cfg.MaxIDs),
		keys:       newRing(cfg.MaxKeys),
		keySend:    make([]uuid.UUID, cfg.MaxKeys),
		attempts:   newRing(cfg.MaxAttempts),
		tracks:     make([]track, cfg.MaxAttempts),
		messages:   newRing(cfg.MaxAttempts),
		messageRow: make([]uint32, cfg.MaxAttempts),
		early:      newRing(maxEarly),
		earlyState: make([]earlyState, maxEarly),
		ids:        map[uuid.UUID]struct{}{},
	}
}

// Traits implements messaging.Store.
func (s *Store) Traits() messaging.Traits { return messaging.Traits{Name: "memory"} }

// Close implements messaging.Store. There is nothing to close.
func (s *Store) Close() error { return nil }

// Prune implements messaging.Store. What is remembered of finished events and sends is
// bounded, and values that have expired go with the next commit, so there is never anything
// to prune.
func (s *Store) Prune(context.Context, time.Time) (int64, error) { return 0, nil }

var (
	errTooLarge  = errors.New("memory: larger than the whole store; raise its size")
	errDuplicate = errors.New("memory: a send or attempt with this id exists")
	errShape     = errors.New("memory: a new send is claimed with an attempt, queued, or final, and has an id")
	errReused    = errors.New("memory: a batch id was used again for other operations")
)

// Commit implements messaging.Store. An event or a batch that is larger than MaxBytes, and
// a send whose id is taken, blame the batch's content.
func (s *Store) Commit(ctx context.Context, b *messaging.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit %d operations: %w", b.Len(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.id == b.ID && b.ID != uuid.Nil {
		if !s.last.replay(b) {
			return errReused
		}
		return nil
	}
	if err := s.check(b); err != nil {
		return fmt.Errorf("commit %d operations: %w", b.Len(), err)
	}
	for _, a := range b.Appends {
		s.append(a, b.Now)
	}
	s.ledger.changeAll(b.Consents, b.Now)
	s.values.changeAll(b.Values, b.Now)
	for _, x := range b.Settles {
		s.settle(x, b.Now)
	}
	for _, q := range b.Enqueues {
		s.enqueue(q, b.Now)
	}
	for _, c := range b.Claims {
		s.claim(c)
	}
	if len(b.Reports) > 0 {
		merges := make([]messaging.Merge, len(b.Reports)) // one allocation for all
		for i, r := range b.Reports {
			r.Merge = &merges[i]
			s.report(r, b.Now)
		}
	}
	for _, v := range b.Revives {
		s.revive(v, b.Now)
	}
	s.now = b.Now
	s.trim()
	s.values.trim(b.Now, s.cfg.MaxValues)
	s.last.record(b)
	return nil
}

// check refuses a batch before anything of it is applied; what follows cannot fail.
func (s *Store) check(b *messaging.Batch) error {
	clear(s.ids)
	var adds int64
	for _, a := range b.Appends {
		n := int64(0)
		if a.Outcome == nil || a.Outcome.Fate == messaging.FateRetry {
			n = eventSize(a.Event)
		} else {
			var err error
			if n, err = s.checkSends(a.Outcome.Sends); err != nil {
				if s.known(a.Event.ID) {
					continue // a duplicate inserts nothing
				}
				return err
			}
		}
		if n > s.cfg.MaxBytes {
			return errTooLarge
		}
		if s.bytes+adds+n > s.cfg.MaxBytes && s.known(a.Event.ID) {
			continue // a duplicate takes no room, however full the store is
		}
		adds += n
	}
	for _, x := range b.Settles {
		// What finishes an event makes room in the end, and is never refused for want of it.
		if _, err := s.checkSends(x.Outcome.Sends); err != nil {
			if s.events[x.Event.ID] == nil && s.known(x.Event.ID) {
				continue // settled before: it inserts nothing
			}
			return err
		}
	}
	for _, q := range b.Enqueues {
		n, err := s.checkSend(q.Outgoing)
		if err != nil {
			return err
		}
		if n > s.cfg.MaxBytes {
			return errTooLarge
		}
		adds += n
	}
	for _, c := range b.Claims {
		if c.Attempt != nil {
			if err := s.checkAttempt(c.Attempt.ID); err != nil {
				return err
			}
		}
	}
	switch {
	case adds > s.cfg.MaxBytes:
		return errTooLarge // no emptying would make room for it: it has to come in parts
	case adds > 0 && s.bytes+adds > s.cfg.MaxBytes:
		return messaging.ErrFull
	}
	return nil
}

func (s *Store) checkSends(outs []*messaging.Outgoing) (size int64, err error) {
	for _, o := range outs {
		n, err := s.checkSend(o)
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

// checkSend returns how much room the send will take.
func (s *Store) checkSend(o *messaging.Outgoing) (size int64, err error) {
	claimed, queued := o.Status == messaging.StatusSending, o.Status == messaging.StatusQueued
	if o.ID == uuid.Nil || (o.Attempt != nil) != claimed || !claimed && !queued && !o.Status.Terminal() {
		return 0, errShape
	}
	if _, taken := s.sends[o.ID]; taken || s.brings(o.ID) {
		return 0, errDuplicate
	}
	if o.Attempt != nil {
		if err := s.checkAttempt(o.Attempt.ID); err != nil {
			return 0, err
		}
	}
	if o.Status.Terminal() {
		return 0, nil
	}
	return sendSize(&o.Send), nil
}

func (s *Store) checkAttempt(id uuid.UUID) error {
	if id == uuid.Nil {
		return errShape
	}
	_, open := s.open[id]
	_, known := s.attempts.find(digest(id))
	if open || known || s.brings(id) {
		return errDuplicate
	}
	return nil
}

// brings notes that the batch brings an id and reports whether it did so before.
func (s *Store) brings(id uuid.UUID) bool {
	if _, twice := s.ids[id]; twice {
		return true
	}
	s.ids[id] = struct{}{}
	return false
}

// known reports whether an event is a duplicate.
func (s *Store) known(id string) bool {
	if _, ok := s.seen.find(s.hash.digest(id)); ok {
		return true
	}
	// Unfinished or dead for so long that the ring has forgotten it.
	return s.events[id] != nil || s.buried[id] != nil
}
