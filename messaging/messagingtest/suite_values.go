package messagingtest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

func needValues(t *testing.T, s messaging.Store) {
	t.Helper()
	if _, ok := s.(messaging.ValueReader); !ok {
		t.Skipf("%T is no messaging.ValueReader; see the test Interfaces", s)
	}
}

// bucket is where the suite keeps its values.
const bucket = "bucket"

// values reads values of the suite's bucket.
func (w *world) values(q messaging.ValueQuery) []messaging.Value {
	w.Helper()
	r, ok := w.store.(messaging.ValueReader)
	if !ok {
		w.Fatalf("%T is no messaging.ValueReader", w.store)
	}
	if q.Bucket == "" {
		q.Bucket = bucket
	}
	q.Now = w.now
	found, err := r.Values(w.Context(), q)
	if err != nil {
		w.Fatalf("Values: %v", err)
	}
	return found
}

// set makes a change that holds for an hour.
func (w *world) set(key, data string) *messaging.ValueChange {
	return &messaging.ValueChange{Bucket: bucket, Key: key, Data: []byte(data), ExpiresAt: w.now.Add(time.Hour)}
}

func expecting(version int64, c *messaging.ValueChange) *messaging.ValueChange {
	c.Expect = version
	return c
}

func deletion(key string) *messaging.ValueChange {
	return &messaging.ValueChange{Bucket: bucket, Key: key, Delete: true}
}

func keeping(o *messaging.Outcome, cs ...*messaging.ValueChange) *messaging.Outcome {
	o.Values = cs
	return o
}

// wantValues checks what the suite's bucket holds, as "key=data", and that the versions are
// those that the changes were told.
func (w *world) wantValues(what string, want ...string) {
	w.Helper()
	var got []string
	for _, v := range w.values(messaging.ValueQuery{}) {
		got = append(got, v.Key+"="+string(v.Data))
	}
	if !slices.Equal(got, want) {
		w.Errorf("%s: the bucket holds %q, want %q", what, got, want)
	}
}

// wantApplied checks the results of a change that is applied.
func (w *world) wantApplied(what string, c *messaging.ValueChange) {
	w.Helper()
	if !c.Applied || c.Delete != (c.Version == messaging.Absent) || !c.Delete && c.Version <= 0 {
		w.Errorf("%s: Applied is %v, Version %d", what, c.Applied, c.Version)
	}
}

// wantRefused checks the results of a change that is not applied since a version is in its way.
func (w *world) wantRefused(what string, c *messaging.ValueChange, version int64) {
	w.Helper()
	if c.Applied || c.Version != version {
		w.Errorf("%s: Applied is %v, Version %d; want false, %d", what, c.Applied, c.Version, version)
	}
}

