package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// writeStory makes TestWriteStory write what the present version stores. It is done once for
// every version of the schema, before the next one is begun:
//
//	go test ./messaging/sqlite -run TestWriteStory -write-story
var writeStory = flag.Bool("write-story", false, "write testdata/versionN.sql for the schema's present version")

// The story is a journal in which everything happens that a schema has a place for. Its ids
// follow from names, so that a later version can ask for them.

func named(name string) uuid.UUID {
	sum := sha256.Sum256([]byte(name))
	u := uuid.UUID(sum[:16])
	binary.BigEndian.PutUint64(u[:8], uint64(start.UnixMilli())<<16|uint64(sum[16])<<4|7<<12)
	u[8] = u[8]&0x3f | 0x80
	return u
}

func storyEvent(id string) *messaging.Event {
	ev := messagingtest.NewMessage("support", "+12025550101", "+12025550100", "text of "+id)
	ev.ID, ev.MessageID, ev.ReceivedAt, ev.SentAt = id, id, start, start.Add(-time.Second)
	ev.Media, ev.Frame = []string{"https://example.com/" + id}, []byte("frame of "+id)
	return ev
}

func storyState(message string, state messaging.State) *messaging.Event {
	ev := messagingtest.NewState("support", message, "+12025550100", "+12025550101", state)
	ev.ReceivedAt, ev.SentAt, ev.Frame = start, start, []byte("frame of "+message)
	return ev
}

func storySend(name string, priority messaging.Priority) *messaging.Outgoing {
	return &messaging.Outgoing{
		Send: messaging.Send{
			ID: named(name), Key: "key of " + name, Context: "support", From: "+12025550100", To: "+12025550101",
			Body: "text of " + name, Tags: []string{"tag"}, Priority: priority, Category: messaging.CategoryNotification,
			ExpiresAt: start.Add(time.Hour), CreatedAt: start,
		},
		Status: messaging.StatusQueued,
	}
}

func storyAttempt(send string, number int) *messaging.Attempt {
	return &messaging.Attempt{ID: named(fmt.Sprint(send, " attempt ", number)), SendID: named(send), Number: number, ClaimedAt: start}
}

func storyClaimed(name string) *messaging.Outgoing {
	o := storySend(name, messaging.PriorityReply)
	o.Status, o.Attempt = messaging.StatusSending, storyAttempt(name, 1)
	return o
}

func storyReport(send string, number int, o messaging.AttemptOutcome, s messaging.Status) *messaging.Report {
	r := &messaging.Report{SendID: named(send), AttemptID: storyAttempt(send, number).ID, Outcome: o, Status: s}
	if o == messaging.OutcomeAccepted {
		r.MessageID = "SM " + send
	}
	return r
}

// storyLast is the last batch, which a process that never had its answer commits again.
func storyLast() *messaging.Batch {
	return &messaging.Batch{
		ID: named("last batch"), Owner: named("owner"), Now: start.Add(time.Minute),
		Appends: []*messaging.Append{
			{Event: storyEvent("last")},
			{Event: storyState("SM answer", messaging.StateDelivered), Outcome: &messaging.Outcome{Fate: messaging.FateDone}},
			{Event: storyState("SM unheard of", messaging.StateSent), Outcome: &messaging.Outcome{Fate: messaging.FateDone}},
		},
		Enqueues: []*messaging.Enqueue{{Outgoing: storySend("bulk", messaging.PriorityBulk)}},
	}
}

// storyLines are how many lines of the ledger the story has.
const storyLines = 3

// storyStop is a change of consent that crosses an answer.
func storyStop() *messaging.ConsentChange {
	return &messaging.ConsentChange{
		Number: "+12025550101", Verb: messaging.ConsentStop, Origin: messaging.OriginMessage, EventID: "done", Ours: "+12025550100",
		Context: "support", SentAt: start.Add(-time.Second), ReceivedAt: start, Tier: "exact", Word: "STOP", Rule: "en",
		Crossing: []uuid.UUID{storyAttempt("open", 1).ID},
	}
}

// storyChange is one that an operator makes, with its ground.
func storyChange(v messaging.ConsentVerb, scope messaging.Scope) *messaging.ConsentChange {
	return &messaging.ConsentChange{Number: "+12025550101", Scope: scope, Verb: v, Origin: messaging.OriginOperator, Actor: "somebody", Note: "a letter"}
}

