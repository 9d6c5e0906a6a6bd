package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/messaging/quiet"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// Role is what a text or word is for.
type Role string

// The roles of texts. Each may be a template of text/template.
const (
	Reply        Role = "reply"        // answers somebody who wrote
	Question     Role = "question"     // asks something, or reminds of it
	Template     Role = "template"     // is kept for sending, to whomever
	Notification Role = "notification" // is a programme's message
	Marketing    Role = "marketing"    // is a programme's message that sells
	Help         Role = "help"         // answers HELP
	Stop         Role = "stop"         // confirms an opt-out
	Start        Role = "start"        // confirms an opt-in
	Brand        Role = "brand"        // is the name of the business
)

// The roles of words.
const (
	Keyword Role = "keyword" // is a command
	Pattern Role = "pattern" // is a regular expression for commands
	Menu    Role = "menu"    // chooses from a menu
	Answer  Role = "answer"  // is an answer that is expected
)

// Roles lists all roles.
func Roles() []Role {
	return []Role{Reply, Question, Template, Notification, Marketing, Help, Stop, Start, Brand, Keyword, Pattern, Menu, Answer}
}

// Options are what a verdict depends on besides the text. The zero Options are usable.
type Options struct {
	// Brand is the sender's name. While it is empty, no text is blamed for not naming it.
	Brand string
	// Contact is how the built-in texts say that a person is reached.
	Contact string
	// NoLinks and NoPhones are set when the campaign says that its texts have none.
	NoLinks, NoPhones bool
}

// Finding is one thing that is wrong with a text, or worth a look.
type Finding struct {
	Rule       string   `json:"rule"`
	Severity   Severity `json:"severity"`
	Message    string   `json:"message"`    // what is wrong
	Suggestion string   `json:"suggestion"` // what to do about it
	// Offset and Length, in bytes of the text, are where; a length of 0 means all of it.
	Offset int `json:"offset"`
	Length int `json:"length"`
}

// ManySegments is from how many segments on a text is called long.
const ManySegments = 5

// Judge gives what is wrong with a text or word in its role, in the order of the text. An
// unknown role is judged like Reply. It may be called concurrently.
func Judge(text string, role Role, o Options) []Finding {
	j := &judge{text: text, role: role, o: o}
	switch role {
	case Keyword, Menu, Answer:
		j.command()
	case Pattern:
		j.pattern()
	case Brand:
		j.brand()
	default:
		j.subject = newSubject(text, o.Brand)
		j.message()
	}
	slices.SortStableFunc(j.found, func(a, b Finding) int { return a.Offset - b.Offset })
	return j.found
}

// judge is one call of Judge.
type judge struct {
	*subject

	text  string
	role  Role
	o     Options
	found []Finding
}

func (j *judge) report(rule string, offset, length int, message, suggestion string) {
	j.found = append(j.found, Finding{rule, severityOf(rule), message, suggestion, offset, length})
}

func (j *judge) whole(rule, message, suggestion string) { j.report(rule, 0, 0, message, suggestion) }

func (j *judge) atWord(rule string, i, n int, message, suggestion string) {
	from := j.words[i].start
	j.report(rule, from, j.words[i+n-1].end-from, message, suggestion)
}

var roleNames = map[Role]string{Keyword: "a command", Pattern: "a command", Menu: "a menu word", Answer: "an expected answer"}

// command judges a word that people are expected to send.
func (j *judge) command() {
	v := consent.Classify(j.text, consent.State{})
	switch v.Kind {
	case consent.Stop, consent.Start:
		j.protected(v.Word, v.Kind, v.Language)
	case consent.Review:
		j.report(reviewCommand, 0, len(j.text),
			fmt.Sprintf("%s has the opt-out word %s in it: each use pauses other texts to that person until somebody has read it", roleNames[j.role], strings.ToUpper(v.Word)),
			"choose words without it")
	}
}

func (j *judge) protected(word string, kind consent.Kind, lang consent.Language) {
	what := "revoke consent"
	if kind == consent.Start {
		what = "give consent again"
	}
	j.report(protectedWord, 0, len(j.text),
		fmt.Sprintf("%s is %s, and people who text it %s", strings.ToUpper(word), roleNames[j.role], what),
		"choose another word, such as "+instead(word, kind, lang))
}

