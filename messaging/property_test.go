package messaging_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
	"github.com/signpost-sms/signpost/relay"
	"github.com/signpost-sms/signpost/relay/relaytest"
	"pgregory.net/rapid"
)

// script is what happens to a daemon and its space. It prints as it can be read.
type script struct {
	Echo       bool // the platform echoes tags
	Log        bool // the daemon reads the message log
	LogLags    bool // by 20 s
	Redeliver  bool // the platform delivers what was not acknowledged again
	Pure       bool // the chain is pure, so that it may run before its append
	StatesLate bool // states come seconds after the result
	Steps      []step
}

type step struct {
	what string
	n    int
}

func (s step) String() string { return fmt.Sprintf("%s %d", s.what, s.n) }

func (s script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tags echoed: %v, log read: %v, it lags: %v, redelivery: %v, pure chain: %v, states late: %v\n", s.Echo, s.Log, s.LogLags, s.Redeliver, s.Pure, s.StatesLate)
	for i, st := range s.Steps {
		fmt.Fprintf(&b, "%3d. %v\n", i+1, st)
	}
	return b.String()
}

// The steps of a script, with what their number means.
var stepNames = []string{
	"text from person",                // one of four
	"text from person",                // more often than the others
	"deliver again the text",          // counted from the newest
	"wait milliseconds x 100",         //
	"cut the connection",              //
	"cut before the result, executed", // of the next send; executed if odd
	"never answer, executed",          // the next send; executed if odd
	"refuse for now",                  // the next send
	"states overtake the result",      // of the next send
	"fail commits",                    // so many
	"lose the answer of commits",      // so many
	"kill and start again",            //
}

func drawScript(t *rapid.T) script {
	s := script{
		Echo: rapid.Bool().Draw(t, "echo"), Log: rapid.Bool().Draw(t, "log"), LogLags: rapid.Bool().Draw(t, "lags"), Redeliver: rapid.Bool().Draw(t, "redeliver"),
		Pure: rapid.Bool().Draw(t, "pure"), StatesLate: rapid.Bool().Draw(t, "late"),
	}
	s.Steps = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{what: rapid.SampledFrom(stepNames).Draw(t, "step"), n: rapid.IntRange(0, 7).Draw(t, "n")}
	}), 1, 40).Draw(t, "steps")
	return s
}

// stage is where a script is played: the simulated space, a store that outlives the
// daemon, and the daemon's present life.
type stage struct {
	script script
	space  *relaytest.Server
	store  *messagingtest.FaultyStore
	config func(*messaging.Config) // makes a wrong program, for the tests of the checks

	mu    sync.Mutex
	wrong []string
	last  map[messaging.Number]int64 // Seq of the newest event handled, by person

	texts  []*relaytest.Inbound
	froms  []string
	eng    *messaging.Engine
	client *relay.Client
	kill   func()
}

func (s *stage) fault(format string, args ...any) {
	s.mu.Lock()
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	s.mu.Unlock()
}

// HandleEvent answers with the id of what it answers, and checks the order.
func (s *stage) HandleEvent(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
	if ev.Kind != messaging.KindMessage {
		return nil
	}
	s.mu.Lock()
	if ev.Seq != 0 && ev.Seq < s.last[ev.From] {
		s.wrong = append(s.wrong, fmt.Sprintf("%s: event %d was handled after event %d", ev.From, ev.Seq, s.last[ev.From]))
	}
	s.last[ev.From] = max(s.last[ev.From], ev.Seq)
	s.mu.Unlock()
	w.Reply(ev.MessageID)
	return nil
}

// Outbound implements messaging.MessageLog from what the space executed.
func (s *stage) Outbound(_ context.Context, pairs []messaging.Conversation, after, before time.Time) ([]messaging.LogEntry, error) {
	if lag := time.Now().Add(-20 * time.Second); s.script.LogLags && lag.Before(before) {
		before = lag
	}
	var found []messaging.LogEntry
	for _, snd := range s.space.Sends() {
		pair := messaging.Conversation{Ours: messaging.Number(snd.From), Theirs: messaging.Number(snd.To)}
		if snd.Executed && slices.Contains(pairs, pair) && snd.Time.After(after) && snd.Time.Before(before) {
			found = append(found, messaging.LogEntry{Pair: pair, ID: "log-" + snd.MessageID, CreatedAt: snd.Time.Truncate(time.Second)})
		}
	}
	return found, nil
}