var valueTests = []test{
	{"SetAndRead", func(w *world) {
		data := string([]byte{0, 1, 0xff, 'x'})
		c := w.set("key", data)
		c.Number = theirs
		w.commit(c)
		w.wantApplied("set", c)
		w.same("values", w.values(messaging.ValueQuery{}), []messaging.Value{{
			Bucket: bucket, Key: "key", Number: theirs, Data: []byte(data), ExpiresAt: w.now.Add(time.Hour), Version: c.Version,
		}})
		w.same("values of another bucket", len(w.values(messaging.ValueQuery{Bucket: "other"})), 0)
		empty, large := w.set("empty", ""), w.set("large", strings.Repeat("x", messaging.MaxValueData))
		w.commit(empty, large)
		found := w.values(messaging.ValueQuery{Keys: []string{"large", "empty", "none", "empty"}})
		if len(found) != 2 || len(found[0].Data) != 0 || !bytes.Equal(found[1].Data, large.Data) {
			w.Errorf("an empty and a large value by their keys: %d found", len(found))
		}
	}},
	{"ReplaceAndDelete", func(w *world) {
		first, second := w.set("key", "one"), w.set("key", "two")
		w.commit(first, second)
		w.wantValues("after both", "key=two")
		if second.Version <= first.Version {
			w.Errorf("versions are %d and then %d, want them to grow", first.Version, second.Version)
		}
		gone := deletion("key")
		w.commit(gone)
		w.wantApplied("delete", gone)
		w.wantValues("after the deletion")
		again := deletion("key")
		w.commit(again)
		w.wantApplied("delete of what is not there", again)
	}},
	{"Expect", func(w *world) {
		first := expecting(messaging.Absent, w.set("key", "one"))
		w.commit(first)
		w.wantApplied("if absent", first)
		taken := expecting(messaging.Absent, w.set("key", "two"))
		w.commit(taken)
		w.wantRefused("if absent, and it is there", taken, first.Version)
		second := expecting(first.Version, w.set("key", "two"))
		stale := expecting(first.Version, w.set("key", "three"))
		w.commit(second, stale)
		w.wantApplied("of the version read", second)
		w.wantRefused("of an old version", stale, second.Version)
		late := expecting(first.Version, deletion("key"))
		w.commit(late)
		w.wantRefused("deletion of an old version", late, second.Version)
		w.wantValues("after all", "key=two")
		gone := expecting(second.Version, deletion("key"))
		w.commit(gone)
		w.wantApplied("deletion of the version read", gone)
		nothing := expecting(second.Version, w.set("key", "four"))
		w.commit(nothing)
		w.wantRefused("of a version that is gone", nothing, messaging.Absent)
		w.wantValues("at last")
	}},
	{"NoVersionTwice", func(w *world) {
		seen := map[int64]bool{}
		for range 5 {
			c := w.set("key", "x")
			w.commit(c)
			if seen[c.Version] {
				w.Fatalf("version %d is given twice", c.Version)
			}
			seen[c.Version] = true
			w.commit(deletion("key"))
		}
	}},
	{"OneRefusalHindersNoOther", func(w *world) {
		refused, applied := expecting(7, w.set("a", "1")), w.set("b", "2")
		w.commit(refused, applied)
		w.wantRefused("the first", refused, messaging.Absent)
		w.wantApplied("the second", applied)
		w.wantValues("both", "b=2")
	}},
	{"Expires", func(w *world) {
		c := w.set("key", "one")
		w.commit(c)
		w.pass(time.Hour - time.Millisecond)
		w.wantValues("a moment before", "key=one")
		w.pass(time.Millisecond)
		w.wantValues("when it expires")
		old := expecting(c.Version, w.set("key", "two"))
		w.commit(old)
		w.wantRefused("of the version that has expired", old, messaging.Absent)
		fresh := expecting(messaging.Absent, w.set("key", "three"))
		w.commit(fresh)
		w.wantApplied("as if it were absent", fresh)
		w.wantValues("again", "key=three")
	}},
	{"Pages", func(w *world) {
		for _, key := range []string{"b", "d", "a", "c", "e"} {
			w.commit(w.set(key, key))
		}
		var got []string
		for after := ""; ; {
			page := w.values(messaging.ValueQuery{After: after, Limit: 2})
			for _, v := range page {
				got = append(got, v.Key)
			}
			if len(page) < 2 {
				break
			}
			after = page[len(page)-1].Key
		}
		w.same("keys page by page", got, []string{"a", "b", "c", "d", "e"})
	}},
	{"WithAnOutcome", func(w *world) {
		early, ev := w.message("early"), w.message("later")
		first, second := w.set("a", "1"), w.set("b", "2")
		w.commit(addEarly(early, keeping(done(), first)), add(ev))
		w.wantApplied("with an append", first)
		w.commit(settle(ev, keeping(done(), second)))
		w.wantApplied("with a settle", second)
		w.wantValues("both", "a=1", "b=2")
	}},
	{"NothingOfAnOutcomeThatDidNotHappen", func(w *world) {
		ev, other, dup := w.message("one"), w.message("two"), w.message("three")
		w.commit(add(ev), add(other), addEarly(dup, done()))
		retried, buried := w.set("retried", "x"), w.set("buried", "x")
		w.commit(settle(ev, keeping(retry(w.now, 1), retried)), settle(other, keeping(dead(), buried)))
		w.commit(settle(ev, done()))
		lost, twice := w.set("lost", "x"), w.set("twice", "x")
		late := settle(ev, keeping(done(), lost))
		lost.Applied, twice.Applied = true, true // as if left by somebody
		w.commit(late, addEarly(again(dup), keeping(done(), twice)))
		w.is("Lost", late.Lost, true)
		for _, c := range []*messaging.ValueChange{retried, buried, lost, twice} {
			w.is("Applied of "+c.Key, c.Applied, false)
		}
		w.wantValues("after all")
	}},
	{"Order", func(w *world) {
		early, ev := w.message("early"), w.message("later")
		w.commit(add(ev))
		with := enqueue(w.queued("text"))
		with.Values = []*messaging.ValueChange{w.set("key", "4")}
		w.commit(with, settle(ev, keeping(done(), w.set("key", "3"))), w.set("key", "2"),
			addEarly(early, keeping(done(), w.set("key", "1"))))
		w.wantValues("after all", "key=4")
	}},
	{"WithAnEnqueue", func(w *world) {
		q := enqueue(w.queued("text"))
		first, second := expecting(messaging.Absent, w.set("a", "1")), w.set("b", "2")
		q.Values = []*messaging.ValueChange{first, second}
		w.commit(q)
		w.is("Inserted", q.Outgoing.Inserted, true)
		w.is("Conflict", q.Conflict, false)
		w.wantApplied("the first", first)
		w.wantApplied("the second", second)
		w.wantValues("with the send", "a=1", "b=2")
	}},
	{"AllOrNothingOfAnEnqueue", func(w *world) {
		there := w.set("b", "there")
		w.commit(there)
		q := enqueue(w.queued("text"))
		fine, not := w.set("a", "1"), expecting(messaging.Absent, w.set("b", "2"))
		q.Values = []*messaging.ValueChange{fine, not}
		w.commit(q)
		w.is("Inserted", q.Outgoing.Inserted, false)
		w.is("Conflict", q.Conflict, true)
		w.is("Existing", q.Existing != nil, false)
		w.is("Applied", fine.Applied, false)
		w.wantRefused("what stands in the way", not, there.Version)
		w.wantValues("as before", "b=there")
		w.wantSends(w.load())
		second := enqueue(w.queued("second"))
		second.Outgoing.Key = q.Outgoing.Key
		w.commit(second)
		w.is("Inserted under the key that was not taken", second.Outgoing.Inserted, true)
		third := enqueue(w.queued("third"))
		third.Outgoing.Key, third.Values = second.Outgoing.Key, []*messaging.ValueChange{w.set("c", "3")}
		w.commit(third)
		w.is("Inserted under a key that is taken", third.Outgoing.Inserted, false)
		w.is("Conflict of a key that is taken", third.Conflict, false)
		w.is("Existing of a key that is taken", third.Existing != nil, true)
		w.wantValues("without the value of the third", "b=there")
	}},
	{"RetriedBatch", func(w *world) {
		ev := w.message("text")
		w.commit(add(ev))
		held, refused := w.set("a", "1"), expecting(7, w.set("b", "2"))
		decided, gone := w.set("c", "3"), deletion("a")
		with, against := enqueue(w.queued("with")), enqueue(w.queued("against"))
		with.Values = []*messaging.ValueChange{w.set("d", "4")}
		against.Values = []*messaging.ValueChange{expecting(7, w.set("e", "5"))}
		b := w.commit(held, refused, gone, settle(ev, keeping(done(), decided)), with, against)
		type result struct {
			applied bool
			version int64
		}
		results := func() (rs []result) {
			b.EachValue(func(c *messaging.ValueChange) { rs = append(rs, result{c.Applied, c.Version}) })
			return rs
		}
		want := results()
		b.EachValue(func(c *messaging.ValueChange) { c.Applied, c.Version = !c.Applied, 99 })
		with.Conflict, against.Conflict = true, false
		if err := w.store.Commit(w.Context(), b); err != nil {
			w.Fatalf("Commit of the same batch: %v", err)
		}
		if got := results(); !slices.Equal(got, want) {
			w.Errorf("a retried batch tells %v, want %v", got, want)
		}
		w.is("Conflict of the one", with.Conflict, false)
		w.is("Conflict of the other", against.Conflict, true)
		w.wantValues("as after the first", "c=3", "d=4")
	}},
	{"Prune", func(w *world) {
		short, long := w.set("short", "x"), w.set("long", "x")
		long.ExpiresAt = w.now.Add(24 * time.Hour)
		w.commit(short, long)
		w.pass(2 * time.Hour)
		w.commit(w.set("new", "x"))
		if _, err := w.store.Prune(w.Context(), w.now.Add(-24*time.Hour)); err != nil {
			w.Fatalf("Prune: %v", err)
		}
		w.wantValues("what has not expired", "long=x", "new=x")
		w.now = w.now.Add(-2 * time.Hour) // as if it were still then
		w.wantValues("what is still there", "long=x", "new=x")
	}},
	{"Forget", func(w *world) {
		mine, others, nobodys := w.set("mine", "x"), w.set("others", "x"), w.set("nobodys", "x")
		mine.Number, others.Number = theirs, person(1)
		w.commit(mine, others, nobodys)
		w.forget(theirs, 1, 0)
		w.wantValues("of others", "nobodys=x", "others=x")
		w.forget("", 0, 0)
		w.wantValues("of nobody", "nobodys=x", "others=x")
	}},
}