// instead suggests a word for what a protected one was chosen for.
func instead(word string, kind consent.Kind, lang consent.Language) string {
	switch {
	case kind == consent.Start && word == "subscribe":
		return "JOIN"
	case kind == consent.Start:
		return "BEGIN or GO"
	case word == "end", word == "quit":
		return "DONE or CLOSE"
	case word == "remove":
		return "DELETE or DROP"
	case lang == consent.Spanish:
		return "CAMBIAR, or one letter such as R"
	case lang == consent.French:
		return "REPORTER, or one letter such as R"
	}
	return "C, R or RESCHEDULE"
}

// pattern judges a regular expression: it may match an opt-out word only if it matches
// anything of that shape.
func (j *judge) pattern() {
	re, err := regexp.Compile("(?i)" + j.text)
	if err != nil {
		return // whoever uses it reports that
	}
	for _, p := range protectedPhrases {
		if word := strings.Join(p.words, " "); means(re, word) {
			j.protected(word, p.kind, p.lang)
			return
		}
	}
}

// means tells whether the expression was written for the word: it matches all of it, rather
// than a part that could be of any word, and no nonsense that looks like it.
func means(re *regexp.Regexp, word string) bool {
	re.Longest()
	if at := re.FindStringIndex(word); at == nil || at[0] > 0 || at[1] < len(word) {
		return false
	}
	nonsense := func(keep func(i int) bool) string {
		b := []byte(word)
		for i := range b {
			if b[i] != ' ' && !keep(i) {
				b[i] = "qzxjvk"[i%6]
			}
		}
		return string(b)
	}
	return !re.MatchString(nonsense(func(int) bool { return false })) &&
		!re.MatchString(nonsense(func(i int) bool { return i == 0 })) &&
		!re.MatchString(nonsense(func(i int) bool { return i == len(word)-1 }))
}

// AsksHelp reports whether a command, or with the role Pattern a regular expression, is a
// word that asks for help, so that what it is answered with has to be judged as [Help].
func AsksHelp(word string, role Role) bool {
	if role != Pattern {
		return consent.Classify(word, consent.State{}).Kind == consent.Help
	}
	re, err := regexp.Compile("(?i)" + word)
	if err != nil {
		return false
	}
	for _, r := range consent.Rules().Rules {
		if r.Kind == consent.Help && slices.ContainsFunc(r.Words, func(w string) bool { return means(re, w) }) {
			return true
		}
	}
	return false
}

// brand judges the name that the built-in texts begin with.
func (j *judge) brand() {
	if strings.TrimSpace(j.text) == "" {
		return
	}
	j.ucs2(j.text)
	if len(j.found) > 0 {
		return // with the plain characters it may be short enough
	}
	for _, lang := range []consent.Language{consent.English, consent.Spanish, consent.French} {
		if n := sms.Segments(consent.Wording(j.text, j.o.Contact, lang).Stop, sms.Options{}); n > 1 {
			mend := "shorten it to 32 characters"
			if !sms.IsGSM7(j.text) {
				mend = "write it without " + characters(sms.Analyse(j.text, sms.Options{}).Forced)
			}
			j.whole(brandLength, fmt.Sprintf("with this brand, the confirmation of STOP takes %d segments", n), mend)
			return
		}
	}
}

// message judges a text that people get.
func (j *judge) message() {
	j.length()
	j.shorteners()
	j.campaign()
	for _, in := range j.instructions() {
		if !in.right {
			j.misuse(in)
		}
	}
	switch j.role {
	case Help:
		j.help()
	case Stop:
		j.stop()
	case Start:
		j.start()
	case Notification, Marketing:
		j.programme()
		j.sectors()
	case Template:
		j.sectors()
	}
}

func (j *judge) misuse(in instruction) {
	word := strings.Join(in.phrase.words, " ")
	what, only := "revoke their consent", "opting out"
	if in.phrase.kind == consent.Start {
		what, only = "give their consent again", "opting in"
	}
	mend := "ask for another word, such as " + instead(word, in.phrase.kind, in.phrase.lang)
	if in.phrase.kind == consent.Stop {
		mend += "; if it is meant for opting out, say so: \"Reply STOP to unsubscribe\""
	}
	j.atWord(protectedReply, in.at, len(in.phrase.words),
		fmt.Sprintf("people are asked to reply %s for something other than %s, and would %s", strings.ToUpper(word), only, what), mend)
}

