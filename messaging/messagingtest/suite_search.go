package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/signpost-sms/signpost/messaging"
)

// texts are the bodies of what a search found, in its order.
func texts(f *messaging.Found) (bodies []string) {
	for _, r := range f.Inbounds {
		bodies = append(bodies, r.Event.Body)
	}
	for _, r := range f.Sends {
		bodies = append(bodies, r.Send.Body)
	}
	return bodies
}

// wantTexts searches and checks what is found, in order.
func (w *world) wantTexts(what string, q messaging.Search, want ...string) {
	w.Helper()
	f := w.search(q)
	w.shows(what, texts(f), want)
	w.is(what+": More", f.More, false)
}

// page searches one page and checks it.
func (w *world) page(what string, q messaging.Search, more bool, want ...string) (cursor string) {
	w.Helper()
	f := w.search(q)
	w.shows(what, texts(f), want)
	w.is(what+": More", f.More, more)
	w.is(what+": Cursor is empty", f.Cursor == "", len(want) == 0)
	return f.Cursor
}

// put commits a finished inbound or send with a text.
func (w *world) put(sends bool, body string) {
	w.Helper()
	if !sends {
		w.commit(addEarly(w.message(body), done()))
		return
	}
	out := w.queued(body)
	out.Status = messaging.StatusSuppressed
	w.commit(enqueue(out))
}

// bothWays runs a test for inbounds and for sends.
func bothWays(f func(w *world, sends bool)) func(w *world) {
	return func(w *world) {
		f(w, false)
		f(w, true)
	}
}