// carrying is a send with everything that does not go on the wire.
func (w *world) carrying(body string) *messaging.Outgoing {
	out := w.claimed(body)
	out.Callback, out.Custom = "http://127.0.0.1/told", map[string]string{"order": "7", "": "ü"}
	return out
}

var carryTests = []test{
	{"CallbackAndCustom", func(w *world) {
		out := w.carrying("text")
		plain := w.queued("plain")
		w.commit(enqueue(out), enqueue(plain))
		w.commit(report(out, messaging.OutcomeNotSent, messaging.StatusQueued))
		work := w.load()
		w.same("loaded sends", len(work.Sends), 2)
		w.same("loaded send", work.Sends[0].Send, out.Send)
		w.same("plain send", work.Sends[1].Send, plain.Send)
		w.shows("Send of Life", w.life(out.ID.String()).Sends[0].Send, out.Send)
		second := enqueue(w.queued("second"))
		second.Outgoing.Key = out.Key
		w.commit(second)
		w.same("Existing", *second.Existing, out.Send)
	}},
	{"StatesKnowOfTheCallback", func(w *world) {
		out := w.carrying("text")
		w.commit(enqueue(out))
		r := accepted(out, "SM1")
		w.commit(r)
		ref := messaging.SendRef{ID: out.ID, Attempt: out.Attempt.ID, Callback: true}
		w.wantMergeOf("report", r.Merge, ref, merge{isAccepted, messaging.StatusAccepted, true, false})
		ev := w.state("SM1", messaging.StateDelivered)
		a := add(ev)
		b := w.commit(a)
		w.wantMergeOf("state", a.Merge, ref, merge{isAccepted, messaging.StatusDelivered, true, false})
		if err := w.store.Commit(w.Context(), b); err != nil {
			w.Fatalf("Commit of the same batch: %v", err)
		}
		w.wantMergeOf("state of a retried batch", a.Merge, ref, merge{isAccepted, messaging.StatusDelivered, true, false})
		if work := w.load(); len(work.Events) != 1 {
			w.Errorf("%d events are unfinished, want 1", len(work.Events))
		} else {
			w.same("Send of the loaded state", work.Events[0].Event.Send, &ref)
		}
	}},
	{"SecretIsNotShown", func(w *world) {
		out := w.queued("code 123456")
		out.Secret = true
		w.commit(enqueue(out))
		work := w.load()
		w.same("loaded for the wire", work.Sends[0].Send, out.Send)
		shown := out.Shown()
		w.same("Shown", shown.Body, messaging.SecretBody)
		w.shows("Send of Life", w.life(out.ID.String()).Sends[0].Send, shown)
		found, err := w.archive().Search(w.Context(), messaging.Search{Sends: true})
		if err != nil || len(found.Sends) != 1 {
			w.Fatalf("Search: %v, %v", found, err)
		}
		w.shows("Send of Search", found.Sends[0].Send, shown)
		w.wantTexts("search for the code", messaging.Search{Sends: true, Text: "123456"})
	}},
	{"SecretGoesWhenTheSendHasLeft", func(w *world) {
		for what, end := range map[string]func(out *messaging.Outgoing) []any{
			"accepted": func(out *messaging.Outgoing) []any { return []any{accepted(out, "SM1")} },
			"refused": func(out *messaging.Outgoing) []any {
				return []any{report(out, messaging.OutcomeRejected, messaging.StatusFailed)}
			},
		} {
			out := w.claimed("code 123456 " + what)
			out.Secret = true
			w.commit(enqueue(out))
			w.commit(end(out)...)
			w.is(what+": Forgotten", w.life(out.ID.String()).Sends[0].Forgotten, true)
		}
		waiting, never := w.queued("code 1"), w.queued("code 2")
		waiting.Secret, never.Secret = true, true
		never.Status, never.Reason = messaging.StatusSuppressed, "opted_out"
		w.commit(enqueue(waiting), enqueue(never))
		w.is("of one that never leaves: Forgotten", w.life(never.ID.String()).Sends[0].Forgotten, true)
		w.is("of one that waits: Forgotten", w.life(waiting.ID.String()).Sends[0].Forgotten, false)
		w.commit(&messaging.Claim{SendID: waiting.ID, Status: messaging.StatusExpired, Reason: "expired"})
		w.is("of one that expired: Forgotten", w.life(waiting.ID.String()).Sends[0].Forgotten, true)
		w.wantNotAgain("failure", w.fail("SM1", messaging.StateFailed), w.bySM1(), merge{isAccepted, messaging.StatusFailed, true, false})
	}},
}

