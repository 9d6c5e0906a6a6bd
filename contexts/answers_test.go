package contexts_test

import (
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
)

// runs gives an event to a chain and returns what ran.
func (tr *trace) runs(t *testing.T, h messaging.Handler, ev *messaging.Event) string {
	t.Helper()
	tr.steps = nil
	if h == nil {
		return "nothing"
	}
	if err := h.HandleEvent(t.Context(), nil, ev); err != nil {
		t.Fatalf("HandleEvent: %v", err)
	}
	return strings.Join(tr.steps, " ")
}

func TestAnswersAndPaused(t *testing.T) {
	t.Parallel()
	var tr trace
	r := contexts.NewRouter()
	r.Use(tr.mw("a"))
	r.Answer("date", tr.h("any date"))
	r.Paused(tr.h("anybody"))
	r.Context("support", func(r *contexts.Router) {
		r.Use(tr.mw("c"))
		r.OnMessage(tr.h("support"))
		r.Answer("date", tr.h("date"))
		r.Answer("size", tr.h("size"))
		r.Paused(tr.h("desk"))
	})
	r.Context("sales", func(r *contexts.Router) { r.OnMessage(tr.h("sales")) })
	for _, tt := range []struct{ context, name, answer, paused string }{
		{"support", "date", "a c date", "a c desk"},
		{"support", "size", "a c size", "a c desk"},
		{"support", "none", "nothing", "a c desk"},
		{"sales", "date", "a any date", "a anybody"},
		{"sales", "size", "nothing", "a anybody"},
		{"stray", "date", "a any date", "a anybody"},
	} {
		ev := message(tt.context)
		if got := tr.runs(t, r.AnswerFor(ev, tt.name), ev); got != tt.answer {
			t.Errorf("answer to %s in %s: %s ran, want %s", tt.name, tt.context, got, tt.answer)
		}
		if got := tr.runs(t, r.PausedFor(ev), ev); got != tt.paused {
			t.Errorf("paused in %s: %s ran, want %s", tt.context, got, tt.paused)
		}
	}
	if got := tr.runs(t, contexts.NewRouter().PausedFor(message("support")), message("support")); got != "nothing" {
		t.Errorf("paused without a handler: %s ran", got)
	}
}

func TestAnswersWrongWiring(t *testing.T) {
	t.Parallel()
	var tr trace
	h := tr.h("x")
	for name, tt := range map[string]struct {
		wire func(r *contexts.Router)
		want string
	}{
		"nil answer":    {func(r *contexts.Router) { r.Answer("x", nil) }, "nil handler"},
		"empty name":    {func(r *contexts.Router) { r.Answer("", h) }, "empty name"},
		"answer twice":  {func(r *contexts.Router) { r.Answer("x", h); r.Answer("x", h) }, `"x"`},
		"nil paused":    {func(r *contexts.Router) { r.Paused(nil) }, "nil handler"},
		"paused twice":  {func(r *contexts.Router) { r.Paused(h); r.Paused(h) }, "two Paused"},
		"use after it":  {func(r *contexts.Router) { r.Answer("x", h); r.Use(tr.mw("m")) }, "must come before Answer"},
		"after serving": {func(r *contexts.Router) { r.PausedFor(message("x")); r.Paused(h) }, "after the first event"},
	} {
		func() {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, tt.want) {
					t.Errorf("%s: the panic says %q, want %q in it", name, got, tt.want)
				}
			}()
			tt.wire(contexts.NewRouter())
			t.Errorf("%s: no panic", name)
		}()
	}
}