var searchTests = []test{
	{"NewestFirst", bothWays(func(w *world, sends bool) {
		w.page("nothing", messaging.Search{Sends: sends}, false)
		for _, body := range []string{"a", "b", "c"} {
			w.put(sends, body)
			w.pass(-time.Minute) // commit order decides, not the times
		}
		w.wantTexts("all", messaging.Search{Sends: sends}, "c", "b", "a")
	})},
	{"WhatIsUnfinishedToo", func(w *world) {
		waiting, retried := w.message("waiting"), w.message("retried")
		w.commit(add(waiting), add(retried), addEarly(w.message("dead"), dead()), addEarly(w.message("done"), done()))
		w.commit(settle(retried, retry(w.now, 1)))
		w.commit(enqueue(w.queued("queued")), enqueue(w.claimed("open")))
		w.wantTexts("inbounds", messaging.Search{}, "done", "dead", "retried", "waiting")
		w.wantTexts("sends", messaging.Search{Sends: true}, "open", "queued")
	}},
	{"StatesAreNoInbounds", func(w *world) {
		w.sent("SM1")
		w.arrive("SM1", messaging.StateSent)
		w.commit(add(w.state("SM-stranger", messaging.StateSent)))
		w.wantTexts("inbounds", messaging.Search{})
	}},
	{"ByNumber", func(w *world) {
		inbound, out := w.message("theirs"), w.queued("to them")
		other, mine := w.messageFrom(person(1), "other"), w.queued("from another of ours")
		other.To, mine.From = "+12025550198", "+12025550199"
		w.commit(add(inbound), add(other), enqueue(out), enqueue(mine), enqueue(to(w.queued("to another"), person(1))))
		w.wantTexts("inbounds of theirs", messaging.Search{Number: theirs}, "theirs")
		w.wantTexts("inbounds of ours", messaging.Search{Number: ours}, "theirs")
		w.wantTexts("inbounds of another", messaging.Search{Number: person(1)}, "other")
		w.wantTexts("sends of theirs", messaging.Search{Sends: true, Number: theirs}, "from another of ours", "to them")
		w.wantTexts("sends of ours", messaging.Search{Sends: true, Number: "+12025550199"}, "from another of ours")
		w.wantTexts("part of a number", messaging.Search{Number: theirs[:len(theirs)-1]})
	}},
	{"ByContext", bothWays(func(w *world, sends bool) {
		w.put(sends, "a")
		if ev, out := w.message("b"), w.queued("b"); sends {
			out.Context = "Sales"
			w.commit(enqueue(out))
		} else {
			ev.Context = "Sales"
			w.commit(addEarly(ev, done()))
		}
		w.wantTexts("support", messaging.Search{Sends: sends, Context: "support"}, "a")
		w.wantTexts("Sales", messaging.Search{Sends: sends, Context: "Sales"}, "b")
		w.wantTexts("sales", messaging.Search{Sends: sends, Context: "sales"})
	})},
	{"ByTime", bothWays(func(w *world, sends bool) {
		begin := w.now
		for _, body := range []string{"a", "b", "c"} {
			w.put(sends, body)
			w.pass(time.Minute)
		}
		at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
		w.wantTexts("since the second", messaging.Search{Sends: sends, Since: at(1)}, "c", "b")
		w.wantTexts("just after the second", messaging.Search{Sends: sends, Since: at(1).Add(time.Millisecond)}, "c")
		w.wantTexts("until the second", messaging.Search{Sends: sends, Until: at(1)}, "a")
		w.wantTexts("until just after it", messaging.Search{Sends: sends, Until: at(1).Add(time.Millisecond)}, "b", "a")
		w.wantTexts("the second alone", messaging.Search{Sends: sends, Since: at(1), Until: at(2)}, "b")
	})},
	{"ByText", bothWays(func(w *world, sends bool) {
		for _, body := range []string{"Where is my ORDER?", "100% off_now", "Grüße", "no order", ""} {
			w.put(sends, body)
		}
		w.wantTexts("a word", messaging.Search{Sends: sends, Text: "order"}, "no order", "Where is my ORDER?")
		w.wantTexts("in capitals", messaging.Search{Sends: sends, Text: "MY OrDER?"}, "Where is my ORDER?")
		w.wantTexts("a percent sign", messaging.Search{Sends: sends, Text: "%"}, "100% off_now")
		w.wantTexts("an underscore", messaging.Search{Sends: sends, Text: "f_n"}, "100% off_now")
		w.wantTexts("other letters", messaging.Search{Sends: sends, Text: "üße"}, "Grüße")
		w.wantTexts("what nobody wrote", messaging.Search{Sends: sends, Text: "orders"})
	})},
	{"ByFate", func(w *world) {
		dropped := w.message("dropped")
		w.commit(add(w.message("waiting")), addEarly(w.message("done"), done()), addEarly(w.message("dead"), dead()), addEarly(dropped, dead()))
		w.commit(drop(dropped))
		w.wantTexts("unfinished", messaging.Search{Fates: []messaging.Fate{messaging.FateRetry}}, "waiting")
		w.wantTexts("done", messaging.Search{Fates: []messaging.Fate{messaging.FateDone}}, "done")
		w.wantTexts("dead", messaging.Search{Fates: []messaging.Fate{messaging.FateDead}}, "dead")
		w.wantTexts("dropped", messaging.Search{Fates: []messaging.Fate{messaging.FateDropped}}, "dropped")
		w.wantTexts("dead or unfinished", messaging.Search{Fates: []messaging.Fate{messaging.FateDead, messaging.FateRetry}}, "dead", "waiting")
		w.wantTexts("dead or done", messaging.Search{Fates: []messaging.Fate{messaging.FateDead, messaging.FateDone}}, "dead", "done")
	}},
	{"ByStatus", func(w *world) {
		doubted, out := w.claimed("in doubt"), w.claimed("delivered")
		w.commit(enqueue(w.queued("queued")), enqueue(w.claimed("sending")), enqueue(doubted), enqueue(out))
		w.commit(inDoubt(doubted), accepted(out, "SM1"))
		w.put(true, "suppressed")
		by := func(s ...messaging.Status) messaging.Search { return messaging.Search{Sends: true, Statuses: s} }
		w.wantTexts("accepted", by(messaging.StatusAccepted), "delivered")
		w.arrive("SM1", messaging.StateDelivered)
		w.wantTexts("accepted no more", by(messaging.StatusAccepted))
		for _, s := range []messaging.Status{
			messaging.StatusQueued, messaging.StatusSending, messaging.StatusDelivered, messaging.StatusSuppressed,
		} {
			w.wantTexts(string(s), by(s), string(s))
		}
		w.wantTexts("in doubt", by(messaging.StatusInDoubt), "in doubt")
		w.wantTexts("two of them", by(messaging.StatusQueued, messaging.StatusInDoubt), "in doubt", "queued")
		w.wantTexts("finished and not", by(messaging.StatusDelivered, messaging.StatusSending), "delivered", "sending")
	}},
	{"FiltersTogether", func(w *world) {
		w.commit(addEarly(w.message("yes"), done()), addEarly(w.message("yes, but dead"), dead()), addEarly(w.messageFrom(person(1), "yes"), done()),
			addEarly(w.message("no"), done()))
		w.wantTexts("all at once", messaging.Search{
			Number: theirs, Context: "support", Since: w.now, Until: w.now.Add(time.Second), Text: "YES", Fates: []messaging.Fate{messaging.FateDone},
		}, "yes")
	}},
	{"PagesBefore", bothWays(func(w *world, sends bool) {
		for i := range 7 {
			w.put(sends, fmt.Sprint(i))
		}
		q := messaging.Search{Sends: sends, Limit: 3}
		q.Before = w.page("first", q, true, "6", "5", "4")
		w.put(sends, "new") // must push nothing onto the next page
		q.Before = w.page("second", q, true, "3", "2", "1")
		q.Before = w.page("third", q, false, "0")
		w.page("fourth", q, false)
	})},
	{"PagesAfter", bothWays(func(w *world, sends bool) {
		w.put(sends, "0")
		q := messaging.Search{Sends: sends, Limit: 3}
		q.After = w.page("the newest", q, false, "0")
		w.page("nothing new", q, false)
		for i := range 7 {
			w.put(sends, fmt.Sprint(i+1))
		}
		q.After = w.page("first", q, true, "1", "2", "3")
		q.After = w.page("second", q, true, "4", "5", "6")
		w.put(sends, "8")
		q.After = w.page("third", q, false, "7", "8")
		w.page("fourth", q, false)
	})},
	{"PagesOfWhatIsFiltered", bothWays(func(w *world, sends bool) {
		for i := range 9 {
			w.put(sends, []string{"no", "yes ", "no"}[i%3]+fmt.Sprint(i))
		}
		q := messaging.Search{Sends: sends, Text: "yes", Limit: 2}
		q.Before = w.page("first", q, true, "yes 7", "yes 4")
		q.Before = w.page("second", q, false, "yes 1")
		q.Before, q.After = "", q.Before
		w.page("back", q, false, "yes 4", "yes 7")
	})},
	{"WhileRowsAreAdded", func(w *world) {
		const old = 60
		for i := range old {
			w.put(false, fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancel(w.Context())
		var adding sync.WaitGroup
		adding.Go(func() {
			for ctx.Err() == nil {
				if !w.try(addEarly(w.message("new"), done())) {
					return
				}
			}
		})
		q := messaging.Search{Limit: 7}
		var got []string
		for {
			f := w.search(q)
			got = append(got, texts(f)...)
			if q.Before = f.Cursor; !f.More {
				break
			}
		}
		cancel()
		adding.Wait()
		got = slices.DeleteFunc(got, func(s string) bool { return s == "new" })
		var want []string
		for i := range old {
			want = append(want, fmt.Sprint(old-1-i))
		}
		w.shows("all pages, without what was added", got, want)
	}},
	{"Limits", func(w *world) {
		for range 11 {
			var ops []any
			for range 100 {
				ops = append(ops, addEarly(w.message("x"), done()))
			}
			w.commit(ops...)
		}
		for limit, want := range map[int]int{0: 50, 1: 1, 60: 60, 1000: 1000, 5000: 1000} {
			f := w.search(messaging.Search{Limit: limit})
			w.shows(fmt.Sprintf("found with the limit %d", limit), len(f.Inbounds), want)
			w.is("More", f.More, true)
		}
	}},
	{"NewestAttemptAlone", func(w *world) {
		s := w.tell()
		f := w.search(messaging.Search{Sends: true})
		if len(f.Sends) != 2 {
			w.Fatalf("%d sends, want 2", len(f.Sends))
		}
		got := f.Sends[1]
		w.shows("Send", got.Send, s.out.Send)
		w.shows("Status", got.Status, messaging.StatusDelivered)
		if len(got.Attempts) != 1 || got.Attempts[0].Attempt.ID != s.second.ID || got.Attempts[0].MessageID != "SM "+s.ev.ID || len(got.Attempts[0].States) > 0 {
			w.Errorf("Attempts are %+v, want the second alone, without states", got.Attempts)
		}
		in := w.search(messaging.Search{})
		w.shows("the inbound", in.Inbounds, []*messaging.EventRecord{w.life(s.ev.ID).Inbound})
	}},
	{"ForeignCursor", func(w *world) {
		w.put(false, "x")
		for _, q := range []messaging.Search{{Before: "nonsense"}, {After: "nonsense"}, {Sends: true, Before: "nonsense"}} {
			if _, err := w.archive().Search(w.Context(), q); err == nil {
				w.Errorf("Search Before %q, After %q, Sends %v: no error", q.Before, q.After, q.Sends)
			}
		}
	}},
	{"EndedContext", func(w *world) {
		w.tell()
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		a := w.archive()
		_, err := a.Search(ctx, messaging.Search{})
		_, lifeErr := a.Life(ctx, "SM1")
		_, _, forgetErr := a.Forget(ctx, theirs)
		for what, err := range map[string]error{"Search": err, "Life": lifeErr, "Forget": forgetErr} {
			if !errors.Is(err, context.Canceled) {
				w.Errorf("%s with an ended context: %v, want context.Canceled", what, err)
			}
		}
	}},
}
