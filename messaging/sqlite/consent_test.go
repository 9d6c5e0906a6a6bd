package sqlite

import (
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/messaging"
)

// TestLedgerIsOnlyAddedTo tries what a program, or a hand with a database tool, must not do.
func TestLedgerIsOnlyAddedTo(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	s.background.Wait()
	tellStory(t, s)
	for _, query := range []string{
		`UPDATE ledger SET note = 'another'`, `UPDATE ledger SET before = NULL WHERE seq = 3`, `DELETE FROM ledger`, `DELETE FROM ledger WHERE seq = 1`,
	} {
		if err := s.w.run(query); err == nil || !strings.Contains(err.Error(), "only ever added to") {
			t.Errorf("%s: %v; want it refused", query, err)
		}
	}
	if n, err := messaging.VerifyLedger(t.Context(), s, nil); n != storyLines || err != nil {
		t.Errorf("the ledger: %d lines, %v; want %d", n, err, storyLines)
	}
}

// TestBackupHoldsTheLedger opens a copy and finds the whole ledger there.
func TestBackupHoldsTheLedger(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	s.background.Wait()
	tellStory(t, s)
	path := NewPath(t) + ".copy"
	if err := s.Backup(t.Context(), path, nil); err != nil {
		t.Fatalf("Backup: %v", err)
	}
	var told strings.Builder
	if err := Verify(t.Context(), path, &told); err != nil || !strings.Contains(told.String(), "ledger of consent: 3 lines") {
		t.Errorf("Verify of the copy: %v, told:\n%s", err, &told)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkLedger(t, openAt(t, path), true)
}

// TestVerifyWithoutALedger verifies what a former version left.
func TestVerifyWithoutALedger(t *testing.T) {
	t.Parallel()
	path := NewPath(t) + ".old"
	build(t, path, 2)
	var told strings.Builder
	if err := Verify(t.Context(), path, &told); err != nil || !strings.Contains(told.String(), "schema version 2") {
		t.Errorf("Verify: %v, told:\n%s", err, &told)
	}
}

// TestLedgerIsRolledBack fails a batch after it has written lines, and after another way of
// failing begins anew from what the journal has.
func TestLedgerIsRolledBack(t *testing.T) {
	t.Parallel()
	s := openAt(t, NewPath(t))
	s.background.Wait()
	tellStory(t, s)
	b := batch(start)
	b.Consents = []*messaging.ConsentChange{storyChange(messaging.ConsentStop, messaging.ScopeAll)}
	bad := storySend("bulk", messaging.PriorityBulk)
	bad.Key = ""
	b.Enqueues = []*messaging.Enqueue{{Outgoing: bad}}
	if err := s.Commit(t.Context(), b); err == nil {
		t.Fatal("Commit of a send whose id is taken: no error")
	}
	if _, err := s.w.one("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	b.Enqueues = nil
	if err := s.Commit(t.Context(), b); err == nil {
		t.Fatal("Commit to a journal that cannot be written: no error")
	}
	checkLedger(t, s, true)
}
