package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
)

// book is a ledger as somebody left it.
type book struct {
	entries []messaging.ConsentEntry
	states  []messaging.ConsentState
	grow    func() // called when everything was read
	err     error
}

func (b *book) Consents(_ context.Context, after int64, limit int) (found []messaging.ConsentState, err error) {
	for _, st := range b.states {
		if st.Seq > after && len(found) < limit {
			found = append(found, st)
		}
	}
	return found, b.err
}

func (b *book) ConsentOf(context.Context, ...messaging.Number) ([]messaging.ConsentState, error) {
	return nil, errors.New("not asked for")
}

func (b *book) Entries(_ context.Context, q messaging.LedgerQuery) (found []messaging.ConsentEntry, err error) {
	for _, e := range b.entries {
		if e.Seq > q.After && len(found) < q.Limit {
			found = append(found, e)
		}
	}
	if len(found) == 0 && b.grow != nil {
		b.grow()
	}
	return found, b.err
}

// written fills a ledger through the memory store.
func written(t *testing.T, lines int) *book {
	t.Helper()
	s := memory.New(memory.Config{})
	b := &messaging.Batch{ID: uuid.Must(uuid.NewV7()), Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	for i := range lines {
		b.Consents = append(b.Consents, &messaging.ConsentChange{
			Number: messaging.Number(fmt.Sprintf("+1202555%04d", i%7)), Verb: []messaging.ConsentVerb{"stop", "start", "keep"}[i%3],
			Origin: messaging.OriginOperator, Actor: "somebody", Note: "a letter",
		})
	}
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Entries(t.Context(), messaging.LedgerQuery{Limit: lines})
	if err != nil {
		t.Fatal(err)
	}
	states, err := s.Consents(t.Context(), 0, lines)
	if err != nil {
		t.Fatal(err)
	}
	return &book{entries: entries, states: states}
}

func TestVerifyLedger(t *testing.T) {
	t.Parallel()
	for _, lines := range []int{0, 1, 999, 1000, 1001, 2500} {
		var told []int64
		n, err := messaging.VerifyLedger(t.Context(), written(t, lines), func(n int64) { told = append(told, n) })
		if n != int64(lines) || err != nil {
			t.Errorf("VerifyLedger of %d lines: %d, %v", lines, n, err)
		}
		if pages := (lines + 999) / 1000; len(told) != pages || pages > 0 && told[pages-1] != n || !slices.IsSorted(told) {
			t.Errorf("progress with %d lines: %v", lines, told)
		}
	}
}

func TestVerifyLedgerFinds(t *testing.T) {
	t.Parallel()
	rehash := func(e *messaging.ConsentEntry) { e.Hash = e.Sum() }
	for name, c := range map[string]struct {
		spoil func(b *book)
		right int64 // lines before the first wrong one
		want  string
	}{
		"an altered word":               {func(b *book) { b.entries[1200].Note = "a lettre" }, 1200, "line 1201 does not say what was written"},
		"an altered time":               {func(b *book) { b.entries[4].At = b.entries[4].At.Add(time.Millisecond) }, 4, "line 5 does not say what was written"},
		"an altered result":             {func(b *book) { b.entries[4].Changed = !b.entries[4].Changed }, 4, "line 5 does not say what was written"},
		"an altered hash":               {func(b *book) { b.entries[4].Hash[31] ^= 1 }, 4, "line 5 does not say what was written"},
		"a word altered with its hash":  {func(b *book) { b.entries[4].Word = "NO"; rehash(&b.entries[4]) }, 5, "line 6 was written after another line than line 5"},
		"a removed line":                {func(b *book) { b.entries = slices.Delete(b.entries, 1000, 1001) }, 1000, "after line 1000 comes line 1002"},
		"a removed line, numbered anew": {func(b *book) { b.entries = slices.Delete(b.entries, 4, 5); renumber(b.entries) }, 4, "line 5 does not say"},
		"the same, hashed anew": {func(b *book) {
			b.entries = slices.Delete(b.entries, 4, 5)
			renumber(b.entries)
			rehash(&b.entries[4])
		}, 4, "line 5 was written after another line than line 4"},
		"a swapped pair":                {func(b *book) { swap(b.entries, 4) }, 4, "after line 4 comes line 6"},
		"a swapped pair, numbered anew": {func(b *book) { swap(b.entries, 4); renumber(b.entries) }, 4, "line 5 does not say"},
		"a truncated head":              {func(b *book) { b.entries = b.entries[3:] }, 0, "begins with line 4"},
		"a truncated head, numbered anew": {func(b *book) {
			b.entries = b.entries[3:]
			renumber(b.entries)
			rehash(&b.entries[0])
		}, 0, "line 1 was not the first one"},
		"a truncated end":      {func(b *book) { b.entries = b.entries[:1990] }, 1990, "ends with line 1990, and a number stands by line "},
		"nothing but states":   {func(b *book) { b.entries = nil }, 0, "ends with line 0, and a number stands by line "},
		"a line that is twice": {func(b *book) { b.entries = slices.Insert(b.entries, 5, b.entries[4]) }, 5, "after line 5 comes line 5, so the order was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := written(t, 2000)
			c.spoil(b)
			n, err := messaging.VerifyLedger(t.Context(), b, nil)
			if n != c.right || !errors.Is(err, messaging.ErrLedger) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("VerifyLedger: %d, %v; want %d and %q", n, err, c.right, c.want)
			}
			if !strings.Contains(fmt.Sprint(err), "put the newest backup in its place") || strings.Contains(fmt.Sprint(err), "+1202") {
				t.Errorf("VerifyLedger: %v; want what to do, and no number", err)
			}
		})
	}
}

func renumber(entries []messaging.ConsentEntry) {
	for i := range entries {
		entries[i].Seq = int64(i) + 1
	}
}

func swap(entries []messaging.ConsentEntry, i int) {
	entries[i], entries[i+1] = entries[i+1], entries[i]
}

// TestVerifyLedgerBesideCommits adds lines after the last one was read.
func TestVerifyLedgerBesideCommits(t *testing.T) {
	t.Parallel()
	b := written(t, 1500)
	all, states := b.entries, b.states
	b.entries, b.states = all[:1200], nil
	b.grow = func() { b.entries, b.states = all, states }
	if n, err := messaging.VerifyLedger(t.Context(), b, nil); n != 1500 || err != nil {
		t.Errorf("VerifyLedger beside commits: %d, %v; want 1500 lines", n, err)
	}
}

func TestVerifyLedgerThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := written(t, 3)
	b.err = messaging.ErrUnavailable
	if _, err := messaging.VerifyLedger(t.Context(), b, nil); !errors.Is(err, messaging.ErrUnavailable) || errors.Is(err, messaging.ErrLedger) {
		t.Errorf("VerifyLedger: %v, want ErrUnavailable", err)
	}
}
