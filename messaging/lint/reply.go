package lint

import (
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging/consent"
)

// protectedPhrase is an opt-out or opt-in word of the sheet.
type protectedPhrase struct {
	words []string
	kind  consent.Kind
	lang  consent.Language
}

// protectedPhrases are the words that count as a whole text, longest first. YES is none: it
// restores consent only from somebody who was not asked anything.
var protectedPhrases = func() (all []protectedPhrase) {
	for _, r := range consent.Rules().Rules {
		if r.Tier != consent.TierExact || r.When != "" || r.Kind != consent.Stop && r.Kind != consent.Start {
			continue
		}
		for _, w := range r.Words {
			all = append(all, protectedPhrase{strings.Fields(w), r.Kind, r.Language})
		}
	}
	slices.SortStableFunc(all, func(a, b protectedPhrase) int { return len(b.words) - len(a.words) })
	return all
}()

// The vocabulary of instructions, in English, Spanish and French, in normal form.
var (
	// askers ask for a text.
	askers = set(`reply replying respond responding answer answering text texting txt send sending type typing write writing say message
		responda responde responder respondan conteste contesta contestar envie envia enviar escriba escribe escribir mande manda mandar respondiendo enviando contestando mandando
		repondez reponds repondre envoyez envoie envoyer textez tapez ecrivez ecrire repondant envoyant textant`)
	// fillers may stand between an asker and the word to send.
	fillers = set(`with back by either just only the word words us keyword a simply please in to this message text number
		con la las palabra palabras simplemente al el este mensaje de vuelta por favor
		avec par le les mot mots simplement ce svp`)
	// joiners stand between words to choose from.
	joiners = set("or and o u y e ou et")
	// markers begin what a word is for.
	markers = set("to 2 for if when in para por si cuando pour afin quand")
	// adverbs may stand between a word and what it is for.
	adverbs = set(`anytime now today please at any time here back or later
		en cualquier momento ahora aqui al a tout moment maintenant ici au`)
	// addressees follow a marker that begins no purpose: "STOP to this number", "STOP to us".
	addressees = set("this our the that us me your number message text")

	// evident are opt-out words that nobody takes for anything else.
	evident = set("stop stopall unsubscribe optout arret td")
	// clear verbs end messages unless something else is named.
	clearVerbs = set(`unsubscribe unsubscribed unsubscribing opt optout stop stopping quit discontinue unenroll
		desuscribirse desuscribir suscripcion baja dejar salir detener
		desabonner desinscrire cesser arreter desabonnement`)
	// vague verbs may end anything.
	vagueVerbs = set(`cancel end remove removed leave exit withdraw revoke off
		cancelar terminar finalizar parar borrar eliminar
		annuler terminer quitter retirer finir mettre`)
	// negations end messages if messages are named.
	negations = set("no not don't dont never without fewer avoid decline ne plus sans aucun aucune sin")
	// messages are what an opt-out ends.
	messages = set(`texts text message messages messaging msg msgs sms alert alerts notification notifications reminder reminders
		update updates subscription receiving mailings newsletter list marketing promotions promos offers
		mensaje mensajes alertas avisos notificaciones recordatorios suscripcion recibir lista ofertas boletin promociones
		alertes rappels abonnement recevoir liste infolettre offres`)
	// others are what people cancel, stop and end with a business.
	others = set(`appointment appointments appt visit order orders reservation reservations booking table class classes lesson session
		meeting delivery pickup ride trip membership plan policy payment autopay refill prescription test game practice room stay tour
		interview seat spot ticket event rsvp shift service survey quiz checkup cleaning call request slot quote fee series
		cita citas pedido reserva reservacion mesa clase entrega consulta turno visita hora encuesta servicio pago envio sesion
		rendez rdv commande cours livraison seance visite sondage paiement place colis`)
	// resubscribing verbs and nouns tell that an opt-in word is for opting in.
	resubscribing = set(`subscribe resubscribe subscribed rejoin join return opt resume undo receive receiving unblock back mistake error
		suscribirse suscribirme suscribir volver reanudar recibir alta
		abonner reabonner reprendre revenir recevoir annuler`)
)

// instruction is a protected word that a text asks people to send.
type instruction struct {
	at     int // index of the word
	phrase protectedPhrase
	right  bool // it is for opting out or in
}