func (j *judge) length() {
	a := sms.Analyse(j.visible, sms.Options{})
	switch {
	case a.TooLong:
		j.whole(tooLong, fmt.Sprintf("the text has %d characters, and the platform takes %d", a.Characters, sms.MaxCharacters), "shorten it, or make two of it")
	case a.Segments >= ManySegments:
		mend := "shorten it"
		if a.Encoding == sms.UCS2 {
			mend = fmt.Sprintf("shorten it, or write it without %s, which take more than half of the room", characters(a.Forced))
		}
		j.whole(manySegments, fmt.Sprintf("the text has %d characters and takes %d segments, each of which is paid for", a.Characters, a.Segments), mend)
	}
	j.ucs2(j.visible)
}

// ucs2 finds characters that cost more than half of the room for nothing.
func (j *judge) ucs2(visible string) {
	plain, replaced := sms.Smart(visible)
	if len(replaced) == 0 {
		return
	}
	var cures, names []string
	for _, r := range replaced {
		names = append(names, character(r.From))
		cures = append(cures, cure(r))
	}
	before, after := sms.Segments(visible, sms.Options{}), sms.Segments(plain, sms.Options{})
	message := fmt.Sprintf("%s made the whole text UCS-2, 70 characters a segment instead of 160", strings.Join(names, ", "))
	if before > after {
		message += fmt.Sprintf(": %d segments instead of %d", before, after)
	}
	written := j.text
	if j.subject != nil {
		written = j.plain
	}
	at, char := strings.IndexRune(written, replaced[0].From), string(replaced[0].From)
	if at < 0 { // an accent that is written apart, or the brand's
		at, char = 0, ""
	}
	j.report(curableUCS2, at, len(char), message, "write "+strings.Join(cures, ", "))
}

func cure(r sms.Replaced) string {
	switch r.To {
	case "":
		return "nothing for " + codePoint(r.From)
	case " ":
		return "a plain space for " + codePoint(r.From)
	case "\n":
		return "a line break for " + codePoint(r.From)
	}
	return r.To + " for " + codePoint(r.From)
}

func codePoint(r rune) string { return fmt.Sprintf("U+%04X", r) }

