package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/otp"
)

// Codes issue and check one-time codes. *otp.Codes implements it.
type Codes interface {
	Issue(ctx context.Context, r otp.Request) (otp.Issued, error)
	Check(ctx context.Context, a otp.Answer) error
}

// VerifyStart asks for a code to be sent.
type VerifyStart struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Context string `json:"context,omitempty"`
	Purpose string `json:"purpose,omitempty" pattern:"^[A-Za-z0-9._-]{0,64}$"` // keeps codes for different things apart
}

// VerifyStarted says that a code was sent. It never holds the code.
type VerifyStarted struct {
	ID        string    `json:"id"` // of the send
	ExpiresAt time.Time `json:"expires_at"`
	ResendAt  time.Time `json:"resend_at"` // before which no other code goes to the person
}

// VerifyCheck is what a person typed in.
type VerifyCheck struct {
	To      string `json:"to"`
	Code    string `json:"code" minLength:"1" maxLength:"32"`
	Purpose string `json:"purpose,omitempty" pattern:"^[A-Za-z0-9._-]{0,64}$"`
}

// VerifyChecked says whether it was the code.
type VerifyChecked struct {
	Valid  bool   `json:"valid"`
	Reason string `json:"reason,omitempty"` // wrong, no_code (none is open, it has expired or was used) or attempts
}

// startVerify is POST /v1/verify/start.
func (a *API) startVerify(w http.ResponseWriter, r *http.Request) error {
	const example = `{"from": "+15551234567", "to": "+15557654321"}`
	var v VerifyStart
	if err := a.read(r, &v, example); err != nil {
		return err
	}
	if a.cfg.Codes == nil {
		return a.unsupported("keep one-time codes")
	}
	d := &draft{from: v.From, to: v.To, body: "code", context: v.Context, category: string(messaging.CategoryTransactional)}
	s, bad := a.cfg.Sending.compose(d, time.Now())
	if bad != nil {
		return badQuery(bad.fault(), "send one like "+example)
	}
	if err := a.writable(); err != nil {
		return err
	}
	var issued otp.Issued
	err := a.tell(r.Context(), func(ctx context.Context) (err error) {
		issued, err = a.cfg.Codes.Issue(ctx, otp.Request{To: s.To, From: s.From, Context: s.Context, Purpose: v.Purpose})
		return err
	})
	var limit *otp.LimitError
	switch {
	case errors.As(err, &limit):
		return TooMany.Problem(limit.Error(), "wait until then").at("body.to")
	case errors.Is(err, otp.ErrNotSent):
		return Conflict.Problem(err.Error(), "they have to opt in again, or to prove who they are in another way").at("body.to")
	case errors.Is(err, otp.ErrBusy):
		return TooMany.Problem(err.Error(), "").at("body.to")
	case err != nil:
		return err
	}
	return write(w, VerifyStarted{issued.Send.String(), utc(issued.ExpiresAt), utc(issued.ResendAt)})
}

// checkVerify is POST /v1/verify/check.
func (a *API) checkVerify(w http.ResponseWriter, r *http.Request) error {
	const example = `{"to": "+15557654321", "code": "123456"}`
	var v VerifyCheck
	if err := a.read(r, &v, example); err != nil {
		return err
	}
	if a.cfg.Codes == nil {
		return a.unsupported("keep one-time codes")
	}
	if !recipient.MatchString(v.To) {
		return badField("to", errNumber, "send one like "+example)
	}
	if err := a.writable(); err != nil {
		return err
	}
	err := a.tell(r.Context(), func(ctx context.Context) error {
		return a.cfg.Codes.Check(ctx, otp.Answer{To: messaging.Number(v.To), Purpose: v.Purpose, Code: v.Code})
	})
	for reason, is := range map[string]error{"wrong": otp.ErrWrong, "no_code": otp.ErrNoCode, "attempts": otp.ErrAttempts} {
		if errors.Is(err, is) {
			return write(w, VerifyChecked{Reason: reason})
		}
	}
	switch {
	case errors.Is(err, otp.ErrBusy):
		return TooMany.Problem(err.Error(), "").at("body.to")
	case err != nil:
		return err
	}
	return write(w, VerifyChecked{Valid: true})
}
