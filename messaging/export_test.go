package messaging

import (
	"context"
	"time"
)

// StandingOf reads a ledger as an engine does and gives the gate's question about consent.
func StandingOf(ctx context.Context, l ConsentLedger) (func(time.Time, *Send) Verdict, error) {
	s := &standings{}
	for {
		page, err := l.Consents(ctx, s.cursor, consentPage)
		if err != nil {
			return nil, err
		}
		for _, st := range page {
			s.apply(st)
			s.cursor = st.Seq
		}
		if len(page) < consentPage {
			return s.verdict, nil
		}
	}
}
