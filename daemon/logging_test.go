package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLogMasksSecretsAndNumbersInForeignText(t *testing.T) {
	t.Parallel()
	const token, number = "PTcanary0123456789", "+12025550147"
	var out bytes.Buffer
	log := slog.New(newMaskingHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}), token, ""))
	foreign := fmt.Errorf("the platform said %q", "no "+token+" for "+number)
	log.Debug("a message with "+token,
		"text", "call "+number,
		"err", errors.Join(foreign),
		"list", []string{number, token},
		"struct", struct{ To string }{number},
		slog.Group("group", "inner", token))
	log.With("to", number).WithGroup("g").Info("bound", "token", token)
	got := out.String()
	for _, secret := range []string{token, number} {
		if strings.Contains(got, secret) {
			t.Errorf("log holds %q:\n%s", secret, got)
		}
	}
	for _, want := range []string{"[redacted]", "47", `"struct"`, `"g":{"token"`} {
		if !strings.Contains(got, want) {
			t.Errorf("log lacks %q:\n%s", want, got)
		}
	}
}

func TestLogKeepsWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(newMaskingHandler(slog.NewJSONHandler(&out, nil), "", "abc"))
	log.Info("abc+1 is a sum", "at", "2026-11-24T06:00:00+0100", "n", 12025550147, "err", error(nil), "delay", 1500*time.Millisecond)
	if got := out.String(); !strings.Contains(got, "abc+1 is a sum") || !strings.Contains(got, "+0100") ||
		!strings.Contains(got, `"n":12025550147`) || !strings.Contains(got, `"err":null`) || !strings.Contains(got, `"delay":"1.5s"`) {
		t.Errorf("masked too much: %s", got)
	}
}
