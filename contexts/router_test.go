package contexts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
)

// trace collects which middleware and handlers ran, in order.
type trace struct{ steps []string }

func (tr *trace) mw(name string) messaging.Middleware {
	return func(next messaging.Handler) messaging.Handler {
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			tr.steps = append(tr.steps, name)
			return next.HandleEvent(ctx, w, ev)
		})
	}
}

func (tr *trace) h(name string) messaging.Handler {
	return messaging.HandlerFunc(func(context.Context, messaging.Responder, *messaging.Event) error {
		tr.steps = append(tr.steps, name)
		return nil
	})
}

// run gives the router one event and returns what ran.
func (tr *trace) run(t *testing.T, r *contexts.Router, ev *messaging.Event) string {
	t.Helper()
	tr.steps = nil
	if err := r.HandleEvent(t.Context(), nil, ev); err != nil {
		t.Fatalf("HandleEvent: %v", err)
	}
	return strings.Join(tr.steps, " ")
}

func message(name string) *messaging.Event {
	return &messaging.Event{ID: "m1", Kind: messaging.KindMessage, Context: name, Body: "hi"}
}

func state(name string, s messaging.State) *messaging.Event {
	return &messaging.Event{ID: "m1/" + string(s), Kind: messaging.KindState, Context: name, State: s}
}

func TestRouting(t *testing.T) {
	t.Parallel()
	var tr trace
	r := contexts.NewRouter()
	r.Use(tr.mw("a"), tr.mw("b"))
	r.Unmatched(tr.h("stray"))
	r.Context("support", func(r *contexts.Router) {
		r.Use(tr.mw("c"))
		r.OnMessage(tr.h("support"))
		r.OnState(tr.h("bad"), messaging.StateFailed, messaging.StateUndelivered)
		r.OnState(tr.h("any"))
	})
	r.With(tr.mw("w")).Context("sales", func(r *contexts.Router) {
		r.Use(tr.mw("s"))
		r.With(tr.mw("x"), tr.mw("y")).OnMessage(tr.h("sales"))
		r.OnState(tr.h("good"), messaging.StateDelivered)
	})
	r.Context("quiet", func(r *contexts.Router) { r.Use(tr.mw("q")) })

	for _, tt := range []struct {
		name string
		ev   *messaging.Event
		want string
	}{
		{"own middleware inside the inherited", message("support"), "a b c support"},
		{"With is reachable through its parent", message("sales"), "a b w s x y sales"},
		{"With adds to nothing but itself", state("sales", messaging.StateDelivered), "a b w s good"},
		{"named state", state("support", messaging.StateUndelivered), "a b c bad"},
		{"other state", state("support", messaging.StateSent), "a b c any"},
		{"state nobody listens to", state("sales", messaging.StateFailed), ""},
		{"state of an unknown context", state("billing", messaging.StateFailed), ""},
		{"unknown context", message("billing"), "a b stray"},
		{"names are case-sensitive", message("Support"), "a b stray"},
		{"context without a message handler", message("quiet"), "a b q stray"},
	} {
		if got := tr.run(t, r, tt.ev); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if got, want := r.HandlerFor(tt.ev) == nil, tt.want == ""; got != want {
			t.Errorf("%s: HandlerFor is nil: got %v, want %v", tt.name, got, want)
		}
	}
}

func TestEveryDerivedRouterServesTheWholeTable(t *testing.T) {
	t.Parallel()
	var tr trace
	r := contexts.NewRouter()
	with := r.With(tr.mw("w"))
	r.Context("a", func(r *contexts.Router) { r.OnMessage(tr.h("a")) })
	with.Context("b", func(r *contexts.Router) { r.OnMessage(tr.h("b")) })
	for router, name := range map[*contexts.Router]string{r: "root", with: "with"} {
		if got, want := tr.run(t, router, message("a")), "a"; got != want {
			t.Errorf("context a through %s: got %q, want %q", name, got, want)
		}
		if got, want := tr.run(t, router, message("b")), "w b"; got != want {
			t.Errorf("context b through %s: got %q, want %q", name, got, want)
		}
	}
}

