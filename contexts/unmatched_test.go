package contexts_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/messaging"
)

func TestUnmatchedDropsAndWarnsOncePerName(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	r := contexts.NewRouter()
	r.Unmatched(contexts.DropUnmatched(slog.New(slog.NewTextHandler(&buf, nil))))
	for range 3 {
		for _, name := range []string{"billing", "press"} {
			err := r.HandleEvent(t.Context(), nil, message(name))
			if !messaging.IsDrop(err) || !strings.Contains(err.Error(), name) {
				t.Fatalf("unmatched message: got %v, want a Drop that names the context", err)
			}
		}
	}
	if got, want := strings.Count(buf.String(), "level=WARN"), 2; got != want {
		t.Errorf("warnings for two names: got %d, want %d in %s", got, want, &buf)
	}
	if strings.Contains(buf.String(), "body") {
		t.Errorf("the warning speaks of a body: %s", &buf)
	}
}

// Names come from the network: neither their number nor their length may cost without end.
func TestUnmatchedWarningsAreBounded(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	h := contexts.DropUnmatched(slog.New(slog.NewTextHandler(&buf, nil)))
	for i := range 1000 {
		name := fmt.Sprintf("%d-%s", i, strings.Repeat("x", 10_000))
		if err := h.HandleEvent(t.Context(), nil, message(name)); len(err.Error()) > 400 {
			t.Fatalf("error of a long name: got %d bytes, want it cut", len(err.Error()))
		}
	}
	if got, want := strings.Count(buf.String(), "\n"), 100; got != want {
		t.Errorf("warnings for 1000 names: got %d, want %d", got, want)
	}
	if got, limit := buf.Len(), 50_000; got > limit {
		t.Errorf("log size: got %d bytes, want at most %d", got, limit)
	}
	if got, want := strings.Count(buf.String(), "last_warning=true"), 1; got != want {
		t.Errorf("last warnings: got %d, want %d", got, want)
	}
}

func TestUnmatchedUsesTheDefaultLoggerOfTheMoment(t *testing.T) {
	old := slog.Default()
	t.Cleanup(func() { slog.SetDefault(old) })
	r := contexts.NewRouter() // before the default is set
	var buf bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
	if err := r.HandleEvent(t.Context(), nil, message("billing")); !messaging.IsDrop(err) {
		t.Fatalf("unmatched message: got %v, want a Drop", err)
	}
	if !strings.Contains(buf.String(), "context=billing") {
		t.Errorf("default logger: got %q, want the context named", &buf)
	}
}
