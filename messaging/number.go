package messaging

import "log/slog"

// Number is a telephone number as the platform writes it: E.164 with a leading plus, or a
// short code of five or six digits. It is personal data: printed by slog it is masked, and
// it belongs in no error text and no metric.
type Number string

// Masked keeps the leading plus with the first digit and the last two digits, which is
// enough to tell two conversations apart in a log and too little to call anybody.
func (n Number) Masked() string {
	const head, tail = 2, 2
	if len(n) <= head+tail {
		return "***"
	}
	return string(n[:head]) + "***" + string(n[len(n)-tail:])
}

// LogValue masks the number in every log record.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.Masked()) }

// Conversation is a pair of numbers. Inbounds of one conversation are handled in arrival
// order, one at a time; conversations never wait for each other.
type Conversation struct {
	Ours, Theirs Number
}

// LogValue masks both numbers.
func (c Conversation) LogValue() slog.Value {
	return slog.StringValue(c.Ours.Masked() + "/" + c.Theirs.Masked())
}