// live begins a life of the daemon.
func (s *stage) live() {
	log := slog.New(slog.DiscardHandler)
	client, err := relay.New(relay.Config{
		URL: s.space.URL(), Project: "project-1", Token: "token-1", Insecure: true, Contexts: []string{"support"},
		DialContext: s.space.DialContext, Logger: log,
	})
	if err != nil {
		panic(err)
	}
	cfg := messaging.Config{Logger: log, InDoubt: messaging.InDoubt{Wait: 5 * time.Second, Settle: 30 * time.Second, Release: time.Minute}}
	if s.script.Log {
		cfg.Log = s
	}
	if s.config != nil {
		s.config(&cfg)
	}
	var h messaging.Handler = s
	if s.script.Pure {
		h = instant{s.HandleEvent}
	}
	s.client, s.eng = client, messaging.NewEngine(s.store, h, client, cfg)
	session, hangUp := context.WithCancel(context.Background())
	work, die := context.WithCancel(context.Background())
	var over sync.WaitGroup
	eng := s.eng
	over.Go(func() { _ = client.Run(session, eng) }) // the end of a life is not its own
	over.Go(func() { _ = eng.Run(context.Background(), work) })
	s.kill = func() {
		die()
		for _, sess := range s.space.Sessions() {
			sess.Drop() // a dead process closes nothing in order
		}
		hangUp()
		over.Wait()
		if st := eng.Status(); st.Unaccounted != 0 {
			s.fault("at the end of a life: %d unaccounted", st.Unaccounted)
		}
	}
	synctest.Wait()
}

func (s *stage) play(st step) {
	next := func(o relaytest.Outcome) { s.space.NextSends(o) }
	executed := st.n%2 == 1
	switch st.what {
	case "text from person":
		from := fmt.Sprintf("+1202555010%d", st.n%4)
		in, err := s.space.Inject(relaytest.SMS{From: from, To: ours, Context: "support", Body: "hi"}, relaytest.All)
		if err != nil {
			s.fault("inject: %v", err)
			return
		}
		s.texts, s.froms = append(s.texts, in), append(s.froms, from)
	case "deliver again the text":
		if i := len(s.texts) - 1 - st.n; i >= 0 {
			_, err := s.space.Inject(relaytest.SMS{From: s.froms[i], To: ours, Context: "support", Body: "hi", ID: s.texts[i].MessageID}, relaytest.All)
			if err != nil {
				s.fault("inject: %v", err)
			}
		}
	case "wait milliseconds x 100":
		time.Sleep(time.Duration(st.n) * 100 * time.Millisecond)
	case "cut the connection":
		for _, sess := range s.space.Sessions() {
			sess.Drop()
		}
	case "cut before the result, executed":
		next(relaytest.Outcome{Reply: relaytest.Reply{Drop: true, Execute: executed}})
	case "never answer, executed":
		next(relaytest.Unanswered(executed))
	case "refuse for now":
		next(relaytest.Reject("503", "not now"))
	case "states overtake the result":
		next(relaytest.Outcome{StatesFirst: true})
	case "fail commits":
		s.store.FailNext(st.n, messaging.ErrUnavailable)
	case "lose the answer of commits":
		s.store.LoseNext(st.n, messaging.ErrUnavailable)
	case "kill and start again":
		s.kill()
		s.live()
	default:
		panic(st.what)
	}
	if st.n%3 == 0 { // now and then the next step comes before this one has had its effect
		return
	}
	synctest.Wait()
}

