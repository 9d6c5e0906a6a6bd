package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"golang.org/x/term"

	"github.com/signpost-sms/signpost/messaging"
)

// newLogHandler writes records to w; LogAuto is text for a person at a terminal and JSON for
// a machine.
func newLogHandler(w io.Writer, format LogFormat, level slog.Leveler) slog.Handler {
	opts := &slog.HandlerOptions{Level: level}
	if format == LogText || format != LogJSON && isTerminal(w) {
		return slog.NewTextHandler(w, opts)
	}
	return slog.NewJSONHandler(w, opts)
}

// isTerminal reports whether v is a file that a person is at the other end of.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// maskingHandler is the last line of defence of what must never be logged. The packages
// below log numbers as messaging.Number and secrets as relay.Secret, which mask themselves;
// this also catches what arrives inside foreign text, such as an error of the platform, a
// database or an operating system that quotes its input.
type maskingHandler struct {
	next    slog.Handler
	secrets *strings.Replacer
}

// minSecret is the length from which a secret is replaced wherever it occurs. Shorter ones
// would tear ordinary words apart, and are no secrets.
const minSecret = 6

func newMaskingHandler(next slog.Handler, secrets ...string) *maskingHandler {
	var pairs []string
	for _, s := range secrets {
		if len(s) >= minSecret {
			pairs = append(pairs, s, "[redacted]")
		}
	}
	return &maskingHandler{next: next, secrets: strings.NewReplacer(pairs...)}
}

// e164 finds phone numbers in running text: a plus and 8 to 15 digits.
var e164 = regexp.MustCompile(`\+[1-9][0-9]{7,14}`)

func (h *maskingHandler) mask(s string) string {
	s = h.secrets.Replace(s)
	if strings.IndexByte(s, '+') < 0 {
		return s
	}
	return e164.ReplaceAllStringFunc(s, func(n string) string { return messaging.Number(n).Masked() })
}

func (h *maskingHandler) maskAttr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.mask(v.String()))
	case slog.KindDuration:
		return slog.String(a.Key, v.Duration().String()) // JSON would say nanoseconds
	case slog.KindGroup:
		attrs := v.Group()
		masked := make([]slog.Attr, len(attrs))
		for i, m := range attrs {
			masked[i] = h.maskAttr(m)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(masked...)}
	case slog.KindAny:
		// An error prints its text; anything else would print its fields, and nobody has
		// looked at those.
		switch x := v.Any().(type) {
		case nil:
		case error:
			return slog.String(a.Key, h.mask(x.Error()))
		case []string:
			masked := make([]string, len(x))
			for i, s := range x {
				masked[i] = h.mask(s)
			}
			return slog.Any(a.Key, masked)
		default:
			return slog.String(a.Key, h.mask(slog.AnyValue(x).String()))
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}

func (h *maskingHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *maskingHandler) Handle(ctx context.Context, r slog.Record) error {
	masked := slog.NewRecord(r.Time, r.Level, h.mask(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		masked.AddAttrs(h.maskAttr(a))
		return true
	})
	return h.next.Handle(ctx, masked)
}

func (h *maskingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	masked := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		masked[i] = h.maskAttr(a)
	}
	return &maskingHandler{next: h.next.WithAttrs(masked), secrets: h.secrets}
}

func (h *maskingHandler) WithGroup(name string) slog.Handler {
	return &maskingHandler{next: h.next.WithGroup(name), secrets: h.secrets}
}