// Middleware that only one branch was given must not leak into a sibling through a shared
// backing array.
func TestWithDoesNotShareItsMiddlewareWithSiblings(t *testing.T) {
	t.Parallel()
	var tr trace
	r := contexts.NewRouter()
	for _, name := range []string{"1", "2", "3"} {
		r.Use(tr.mw(name))
	}
	x, y := r.With(tr.mw("x")), r.With(tr.mw("y"))
	x.Context("x", func(r *contexts.Router) { r.Use(tr.mw("xx")); r.OnMessage(tr.h("hx")) })
	y.Context("y", func(r *contexts.Router) { r.Use(tr.mw("yy")); r.OnMessage(tr.h("hy")) })
	if got, want := tr.run(t, r, message("x")), "1 2 3 x xx hx"; got != want {
		t.Errorf("x: got %q, want %q", got, want)
	}
	if got, want := tr.run(t, r, message("y")), "1 2 3 y yy hy"; got != want {
		t.Errorf("y: got %q, want %q", got, want)
	}
}

func TestWrongWiringPanics(t *testing.T) {
	t.Parallel()
	h := (&trace{}).h("h")
	mw := (&trace{}).mw("m")
	in := func(fn func(r *contexts.Router)) func(r *contexts.Router) {
		return func(r *contexts.Router) { r.Context("support", fn) }
	}
	for _, tt := range []struct {
		name string
		wire func(r *contexts.Router)
		want string // part of the sentence
	}{
		{"Use after Context", func(r *contexts.Router) { in(func(*contexts.Router) {})(r); r.Use(mw) }, `Use must come before Context("support")`},
		{"Use of the outer router inside Context", func(r *contexts.Router) { in(func(*contexts.Router) { r.Use(mw) })(r) }, "Use must come before"},
		{"Use after OnMessage", in(func(r *contexts.Router) { r.OnMessage(h); r.Use(mw) }), `Use must come before OnMessage of context "support"`},
		{"Use after OnState", in(func(r *contexts.Router) { r.OnState(h); r.Use(mw) }), "Use must come before OnState"},
		{"Use after With", func(r *contexts.Router) { r.With(mw); r.Use(mw) }, "Use must come before With"},
		{"context twice", func(r *contexts.Router) { in(func(*contexts.Router) {})(r); in(func(*contexts.Router) {})(r) }, `"support" is registered twice`},
		{"context twice through With", func(r *contexts.Router) { in(func(*contexts.Router) {})(r); in(func(*contexts.Router) {})(r.With(mw)) }, `"support" is registered twice`},
		{"nested context", in(func(r *contexts.Router) { r.Context("sub", func(*contexts.Router) {}) }), "do not nest"},
		{"context without a name", func(r *contexts.Router) { r.Context("", func(*contexts.Router) {}) }, "needs a name"},
		{"context without a function", func(r *contexts.Router) { r.Context("x", nil) }, "nil function"},
		{"OnMessage outside", func(r *contexts.Router) { r.OnMessage(h) }, "OnMessage is outside of a context"},
		{"OnState outside", func(r *contexts.Router) { r.With(mw).OnState(h) }, "OnState is outside of a context"},
		{"OnMessage twice", in(func(r *contexts.Router) { r.OnMessage(h); r.With(mw).OnMessage(h) }), "two OnMessage"},
		{"OnState twice for all", in(func(r *contexts.Router) { r.OnState(h); r.OnState(h) }), "two OnState without a state"},
		{"OnState twice for one", in(func(r *contexts.Router) { r.OnState(h, "sent", "failed"); r.OnState(h, "failed") }), `two OnState for "failed"`},
		{"nil handler", in(func(r *contexts.Router) { r.OnMessage(nil) }), "nil handler"},
		{"nil middleware", func(r *contexts.Router) { r.Use(mw, nil) }, "middleware 2 of 2 is nil"},
		{"nil middleware in With", func(r *contexts.Router) { r.With(nil) }, "middleware 1 of 1 is nil"},
		{"middleware that returns nil", in(func(r *contexts.Router) {
			r.Use(func(messaging.Handler) messaging.Handler { return nil })
			r.OnMessage(h)
		}), "middleware 1 returned a nil handler"},
		{"Unmatched inside", in(func(r *contexts.Router) { r.Unmatched(h) }), "Unmatched is inside context"},
		{"Unmatched twice", func(r *contexts.Router) { r.Unmatched(h); r.Unmatched(h) }, "set twice"},
		{"Unmatched nil", func(r *contexts.Router) { r.Unmatched(nil) }, "nil handler"},
		{"Context while serving", func(r *contexts.Router) { r.HandlerFor(message("x")); in(func(*contexts.Router) {})(r) }, "after the first event"},
		{"Use while serving", func(r *contexts.Router) { r.HandlerFor(message("x")); r.Use(mw) }, "after the first event"},
		{"OnMessage while serving", in(func(r *contexts.Router) { r.HandlerFor(message("x")); r.OnMessage(h) }), "after the first event"},
	} {
		got := func() (got any) {
			defer func() { got = recover() }()
			tt.wire(contexts.NewRouter())
			return nil
		}()
		if s, ok := got.(string); !ok || !strings.Contains(s, tt.want) || !strings.HasPrefix(s, "contexts: ") {
			t.Errorf("%s: got panic %v, want one about %q", tt.name, got, tt.want)
		}
	}
}

