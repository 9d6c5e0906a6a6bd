package relay

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a credential. Every way of printing it, logging it or encoding it
// yields "[redacted]"; only Reveal returns what it holds. The zero value is an
// absent secret, and prints the same, so that a log does not tell which of the
// two it was. (One way remains: encoding/json writes the keys of a map as they
// are. A secret is a value, never a key.)
type Secret string

// Reveal returns the secret itself. Whoever calls it must not log the result,
// put it into an error or write it anywhere but into the frame it is for.
func (s Secret) Reveal() string { return string(s) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (s Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb. Without it a wrong verb, such as
// %d, would print the value as part of fmt's own complaint.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]", and so does every encoder that honours it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns the JSON string "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML returns "[redacted]".
func (s Secret) MarshalYAML() (any, error) { return redacted, nil }
