package messagingtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/relay"
)

// ConsentPlay says how [PlayConsent] plays.
type ConsentPlay struct {
	// Open gives each replica its store; all of them are the same journal. It is called
	// again for a replica that starts anew.
	Open     func(t *testing.T) messaging.Store
	Replicas int
	Scripts  int
	Seed     uint64
	// Settle waits until nothing moves; synctest.Wait in a bubble.
	Settle func()
	// Pause lets time pass, at most so much; time.Sleep in a bubble.
	Pause func(time.Duration)
	// Within is how long after the commit of a stop another replica may still begin to send
	// what it had claimed before. With one replica it is not used: nothing may.
	Within time.Duration
}

// PlayConsent plays random scripts of stops, starts, sends, restarts and slow commits, and
// checks what leaves against what the ledger said at that moment: after a stop nothing but
// its one confirmation and answers to HELP, until a start. What crosses a stop of another
// replica in time is marked in the ledger. It returns how many frames it has judged.
func PlayConsent(t *testing.T, p ConsentPlay) (frames int) {
	t.Helper()
	w := &play{ConsentPlay: p, t: t, rnd: rand.New(rand.NewPCG(p.Seed, 1)), people: map[messaging.Number]*judged{}, stops: map[string]bool{}}
	for range p.Replicas {
		r := &replica{play: w}
		w.replicas = append(w.replicas, r)
		r.start()
	}
	for n := range p.Scripts {
		w.script(n)
		if t.Failed() {
			break
		}
	}
	for _, r := range w.replicas {
		r.release()
	}
	p.Settle()
	p.Pause(2 * time.Second)
	p.Settle()
	for _, r := range w.replicas {
		r.stop()
	}
	w.marks()
	return w.frames
}

// play is a stage with its judge.
type play struct {
	ConsentPlay
	t        *testing.T
	rnd      *rand.Rand
	replicas []*replica
	number   int

	mu       sync.Mutex
	people   map[messaging.Number]*judged
	frames   int
	crossing map[uuid.UUID]messaging.Number // attempts that began to leave after a stop
	given    []given
	stops    map[string]bool // by event: false once known to a replica, true once written
	tale     []string
}

// judged is a person as the judge sees them.
type judged struct {
	out      bool
	since    time.Time // of the last change's commit
	seq      int64     // of its line
	decoded  int       // stops that are known to a replica and not written
	written  int       // stops that changed something
	confirms int       // of them that may still be confirmed
}

const (
	playOurs = "+12025550100"
	bodyHelp = "for help, reply here"
)

func (w *play) tell(format string, args ...any) {
	if w.tale = append(w.tale, fmt.Sprintf(format, args...)); len(w.tale) > 80 {
		w.tale = slices.Clone(w.tale[40:])
	}
}

// person is a judged number; the caller holds the lock.
func (w *play) person(n messaging.Number) *judged {
	j := w.people[n]
	if j == nil {
		j = &judged{}
		w.people[n] = j
	}
	return j
}