// instructions finds the protected words that the text asks people to send.
func (s *subject) instructions() (found []instruction) {
	shouting := !strings.ContainsFunc(s.plain, func(r rune) bool { return 'a' <= r && r <= 'z' })
	var listed []instruction // words before that wait for what the list is for
	for i := 0; i < len(s.words); i++ {
		p, ok := s.protectedAt(i)
		if !ok || !s.asked(i, len(p.words), shouting) {
			continue
		}
		next := i + len(p.words)
		if p.kind == consent.Stop && s.listGoesOn(next) {
			listed = append(listed, instruction{at: i, phrase: p})
			i = next - 1
			continue
		}
		right := s.isRight(i, p, append(slices.Clone(listed), instruction{at: i, phrase: p}))
		for _, l := range listed {
			l.right = right
			found = append(found, l)
		}
		found = append(found, instruction{i, p, right})
		listed, i = nil, next-1
	}
	for _, l := range listed {
		l.right = evident[strings.Join(l.phrase.words, "")]
		found = append(found, l)
	}
	return found
}

func (s *subject) protectedAt(i int) (protectedPhrase, bool) {
	for _, p := range protectedPhrases {
		if s.at(i, p.words) > 0 {
			return p, true
		}
	}
	return protectedPhrase{}, false
}

// asked tells whether the protected word of n words at i is one to send, rather than a part
// of the sentence.
func (s *subject) asked(i, n int, shouting bool) bool {
	w := s.words[i]
	marked := w.quoted || w.caps && !shouting
	if n > 1 { // "stop all": the quotes are around both
		before, last := s.words[i], s.words[i+n-1]
		marked = marked && last.caps || strings.ContainsAny(before.gap, `"“«`)
	}
	if p := s.words[i]; p.norm == "td" && !marked {
		return false
	}
	direct, asker := false, false
	for k := i - 1; k >= 0; k-- {
		if askers[s.words[k].norm] {
			asker = true
			// After "text us to" it is what to do, and not what to send.
			direct = s.words[k].sentence == w.sentence && s.allFillers(k+1, i) && !markers[s.words[i-1].norm]
			break
		}
	}
	next := i + n
	follows := next < len(s.words) && s.words[next].sentence == w.sentence
	marker := follows && (markers[s.words[next].norm] || shownBy(s.words[next].gap)) ||
		next < len(s.words) && shownBy(s.words[next].gap)
	switch {
	case direct && marked:
		return true
	case direct:
		return !follows || marker || joiners[s.words[next].norm] || strings.Contains(s.words[next].gap, ",")
	case marked && marker:
		return asker || s.choices() >= 2
	case marked && asker:
		return s.joined(i)
	case asker && marker && s.joined(i):
		return s.lowerChoice(i, shouting)
	}
	return false
}

// shownBy tells whether what follows a word explains it: "CANCEL = to cancel".
func shownBy(gap string) bool {
	trimmed := strings.Trim(gap, ` "”»'’*`)
	return trimmed == "=" || trimmed == ":" || trimmed == "-" || trimmed == "–" || trimmed == "—" || trimmed == "→" || trimmed == "->" || trimmed == "=>"
}

func (s *subject) allFillers(from, to int) bool {
	for _, w := range s.words[from:to] {
		if !fillers[w.norm] && !isNumber(w.norm) {
			return false
		}
	}
	return true
}

// joined tells whether the word stands in a list of words to choose from.
func (s *subject) joined(i int) bool {
	if i == 0 {
		return false
	}
	before := s.words[i-1]
	if strings.ContainsAny(s.words[i].gap, "/|") {
		return true
	}
	if before.sentence != s.words[i].sentence {
		return false
	}
	return joiners[before.norm] || strings.ContainsAny(s.words[i].gap, ",/|")
}

// lowerChoice tells whether the word that is sent before this one is in small letters too:
// then this one may be another choice, and else it is a verb.
func (s *subject) lowerChoice(i int, shouting bool) bool {
	for k := i - 1; k >= 0; k-- {
		if !askers[s.words[k].norm] {
			continue
		}
		for k++; k < i; k++ {
			if w := s.words[k]; !fillers[w.norm] {
				return (shouting || !w.caps) && !w.quoted && k+1 < len(s.words) && markers[s.words[k+1].norm] && w.sentence == s.words[i].sentence
			}
		}
	}
	return false
}

// choices counts the words in capitals that are followed by what they are for.
func (s *subject) choices() (n int) {
	for i, w := range s.words {
		if w.caps && i+1 < len(s.words) && (markers[s.words[i+1].norm] || shownBy(s.words[i+1].gap)) {
			n++
		}
	}
	return n
}

// listGoesOn tells whether another protected word follows, joined to the one before next.
func (s *subject) listGoesOn(next int) bool {
	if next >= len(s.words) {
		return false
	}
	if joiners[s.words[next].norm] {
		next++
	} else if !strings.ContainsAny(s.words[next].gap, ",/") {
		return false
	}
	if next >= len(s.words) {
		return false
	}
	p, ok := s.protectedAt(next)
	return ok && p.kind == consent.Stop && (s.words[next].caps || s.words[next].quoted)
}

