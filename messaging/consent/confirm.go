package consent

import "time"

// ConfirmWithin is how long after an opt-out a confirmation is presumed to be covered by the
// consent before it (47 CFR 64.1200(a)(12)).
const ConfirmWithin = 5 * time.Minute

// RepeatAfter is how long RepeatDaily waits before it confirms again.
const RepeatAfter = 24 * time.Hour

// Repeat says what a second opt-out of an opted-out number is answered with.
type Repeat string

// The settings of repeat_stop.
const (
	RepeatSilent Repeat = "silent" // nothing: the default, and what the zero value means
	RepeatDaily  Repeat = "daily"  // one confirmation in 24 hours, for short-code programmes
)

// Occasion is everything that a confirmation depends on.
type Occasion struct {
	Verdict  Verdict
	OptedOut bool // before this message
	TollFree bool // the number of ours that was texted
	// Age is how old the message is when it is handled: the older of frame time and, while
	// the clocks are known to agree, envelope time.
	Age time.Duration
	// Repeat and SinceLast, the time since the last confirmation to this number (negative
	// for never), matter for a repeated opt-out only.
	Repeat    Repeat
	SinceLast time.Duration
}

// Reason says why no confirmation is sent; it is a metric's label.
type Reason string

// The reasons.
const (
	Confirmed        Reason = ""          // it is sent
	NothingToConfirm Reason = "nothing"   // the message neither stops nor starts, or changes nothing
	NetworkConfirms  Reason = "toll_free" // the network has answered itself
	TooLate          Reason = "late"      // later than ConfirmWithin
	Repeated         Reason = "repeat"    // confirmed before
	SeeHelpDue       Reason = "help"      // a help text is decided by HelpDue
)

// Confirm decides whether the one confirmation of an opt-out or opt-in is sent. The change
// itself is recorded in any case.
func Confirm(o Occasion) (send bool, why Reason) {
	switch o.Verdict.Kind {
	case Stop:
		switch {
		case o.TollFree:
			return false, NetworkConfirms
		case o.Age > ConfirmWithin:
			return false, TooLate
		case o.OptedOut && (o.Repeat != RepeatDaily || o.SinceLast >= 0 && o.SinceLast < RepeatAfter):
			return false, Repeated
		}
		return true, Confirmed
	case Start:
		switch {
		case !o.OptedOut:
			return false, NothingToConfirm
		case o.TollFree:
			return false, NetworkConfirms
		}
		return true, Confirmed
	case Help:
		return false, SeeHelpDue
	}
	return false, NothingToConfirm
}

// The limit of built-in help texts for one sender: enough for a person, too few for two
// machines that answer each other.
const (
	HelpFree  = 2
	HelpEvery = 24 * time.Hour
)

// HelpDue reports whether the built-in help text may go to a sender that was sent it before
// so many times, the last of them so long ago.
func HelpDue(sent int, sinceLast time.Duration) bool {
	return sent < HelpFree || sinceLast >= HelpEvery
}

// Texts are what a sender is told.
type Texts struct {
	Stop        string // after an opt-out
	WrongNumber string // after an opt-out of somebody we never meant
	Start       string // after an opt-in
	Help        string
}

// For is the text that confirms a verdict; empty if there is none for it.
func (t Texts) For(v Verdict) string {
	switch {
	case v.Kind == Stop && v.WrongNumber:
		return t.WrongNumber
	case v.Kind == Stop:
		return t.Stop
	case v.Kind == Start:
		return t.Start
	case v.Kind == Help:
		return t.Help
	}
	return ""
}

// Wording gives the built-in texts. Each names the brand; those about opting out say that no
// more messages come and how to return, those about opting in name HELP and STOP. contact
// is how to reach a person, such as a telephone number or an address; it may be empty.
//
// With a brand of up to 32 characters, and a contact of up to 32, each is one segment; they
// avoid accents that are not in the GSM alphabet. French is for Canada, in both languages.
// An unknown language is English.
func Wording(brand, contact string, lang Language) Texts {
	prefix := brand
	if prefix != "" {
		prefix += ": "
	}
	switch lang {
	case Spanish:
		return Texts{
			Stop:        prefix + "Se ha dado de baja y no le enviaremos otro mensaje. Responda START para volver.",
			WrongNumber: prefix + "Gracias por avisar. No enviaremos otro mensaje a este numero. Responda START si fue un error.",
			Start:       prefix + "Suscrito de nuevo. La frecuencia varia. HELP para ayuda, STOP para salir. Pueden aplicar tarifas de mensajes y datos.",
			Help:        prefix + help(contact, "para ayuda: ", "para ayuda responda aqui") + ". STOP para salir. Pueden aplicar tarifas de mensajes y datos.",
		}
	case French:
		return Texts{
			Stop:        prefix + "Unsubscribed, we will not text again. START to return. / Désabonné, aucun autre message. START pour revenir.",
			WrongNumber: prefix + "Thank you, we will not text again. START to undo. / Merci, aucun autre message. START pour annuler.",
			Start:       prefix + "Subscribed/Abonné. Freq varies/variable. HELP/AIDE, STOP/ARRET. Msg & data rates may apply/Frais possibles.",
			Help:        prefix + help(contact, "", "reply/répondez") + ". STOP/ARRET to end/pour cesser. Msg & data rates may apply / Frais possibles.",
		}
	}
	return Texts{
		Stop:        prefix + "You are unsubscribed. We will not text you again. Reply START to return.",
		WrongNumber: prefix + "Thank you for telling us. We will not text this number again. Reply START if this was a mistake.",
		Start:       prefix + "You are subscribed again. Msg frequency varies. Reply HELP for help, STOP to end. Msg & data rates may apply.",
		Help:        prefix + help(contact, "for help, contact ", "for help, reply here") + ". Reply STOP to end. Msg & data rates may apply.",
	}
}

func help(contact, before, without string) string {
	if contact == "" {
		return without
	}
	return before + contact
}
