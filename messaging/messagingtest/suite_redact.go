package messagingtest

import (
	"errors"

	"github.com/signpost-sms/signpost/messaging"
)

// redact asks for the text of one message to be removed.
func (w *world) redact(id string, want error) {
	w.Helper()
	r, ok := w.store.(messaging.Redacter)
	if !ok {
		w.Skip("the store is no messaging.Redacter")
	}
	if err := r.Redact(w.Context(), id); !errors.Is(err, want) {
		w.Errorf("Redact(%q): got %v, want %v", id, err, want)
	}
}

// redactTests are those of stores that can remove the text of one message.
var redactTests = []test{
	{"OneMessageAlone", func(w *world) {
		s := w.tell()
		w.redact(s.out.ID.String(), nil)
		l := w.life(s.out.ID.String())
		var out, gone *messaging.SendRecord
		for _, r := range l.Sends {
			if r.Send.ID == s.out.ID {
				out = r
			}
		}
		if out == nil || out.Send.Body != "" || len(out.Send.Media) != 0 || !out.Forgotten || out.Status != messaging.StatusDelivered {
			w.Errorf("after Redact the send is %+v", out)
		}
		if gone = w.life(s.gone.ID.String()).Sends[0]; gone.Send.Body == "" || gone.Forgotten {
			w.Errorf("Redact of another send removed the text of %+v", gone)
		}
		if in := w.life(s.ev.ID).Inbound; in.Event.Body == "" || in.Forgotten {
			w.Errorf("Redact of a reply removed the text of its inbound")
		}
		w.redact(s.ev.ID, nil)
		if in := w.life(s.ev.ID).Inbound; in.Event.Body != "" || len(in.Event.Media) != 0 || !in.Forgotten {
			w.Errorf("after Redact the inbound is %+v", in)
		}
		w.redact(s.ev.ID, nil) // again
		w.redact(s.out.ID.String(), nil)
	}},
	{"NothingUnfinishedOrUnknown", func(w *world) {
		ev, out := w.message("hi"), w.queued("later")
		w.commit(add(ev))
		w.commit(&messaging.Enqueue{Outgoing: out})
		w.redact(ev.ID, messaging.ErrTooLate)
		w.redact(out.ID.String(), messaging.ErrTooLate)
		if l := w.life(out.ID.String()); l.Sends[0].Send.Body != "later" {
			w.Errorf("a send that has not left lost its text")
		}
		w.redact("nothing", messaging.ErrUnknown)
		w.redact(w.queued("never stored").ID.String(), messaging.ErrUnknown)
	}},
}