// left judges a frame at the moment at which it is handed to the wire.
func (w *play) left(r *replica, attempt uuid.UUID, to messaging.Number, body string) {
	// Another replica may have written a start that its witness has not told of yet.
	startedElsewhere := w.Replicas > 1 && !r.optedOut(to)
	stopsElsewhere := 0
	if w.Replicas > 1 {
		stopsElsewhere = r.stopsOf(to)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames++
	w.tell("%s is sent %.12q", to, body)
	j := w.person(to)
	words := consent.Wording("", "", consent.English)
	switch {
	case body == words.Stop:
		if j.confirms--; j.confirms < 0 && j.written-j.confirms > stopsElsewhere {
			w.fault("%s is sent a confirmation too many", to)
		}
		return
	case strings.Contains(body, bodyHelp):
		return
	case w.Replicas == 1 && j.decoded > 0 && body != words.Start:
		w.fault("%s said stop, which is being written, and %.12q leaves", to, body)
	case !j.out || startedElsewhere:
	case w.Replicas == 1:
		w.fault("%s opted out, and %.12q leaves", to, body)
	case time.Since(j.since) > w.Within:
		w.fault("%s opted out %v ago, and %.12q leaves", to, time.Since(j.since), body)
	default:
		if w.crossing == nil {
			w.crossing = map[uuid.UUID]messaging.Number{}
		}
		w.crossing[attempt] = to
	}
}

func (w *play) fault(format string, args ...any) {
	w.t.Errorf("seed %d: "+format+"; before that:\n%s", append(append([]any{w.Seed}, args...), strings.Join(w.tale, "\n"))...)
}

// marks checks that the ledger names what crossed a stop.
func (w *play) marks() {
	if len(w.crossing) == 0 {
		return
	}
	store := w.Open(w.t)
	defer store.Close()
	for attempt, to := range w.crossing {
		entries, err := store.(messaging.ConsentLedger).Entries(context.Background(), messaging.LedgerQuery{Number: to})
		if err != nil {
			w.t.Fatal(err)
		}
		if !slices.ContainsFunc(entries, func(e messaging.ConsentEntry) bool { return slices.Contains(e.Crossing, attempt) }) {
			w.t.Errorf("an attempt at %s crossed a stop, and the ledger does not mark it:\n%s", to, crossingOf(store, attempt, entries))
		}
	}
	w.t.Logf("%d sends crossed a stop in time, all marked", len(w.crossing))
}

// crossingOf tells of an attempt and the ledger's lines about its recipient.
func crossingOf(store messaging.Store, attempt uuid.UUID, entries []messaging.ConsentEntry) string {
	var b strings.Builder
	if a, ok := store.(messaging.Archive); ok {
		if life, err := a.Life(context.Background(), attempt.String()); err == nil {
			for _, s := range life.Sends {
				fmt.Fprintf(&b, "%.12q, %s, made %v, attempts:\n", s.Send.Body, s.Status, s.Send.CreatedAt)
				for _, a := range s.Attempts {
					fmt.Fprintf(&b, "  %v claimed %v, %s %s\n", a.Attempt.ID, a.Attempt.ClaimedAt, a.Outcome, a.Reason)
				}
			}
		}
	}
	for _, e := range entries {
		fmt.Fprintf(&b, "line %d, %v: %s, changed %v, crossing %v\n", e.Seq, e.At, e.Verb, e.Changed, e.Crossing)
	}
	return b.String()
}

// script plays one script with people of its own.
func (w *play) script(n int) {
	people := make([]messaging.Number, 1+w.rnd.IntN(2))
	for i := range people {
		w.number++
		people[i] = messaging.Number(fmt.Sprintf("+1%010d", 3020000000+w.number))
	}
	for range 4 + w.rnd.IntN(12) {
		who, r := people[w.rnd.IntN(len(people))], w.replicas[w.rnd.IntN(len(w.replicas))]
		switch w.rnd.IntN(12) {
		case 0, 1:
			r.hears(who, [...]string{"STOP", "please stop texting", "Unsubscribe."}[w.rnd.IntN(3)])
		case 2:
			r.hears(who, "start")
		case 3:
			r.hears(who, "help")
		case 4, 5:
			r.hears(who, "hello")
		case 6, 7:
			r.sends(who)
		case 8:
			r.holds()
		case 9:
			r.release()
		case 10:
			w.settle()
		default:
			w.Pause(time.Duration(w.rnd.IntN(400)) * time.Millisecond)
		}
	}
	r := w.replicas[w.rnd.IntN(len(w.replicas))]
	switch w.rnd.IntN(8) {
	case 0:
		r.stop()
		r.start()
	case 1, 2, 3:
		for _, r := range w.replicas {
			r.release()
		}
		w.settle()
	}
}

// replica is one engine, its session and its view of the journal.
type replica struct {
	play  *play
	eng   *messaging.Engine
	store *FaultyStore
	end   func()
	free  func()
	life  int
}

func (r *replica) start() {
	r.life++
	inner := r.play.Open(r.play.t)
	r.store = Faulty(inner)
	traits := inner.Traits()
	traits.Blocking, traits.Durable = true, true
	r.store.SetTraits(traits)
	r.free = func() {}
	eng := messaging.NewEngine(witness{r.store, r}, playEcho{}, playLink{r, r.life}, messaging.Config{
		Logger: slog.New(slog.DiscardHandler), InDoubt: messaging.InDoubt{Wait: time.Second, Release: time.Second},
	})
	work, die := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = eng.Run(context.Background(), work) // how a life ends is not what is judged
	}()
	eng.HandleState(relay.StateSubscribed)
	r.eng = eng
	r.end = func() {
		r.free()
		die()
		<-over
		_ = inner.Close()
	}
}