// bySM1 finds the send that was accepted under the id SM1, with its attempt.
func (w *world) bySM1() *messaging.Outgoing {
	w.Helper()
	r := w.life("SM1").Sends[0]
	return &messaging.Outgoing{Send: r.Send, Attempt: &r.Attempts[0].Attempt}
}

var sharedValueTests = []sharedTest{
	// Instances that count one value up, each by reading, adding and comparing, lose nothing.
	{"CompareAndSet", 3, func(ws []*world) {
		a, b := ws[0], ws[1]
		first := a.set("other", "one")
		a.commit(first)
		seen := b.values(messaging.ValueQuery{Keys: []string{"other"}})[0].Version
		second := a.set("other", "two")
		a.commit(second)
		stale := expecting(seen, b.set("other", "three"))
		b.commit(stale)
		b.wantRefused("what another instance has changed since", stale, second.Version)
		b.commit(deletion("other"))
		const each = 20
		var group sync.WaitGroup
		for _, w := range ws {
			group.Go(func() {
				for n := 0; n < each; {
					v, digits := messaging.Absent, 0
					if found := w.values(messaging.ValueQuery{Keys: []string{"count"}}); len(found) > 0 {
						v = found[0].Version
						digits = len(found[0].Data)
					}
					c := expecting(v, w.set("count", strings.Repeat("I", digits+1)))
					b := w.batch(c)
					if err := w.store.Commit(w.Context(), b); errors.Is(err, messaging.ErrUnavailable) {
						continue // it lost a race too often; and so it was not applied
					} else if err != nil {
						w.Errorf("Commit: %v", err)
						return
					}
					if c.Applied {
						n++
					}
				}
			})
		}
		group.Wait()
		if got := len(ws[0].values(messaging.ValueQuery{})[0].Data); got != each*len(ws) {
			ws[0].Errorf("counted up to %d, want %d", got, each*len(ws))
		}
	}},
}