func TestNamesAndWalk(t *testing.T) {
	t.Parallel()
	var tr trace
	r := contexts.NewRouter()
	if got := r.Names(); len(got) != 0 {
		t.Errorf("names of an empty router: got %q, want none", got)
	}
	r.Use(tr.mw("a"))
	r.Context("support", func(r *contexts.Router) {
		r.Use(tr.mw("b"))
		r.OnState(tr.h("bad"), messaging.StateFailed)
		r.OnMessage(tr.h("m"))
	})
	r.Context("billing", func(*contexts.Router) {})
	r.Context("sales", func(r *contexts.Router) { r.OnMessage(tr.h("s")) })

	if got, want := r.Names(), []string{"billing", "sales", "support"}; !slices.Equal(got, want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
	var got []string
	var routes contexts.Routes = r
	err := routes.Walk(func(rt contexts.Route) error {
		got = append(got, fmt.Sprintf("%s %s %s %d", rt.Context, rt.Kind, rt.States, len(rt.Middleware)))
		tr.steps = nil
		if err := rt.Chain.HandleEvent(t.Context(), nil, message(rt.Context)); err != nil {
			return err
		}
		if n := len(tr.steps) - 1; n != len(rt.Middleware) {
			t.Errorf("%s: chain passes %d middleware, the route says %d", rt.Context, n, len(rt.Middleware))
		}
		return nil
	})
	want := []string{"sales message [] 1", "support state [failed] 2", "support message [] 2"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("walk: got %q, %v, want %q", got, err, want)
	}
	stop := errors.New("stop")
	visits := 0
	if err := r.Walk(func(contexts.Route) error { visits++; return stop }); !errors.Is(err, stop) || visits != 1 {
		t.Errorf("walk with an error: got %v after %d visits, want stop after 1", err, visits)
	}
}

// A router that is asked by many goroutines at once freezes once; the race detector judges.
func TestConcurrentFirstUse(t *testing.T) {
	t.Parallel()
	r := contexts.NewRouter()
	r.Context("support", func(r *contexts.Router) { r.OnMessage((&trace{}).mw("m")(nil)) })
	var wg sync.WaitGroup
	handlers := make([]messaging.Handler, 8)
	for i := range handlers {
		wg.Go(func() {
			r.Names()
			handlers[i] = r.HandlerFor(message("support"))
		})
	}
	wg.Wait()
	for i, h := range handlers {
		if h == nil {
			t.Errorf("goroutine %d: got no handler", i)
		}
	}
}

func TestHandlerForDoesNotAllocate(t *testing.T) {
	r := contexts.NewRouter()
	r.Context("support", func(r *contexts.Router) {
		r.OnMessage((&trace{}).h("h"))
		r.OnState((&trace{}).h("h"), messaging.StateFailed)
	})
	for _, ev := range []*messaging.Event{message("support"), message("other"), state("support", messaging.StateFailed)} {
		if got := testing.AllocsPerRun(100, func() { r.HandlerFor(ev) }); got != 0 {
			t.Errorf("%s in %s: got %v allocations, want 0", ev.Kind, ev.Context, got)
		}
	}
}

func BenchmarkHandlerFor(b *testing.B) {
	r := contexts.NewRouter()
	for _, name := range []string{"support", "sales", "billing"} {
		r.Context(name, func(r *contexts.Router) { r.OnMessage((&trace{}).h("h")) })
	}
	ev := message("sales")
	b.ReportAllocs()
	for b.Loop() {
		if r.HandlerFor(ev) == nil {
			b.Fatal("no handler")
		}
	}
}