// character names a character, and shows it if that can be seen.
func character(r rune) string {
	if shown := fmt.Sprintf("%q", r); strings.HasPrefix(shown, `'\`) {
		return codePoint(r)
	}
	return fmt.Sprintf("%c (%s)", r, codePoint(r))
}

func characters(forced []sms.Forced) string {
	const most = 5
	var names []string
	for _, f := range forced[:min(most, len(forced))] {
		names = append(names, character(f.Char))
	}
	if len(forced) > most {
		names = append(names, fmt.Sprintf("and %d more", len(forced)-most))
	}
	return strings.Join(names, ", ")
}

func (j *judge) shorteners() {
	for _, l := range j.links {
		rule, who := publicShortener, "carriers filter"
		if !slices.Contains(barredShorteners, l.host) {
			rule, who = otherShortener, "some carriers filter"
			if !slices.Contains(doubtfulShorteners, l.host) {
				continue
			}
		}
		at := l.start
		if i := strings.Index(strings.ToLower(j.plain[at:]), l.host); i > 0 {
			at += i
		}
		j.report(rule, at, len(l.host), fmt.Sprintf("a link of %s, which %s because it hides where it leads", l.host, who),
			"write the full link, or use a short domain of your own")
	}
}

func (j *judge) campaign() {
	if at := j.link(); j.o.NoLinks && at >= 0 {
		j.report(campaignLink, at, 1, "a link, and the campaign is registered without links", "remove it, or register the campaign anew with embedded links")
	}
	if at := j.phone(); j.o.NoPhones && at >= 0 {
		j.report(campaignPhone, at, 1, "a telephone number, and the campaign is registered without them", "remove it, or register the campaign anew with embedded telephone numbers")
	}
}

func (j *judge) lacksBrand() bool { return j.o.Brand != "" && !j.names(j.o.Brand) }

func (j *judge) help() {
	var lacks []string
	if j.lacksBrand() {
		lacks = append(lacks, "the brand")
	}
	if j.phone() < 0 && j.link() < 0 && !j.mails && !j.hasPhone {
		lacks = append(lacks, "a way to reach a person")
	}
	if len(lacks) > 0 {
		j.whole(helpAnswer, "the answer to HELP lacks "+strings.Join(lacks, " and "),
			"name the brand, as {{.Brand}}, and a telephone number, a mail address or a web page; or leave HELP to the built-in answer")
	}
}

func (j *judge) stop() {
	if n := sms.Segments(j.visible, sms.Options{}); n > 1 {
		j.whole(stopLength, fmt.Sprintf("the confirmation of STOP takes %d segments", n), "shorten it to one segment")
	}
	if j.lacksBrand() {
		j.whole(stopBrand, "the confirmation of STOP does not name the brand", "name it, as {{.Brand}}")
	}
	if at := j.promotion(); at >= 0 {
		j.atWord(stopPromotion, at, 1, "the confirmation of STOP promotes something", "say that no more messages come and how to return, and nothing else")
	}
}

func (j *judge) start() {
	var lacks []string
	lack := func(what string, is bool) {
		if is {
			lacks = append(lacks, what)
		}
	}
	lack("the brand", j.lacksBrand())
	lack("how often messages come", j.contains("frequency", "freq", "msgs", "month", "mo", "week", "day", "varies", "frecuencia", "mes", "semana", "dia", "mois", "semaine", "jour") < 0)
	lack("HELP", j.contains("help", "aide", "ayuda", "info") < 0)
	lack("STOP", !j.optsOut())
	lack("that rates may apply", j.contains("rates", "charges", "tarifas", "cargos", "frais", "tarifs") < 0)
	if len(lacks) > 0 {
		j.whole(startParts, "the confirmation of START lacks "+strings.Join(lacks, ", "),
			`write it like "BRAND: you are subscribed. Msg frequency varies. Reply HELP for help, STOP to end. Msg & data rates may apply."`)
	}
}

func (j *judge) programme() {
	if j.lacksBrand() {
		j.whole(missingBrand, "the text does not name its sender", "begin it with the brand, as {{.Brand}}")
	}
	if !j.optsOut() {
		j.whole(missingOptOut, "the text does not say how to opt out", `add "Reply STOP to unsubscribe"`)
	}
}

func (j *judge) sectors() {
	j.barred(func(sec sector, at int) {
		who := "carriers filter"
		if sec.rule == barredSector {
			who = "the platform bars"
		}
		j.atWord(sec.rule, at, 1, fmt.Sprintf("the text seems to be about %s, which %s", sec.name, who),
			"leave it out; where such texts are allowed, the campaign has to be registered and age-gated for it")
	})
}

// HoursFinding is a finding about quiet hours. Its Offset and Length mean nothing.
type HoursFinding struct {
	State string // whose windows they are; empty for those of all others
	Finding
}

// anyMoment is when Hours begins to look for an opening: no rule depends on the season.
var anyMoment = time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)

// Hours gives what is wrong with quiet hours that [quiet.New] takes: windows of the custom
// preset that never open, by themselves or because the federal ones are shut then.
func Hours(cfg quiet.Config) []HoursFinding {
	hours, err := quiet.New(cfg)
	if err != nil || cfg.Preset != quiet.Custom {
		return nil
	}
	var found []HoursFinding
	look := func(what, state, person string) {
		v := hours.Ask(anyMoment, quiet.Notification, quiet.Recipient{State: person})
		if v.Allowed || !v.NextOpening.IsZero() {
			return
		}
		found = append(found, HoursFinding{state, Finding{
			Rule: hoursShut, Severity: severityOf(hoursShut),
			Message:    what + " never open: they leave nothing of the federal window of 08:00 to 21:00",
			Suggestion: "write hours within it, such as 09:00-20:00; to send nothing at all, remove what sends",
		}})
	}
	look("the windows", "", "DC")
	for _, state := range slices.Sorted(maps.Keys(cfg.States)) {
		look("the windows of "+state, state, state)
	}
	return found
}