// isRight tells whether the protected word at i is for opting out, or in.
func (s *subject) isRight(i int, p protectedPhrase, list []instruction) bool {
	purpose, given := s.purpose(i, len(p.words))
	isEvident := slices.ContainsFunc(list, func(l instruction) bool { return evident[strings.Join(l.phrase.words, "")] })
	if p.kind == consent.Start {
		return !given || has(purpose, resubscribing) || has(purpose, messages)
	}
	if !given {
		return isEvident || p.words[0] == "opt" || len(p.words) > 1
	}
	ends := has(purpose, clearVerbs) || has(purpose, vagueVerbs)
	switch {
	case has(purpose, messages):
		return ends || has(purpose, negations)
	case has(purpose, others):
		return false
	case has(purpose, clearVerbs):
		return true
	}
	return ends && isEvident
}

func has(words []string, in map[string]bool) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		w = strings.TrimSuffix(w, "'s")
		_, after, cut := strings.Cut(w, "'") // d'annuler, l'abonnement
		return in[w] || cut && in[after]
	})
}

// purpose gives the words that say what the protected word of n words at i is for; false if
// none do.
func (s *subject) purpose(i, n int) (words []string, given bool) {
	next := i + n
	for next < len(s.words) && s.words[next].sentence == s.words[i].sentence {
		w := s.words[next]
		switch {
		case shownBy(w.gap):
			return s.clause(next), true
		case endsClause(w.gap):
			return s.before(i)
		case adverbs[w.norm] && !markers[w.norm], isNumber(w.norm):
			next++
		case w.norm == "to" && s.addressed(next) > 0:
			next += s.addressed(next)
		case markers[w.norm]:
			return s.clause(next + 1), true
		default:
			return s.before(i)
		}
	}
	if next < len(s.words) && next == i+n && shownBy(s.words[next].gap) {
		return s.clause(next), true
	}
	return s.before(i)
}

func endsClause(gap string) bool { return strings.ContainsAny(gap, ",;(|\n") }

// addressed tells how many words from a marker on say only where a text goes: "to 12345".
func (s *subject) addressed(at int) (n int) {
	for k := at + 1; k < len(s.words) && s.words[k].sentence == s.words[at].sentence; k++ {
		if w := s.words[k]; !addressees[w.norm] && !isNumber(w.norm) {
			break
		}
		n = k - at + 1
	}
	return n
}

func isNumber(norm string) bool { return len(norm) > 1 && strings.Trim(norm, "0123456789") == "" }

// clause gives the words from one on, to the end of what they say: a comma, a full stop,
// the next word to send.
func (s *subject) clause(from int) (words []string) {
	for k := from; k < len(s.words) && s.words[k].sentence == s.words[from].sentence; k++ {
		w := s.words[k]
		if k > from && (endsClause(w.gap) || w.caps && k+1 < len(s.words) && markers[s.words[k+1].norm] || askers[w.norm] && !messages[w.norm]) {
			break
		}
		words = append(words, w.norm)
	}
	return words
}

// before gives what is said in front of the request: "To cancel, reply CANCEL".
func (s *subject) before(i int) (words []string, given bool) {
	asker := i - 1
	for asker >= 0 && !askers[s.words[asker].norm] {
		asker--
	}
	if asker < 0 {
		return nil, false
	}
	first := asker
	for first > 0 && s.words[first-1].sentence == s.words[asker].sentence && !(s.words[first-1].caps && first < asker) {
		first--
	}
	if first == asker && asker > 0 && strings.Contains(s.words[asker].gap, "?") {
		// "Need to cancel? Reply CANCEL"
		sentence := s.words[asker-1].sentence
		for first > 0 && s.words[first-1].sentence == sentence {
			first--
		}
	}
	for k := first; k < asker; k++ {
		given = given || markers[s.words[k].norm] || s.words[k].norm == "need" || s.words[k].norm == "want"
		words = append(words, s.words[k].norm)
	}
	return words, given && (has(words, others) || has(words, clearVerbs) || has(words, vagueVerbs) || has(words, messages) || has(words, resubscribing))
}

// optsOut tells whether the text says how to opt out.
func (s *subject) optsOut() bool {
	for _, in := range s.instructions() {
		if in.phrase.kind == consent.Stop && in.right {
			return true
		}
	}
	for i, w := range s.words {
		if strings.HasPrefix(w.norm, "stop2") { // STOP2END, written to save room
			return true
		}
		if p, ok := s.protectedAt(i); ok && w.caps && p.kind == consent.Stop && evident[p.words[0]] && !s.misused(i) {
			return true
		}
	}
	return false
}

// misused tells whether the word at i is asked for something else.
func (s *subject) misused(i int) bool {
	return slices.ContainsFunc(s.instructions(), func(in instruction) bool { return in.at == i && !in.right })
}