// tellStory commits the story.
func tellStory(t *testing.T, s *Store) {
	t.Helper()
	n := 0
	tell := func(b *messaging.Batch) {
		n++
		b.ID, b.Owner, b.Now = named(fmt.Sprint("batch ", n)), named("owner"), start
		commit(t, s, b)
	}
	answer := storyClaimed("answer")
	answer.Key, answer.InReplyTo = "done#0", "done"
	waiting := storyEvent("waiting")
	tell(&messaging.Batch{
		Appends: []*messaging.Append{
			{Event: storyEvent("done"), Outcome: &messaging.Outcome{
				Fate: messaging.FateDone, Attempt: 1, Handler: "keyword", Sends: []*messaging.Outgoing{answer},
			}},
			{Event: waiting},
			{Event: storyEvent("dead"), Outcome: &messaging.Outcome{Fate: messaging.FateDead, Attempt: 8, Err: "no use"}},
		},
		Enqueues: []*messaging.Enqueue{
			{Outgoing: storySend("bulk", messaging.PriorityBulk)},
			{Outgoing: storySend("urgent", messaging.PriorityReply)},
			{Outgoing: storySend("later", messaging.PriorityReply)},
			{Outgoing: storyClaimed("doubted")},
			{Outgoing: storyClaimed("open")},
			{Outgoing: storyClaimed("repeated")},
		},
	})
	tell(&messaging.Batch{
		Settles: []*messaging.Settle{{Event: waiting, Outcome: &messaging.Outcome{
			Fate: messaging.FateRetry, RetryAt: start.Add(time.Hour), Attempt: 2, Err: "later", Handler: "forward",
		}}},
		Claims: []*messaging.Claim{{
			SendID: named("later"), Status: messaging.StatusQueued, NotBefore: start.Add(time.Hour), Reason: "quiet hours",
		}},
		Reports: []*messaging.Report{
			storyReport("answer", 1, messaging.OutcomeAccepted, messaging.StatusAccepted),
			storyReport("doubted", 1, messaging.OutcomeInDoubt, messaging.StatusInDoubt),
			storyReport("repeated", 1, messaging.OutcomeRejected, messaging.StatusQueued),
		},
	})
	tell(&messaging.Batch{Claims: []*messaging.Claim{
		{SendID: named("repeated"), Attempt: storyAttempt("repeated", 2), Status: messaging.StatusSending},
	}})
	tell(&messaging.Batch{Reports: []*messaging.Report{storyReport("repeated", 2, messaging.OutcomeAccepted, messaging.StatusAccepted)}})
	tell(&messaging.Batch{Consents: []*messaging.ConsentChange{
		storyStop(), storyChange(messaging.ConsentReview, messaging.ContextScope("sales")), storyChange(messaging.ConsentStart, messaging.ScopeAll),
	}})
	if err := s.exclusively(func() error { return s.seal(start.UnixMilli()) }); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.ids.committed()
	s.mu.Unlock()
	commit(t, s, storyLast())
}

// dump gives a database's rows as statements, without those that the migrations make.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	all := func(query string, args ...any) (values []string) {
		t.Helper()
		rows, err := s.read.QueryContext(t.Context(), query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return values
	}
	var b strings.Builder
	for _, table := range all(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'goose%' ORDER BY name`) {
		var values []string
		columns := all(`SELECT name FROM pragma_table_info(?)`, table)
		for _, c := range columns {
			values = append(values, "quote("+c+")")
		}
		query := `SELECT 'INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `) VALUES (' || ` +
			strings.Join(values, ` || ', ' || `) + ` || ');' FROM ` + table
		for _, row := range all(query) {
			b.WriteString(row + "\n")
		}
	}
	return b.String()
}

func TestWriteStory(t *testing.T) {
	if !*writeStory {
		t.Skip("only with -write-story")
	}
	s := openAt(t, NewPath(t))
	s.background.Wait()
	tellStory(t, s)
	version, err := s.w.one(`SELECT max(version_id) FROM goose_db_version`)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("testdata/version%d.sql", version), []byte(dump(t, s)), 0o644); err != nil {
		t.Fatal(err)
	}
}