// check compares what the platform saw with what was promised.
func (s *stage) check() {
	times, inDoubt := map[string]int{}, map[string]bool{}
	for _, snd := range s.space.Sends() {
		if snd.Executed {
			times[snd.Body]++
		}
	}
	work, err := s.store.Load(context.Background(), messaging.Query{Now: time.Now(), Limit: 10_000, Doubts: true, Sends: true, Events: true})
	if err != nil {
		s.fault("load: %v", err)
		return
	}
	for _, d := range work.Doubts {
		inDoubt[d.Send.InReplyTo] = true
	}
	if n := s.eng.Status().InDoubt; n != len(work.Doubts) {
		s.fault("the daemon speaks of %d doubts, the journal of %d", n, len(work.Doubts))
	}
	if n := len(work.Sends) + len(work.Events); n > 0 {
		s.fault("%d sends and %d events are unfinished", len(work.Sends), len(work.Events))
	}
	for i, in := range s.texts {
		n, doubt := times[in.MessageID], inDoubt[in.MessageID]
		switch {
		case n > 1:
			s.fault("text %d was answered %d times", i+1, n)
		case n == 0 && in.Done() && !doubt:
			s.fault("text %d was acknowledged and never answered", i+1)
		case doubt && s.script.Log:
			s.fault("text %d is in doubt although the log can be read", i+1)
		case doubt && s.script.Echo && s.script.Redeliver && n == 1: // else its states may be lost too
			s.fault("text %d is in doubt although its tag came back", i+1)
		}
	}
	for _, v := range s.space.Violations() {
		s.fault("the platform saw a violation of its protocol: %v", v)
	}
}

// perform plays a script and returns what went wrong.
func perform(t *testing.T, sc script, config func(*messaging.Config)) (wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		delay := time.Millisecond
		if sc.StatesLate {
			delay = 3 * time.Second
		}
		faults := relaytest.Faults{HideTags: !sc.Echo}
		if sc.Redeliver {
			faults.Redelivery, faults.QueueUnsubscribed = relaytest.Redelivery{OnReconnect: true}, true
		}
		space := relaytest.NewServer(t, relaytest.InMemory, relaytest.WithConfig(relaytest.Config{InMemory: true, StateDelay: delay, Faults: faults}))
		s := &stage{script: sc, space: space, store: durable(), config: config, last: map[messaging.Number]int64{}}
		s.live()
		for _, st := range sc.Steps {
			s.play(st)
		}
		s.store.Heal()
		time.Sleep(20 * time.Minute) // retries, doubts and the log have their time
		synctest.Wait()
		s.check()
		s.kill()
		wrong = s.wrong
	})
	return wrong
}

func TestPromisesHoldOverRandomScripts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sc := drawScript(rt)
		if wrong := perform(t, sc, nil); len(wrong) > 0 {
			rt.Fatalf("%s\nin this script:\n%s", strings.Join(wrong, "\n"), sc)
		}
	})
}

// TestTheChecksFindWrongPrograms plays scripts that a wrong program cannot get right.
func TestTheChecksFindWrongPrograms(t *testing.T) {
	text, cut := step{"text from person", 1}, step{"cut before the result, executed", 1}
	for name, c := range map[string]struct {
		script script
		config func(*messaging.Config)
		want   string
	}{
		"resends without looking": {
			script{Steps: []step{cut, text}}, func(c *messaging.Config) { c.InDoubt.Resend = true }, "answered 2 times",
		},
		"reads no log": {
			script{Log: true, Steps: []step{cut, text}}, func(c *messaging.Config) { c.Log = nil }, "in doubt although the log",
		},
		"resends before the log is up to date": {
			script{Log: true, Steps: []step{cut, text}}, func(c *messaging.Config) { c.Log, c.InDoubt.Resend = nil, true }, "answered 2 times",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := perform(t, c.script, c.config)
			if !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, c.want) }) {
				t.Errorf("the checks say %q, want one with %q", wrong, c.want)
			}
			if wrong := perform(t, c.script, nil); len(wrong) > 0 {
				t.Errorf("the right program fails the same script: %q", wrong)
			}
		})
	}
}