// stop ends a life at once: what is not committed is lost, and stops in it with it.
func (r *replica) stop() {
	r.end()
	w := r.play
	w.mu.Lock()
	defer w.mu.Unlock()
	w.given = nil
	for _, j := range w.people {
		j.decoded = 0
	}
}

// optedOut asks the journal itself.
func (r *replica) optedOut(n messaging.Number) bool {
	states, err := r.store.ConsentOf(context.Background(), n)
	return err != nil || slices.ContainsFunc(states, func(s messaging.ConsentState) bool { return s.OptedOut })
}

// stopsOf counts the stops that changed something, as the journal has them.
func (r *replica) stopsOf(n messaging.Number) (stops int) {
	entries, _ := r.store.Entries(context.Background(), messaging.LedgerQuery{Number: n}) // none is fewer: it shows
	for _, e := range entries {
		if e.Changed && e.Verb == messaging.ConsentStop {
			stops++
		}
	}
	return stops
}

func (r *replica) holds()   { r.free(); r.free = r.store.Hold() }
func (r *replica) release() { r.free(); r.free = func() {} }

// hears gives a text to the replica.
func (r *replica) hears(from messaging.Number, text string) {
	w := r.play
	w.number++
	id := fmt.Sprint("t", w.number)
	params := fmt.Sprintf(`{"message_id":%q,"context":"support","from_number":%q,"to_number":%q,"body":%q}`, id, from, playOurs, text)
	r.eng.HandleEvent(&relay.Event{
		Type: "messaging.receive", Received: time.Now(),
		Frame: []byte(`{"jsonrpc":"2.0","method":"signalwire.event","params":{"event_type":"messaging.receive","params":` + params + `}}`),
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell("%s says %q", from, text)
	if consent.Classify(text, consent.State{}).Kind == consent.Stop {
		w.given = append(w.given, given{id, from})
	}
}

// given is a stop that a replica has been given.
type given struct {
	id   string
	from messaging.Number
}

// settle waits until nothing moves. From then on a stop that was given to a replica is known
// there: what the gate let pass before has left.
func (w *play) settle() {
	w.Settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.given {
		if !w.stops[g.id] {
			w.stops[g.id] = false
			w.person(g.from).decoded++
		}
	}
	w.given = nil
}

// sends asks the replica to send something that nobody asked for.
func (r *replica) sends(to messaging.Number) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it is not waited for
	_, _ = r.eng.Enqueue(ctx, messaging.Send{From: playOurs, To: to, Context: "support", Body: "offer"})
}

// witness tells the judge what the journal holds, before anybody acts on it.
type witness struct {
	*FaultyStore
	r *replica
}

func (s witness) Commit(ctx context.Context, b *messaging.Batch) error {
	err := s.FaultyStore.Commit(ctx, b)
	if err != nil {
		return err
	}
	w := s.r.play
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range b.Appends {
		for _, c := range a.Consents {
			j := w.person(c.Number)
			if c.Verb == messaging.ConsentStop {
				if written, known := w.stops[a.Event.ID]; known && !written && j.decoded > 0 {
					j.decoded--
				}
				w.stops[a.Event.ID] = true
			}
			if !c.Changed {
				continue
			}
			w.tell("%s: %s is written", c.Number, c.Verb)
			if c.State.OptedOut {
				j.written++
				j.confirms++
			}
			if c.State.Seq > j.seq { // another replica's commit may be heard of too late
				j.out, j.seq, j.since = c.State.OptedOut, c.State.Seq, time.Now()
			}
		}
	}
	return nil
}

// playLink is a wire whose other end accepts everything.
type playLink struct {
	r    *replica
	life int
}

func (l playLink) Go(id uuid.UUID, _ string, params []byte, done func(relay.Answer)) {
	var f struct {
		To   messaging.Number `json:"to_number"`
		Body string           `json:"body"`
	}
	if err := json.Unmarshal(params, &f); err != nil {
		panic(err)
	}
	l.r.play.left(l.r, id, f.To, f.Body)
	done(relay.Answer{Code: "200", Result: json.RawMessage(`{"code":"200","message_id":"m-` + id.String() + `"}`)})
}

func (playLink) Probe()       {}
func (playLink) Pause(string) {}
func (playLink) Resume()      {}

// playEcho answers every text.
type playEcho struct{}

func (playEcho) HandleEvent(_ context.Context, w messaging.Responder, ev *messaging.Event) error {
	if ev.Kind == messaging.KindMessage && ev.Body != "help" {
		w.Reply("re: " + ev.Body)
	}
	return nil
}
