package consent

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// State is what the verdict on a text depends on besides the text.
type State struct {
	OptedOut     bool // the sender has revoked consent, in the scope the message belongs to
	QuestionOpen bool // we asked the sender something and wait for the answer
}

// Verdict is what a text says about consent. The zero Verdict says nothing.
type Verdict struct {
	Kind Kind
	Tier Tier
	// Word is the word or phrase that was recognised, in normal form. It is always one of
	// the sheet's: it holds nothing else of the text.
	Word        string
	Rule        string // the ID of the rule
	Source      string // the rule's source
	Language    Language
	WrongNumber bool // the kind is Stop, and the sender says that they are somebody else
}

// Classify judges a message by its whole text. It is for every inbound message before any
// handler, also for the text of a message with media.
//
// The text is compared in normal form (see [Normalise]); letters that stand apart, as in
// "S.T.O.P", count as a word. Judged by exact words first, then by phrases, then for review.
// Only exact words start or ask for help.
func Classify(text string, s State) Verdict {
	var buf [320]byte
	normal := AppendNormalised(buf[:0], text, math.MaxInt)
	if !triggered(normal) {
		return Verdict{}
	}
	return judge(string(normal), s)
}

// Protected reports whether a word can never be a command, a menu word or an expected
// answer, since people who text it revoke or restore consent: then ok is true and kind is
// Stop or Start. Help words may be answered by whom they reach: for them kind is Help and
// ok false. For all other words kind is None.
//
// YES is not protected: it restores consent only from somebody who was not asked anything.
func Protected(word string) (kind Kind, ok bool) {
	v := Classify(word, State{})
	switch v.Kind {
	case Stop, Start:
		return v.Kind, true
	case Help:
		return Help, false
	}
	return None, false
}

// exact maps the words of the exact tier to their rules.
var exact = func() map[string]*Rule {
	m := make(map[string]*Rule)
	for _, r := range rules {
		if r.Tier == TierExact {
			for _, w := range r.Words {
				m[w] = r
			}
		}
	}
	return m
}()

// bare is the one opt-out word that counts only alone: in a sentence TD is a bank.
const bare = "td"

// stopWords are the opt-out words that count within a text, split at spaces, longest first.
var stopWords = func() (all [][]string) {
	for w, r := range exact {
		if r.Kind == Stop && w != bare {
			all = append(all, strings.Fields(w))
		}
	}
	slices.SortFunc(all, func(a, b []string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(strings.Join(a, " "), strings.Join(b, " "))
	})
	return all
}()

// phrases and wrongNumbers are patterns: a list of positions, each with its alternatives;
// an empty alternative makes the position optional.
var (
	phrases      = compile(rulePhrase.Words)
	wrongNumbers = compile(ruleWrongNumber.Words[1:]) // the first counts only as the whole text
)

func compile(lines []string) (patterns [][][]string) {
	for _, line := range lines {
		var p [][]string
		for word := range strings.FieldsSeq(line) {
			inner, optional := strings.CutPrefix(word, "(")
			alternatives := strings.Split(strings.TrimSuffix(inner, ")"), "|")
			if optional {
				alternatives = append(alternatives, "")
			}
			p = append(p, alternatives)
		}
		patterns = append(patterns, p)
	}
	return patterns
}

// triggers are the words without one of which no rule can match.
var triggers = func() map[string]struct{} {
	m := map[string]struct{}{"wrong": {}}
	for w := range exact {
		m[strings.Fields(w)[0]] = struct{}{}
	}
	delete(m, "please") // of "please opt me out", which has opt as well
	m["opt"] = struct{}{}
	for _, p := range phrases {
		for _, first := range p[0] {
			m[first] = struct{}{}
		}
	}
	return m
}()

// triggerShapes has, for each first byte of a trigger, a bit for each of their lengths, so
// that most words need no look-up.
var triggerShapes = func() (shapes [256]uint32) {
	for w := range triggers {
		shapes[w[0]] |= 1 << len(w)
	}
	return shapes
}()

// triggered reports whether a text in normal form needs a closer look.
func triggered(normal []byte) bool {
	for begin := 0; begin < len(normal); {
		end := begin
		for end < len(normal) && normal[end] != ' ' {
			end++
		}
		size := end - begin
		if size < 32 && triggerShapes[normal[begin]]&(1<<size) != 0 {
			if _, ok := triggers[string(normal[begin:end])]; ok {
				return true
			}
		}
		if size == 1 && spelled(normal[begin:]) {
			return true
		}
		begin = end + 1
	}
	return false
}

// spelled reports whether a text begins with three letters that stand apart.
func spelled(normal []byte) bool {
	return len(normal) >= 5 && normal[1] == ' ' && normal[3] == ' ' && (len(normal) == 5 || normal[5] == ' ')
}

// judge is Classify for a text in normal form.
func judge(normal string, s State) Verdict {
	if v, ok := judgeExact(normal, s); ok {
		return v
	}
	words := strings.Fields(normal)
	if joined, ok := join(words); ok {
		if v, ok := judgeExact(joined, s); ok {
			return v
		}
	}
	if word, ok := polite(words); ok {
		v := verdict(rulePolite, word)
		v.Language = exact[word].Language
		return v
	}
	if phrase, ok := find(phrases, words, negated); ok {
		return verdict(rulePhrase, phrase)
	}
	if phrase, ok := wrongNumber(words); ok {
		v := verdict(ruleWrongNumber, phrase)
		v.WrongNumber = true
		return v
	}
	if s.OptedOut {
		return Verdict{} // nothing is left to hold back
	}
	for i := range words {
		if word, n := stopWordAt(words[i:]); n > 0 {
			v := verdict(ruleReview, word)
			v.Language = exact[word].Language
			return v
		}
	}
	return Verdict{}
}

func verdict(r *Rule, word string) Verdict {
	return Verdict{Kind: r.Kind, Tier: r.Tier, Word: word, Rule: r.ID, Source: r.Source, Language: r.Language}
}

func judgeExact(normal string, s State) (Verdict, bool) {
	r := exact[normal]
	if r == nil || r == ruleYes && (!s.OptedOut || s.QuestionOpen) {
		return Verdict{}, false
	}
	return verdict(r, normal), true
}

// join makes one word of a text that is nothing but single letters.
func join(words []string) (string, bool) {
	if len(words) < 3 {
		return "", false
	}
	for _, w := range words {
		if utf8.RuneCountInString(w) != 1 {
			return "", false
		}
	}
	return strings.Join(words, ""), true
}

// polite finds an opt-out word that is followed by nothing but courtesy.
func polite(words []string) (string, bool) {
	for len(words) > 0 && words[0] == "please" {
		words = words[1:]
	}
	first, n := stopWordAt(words)
	if n == 0 {
		return "", false
	}
	return first, onlyCourtesy(words[n:])
}

func onlyCourtesy(words []string) bool {
	for len(words) > 0 {
		n := 1
		if !slices.Contains(rulePolite.Words, words[0]) {
			if _, n = stopWordAt(words); n == 0 {
				return false
			}
		}
		words = words[n:]
	}
	return true
}

// stopWordAt finds the opt-out word that words begins with, and how many words it is.
func stopWordAt(words []string) (string, int) {
	for _, w := range stopWords {
		if len(w) <= len(words) && slices.Equal(w, words[:len(w)]) {
			return strings.Join(w, " "), len(w)
		}
	}
	return "", 0
}

// wrongNumber finds somebody saying that they are not the one we mean.
func wrongNumber(words []string) (string, bool) {
	rest := words
	for len(rest) > 0 && slices.Contains([]string{"sorry", "the", "please", "hi", "hello", "no"}, rest[0]) {
		rest = rest[1:]
	}
	if len(rest) >= 2 && rest[0] == "wrong" && rest[1] == "number" {
		rest = slices.DeleteFunc(slices.Clone(rest[2:]), func(w string) bool { return w == "sorry" })
		if onlyCourtesy(rest) {
			return "wrong number", true
		}
	}
	return find(wrongNumbers, words, func(string, string) bool { return false })
}

// find looks for one of the patterns anywhere in words. except may refuse a match by its
// first word and the word before it.
func find(patterns [][][]string, words []string, except func(first, before string) bool) (string, bool) {
	for i := range words {
		for _, p := range patterns {
			n, ok := match(p, words[i:])
			if !ok || i > 0 && except(words[i], words[i-1]) {
				continue
			}
			return strings.Join(words[i:i+n], " "), true
		}
	}
	return "", false
}

// match reports whether words begin with the pattern, and how many of them it takes.
func match(pattern [][]string, words []string) (n int, ok bool) {
	for _, alternatives := range pattern {
		switch {
		case n < len(words) && slices.Contains(alternatives, words[n]):
			n++
		case slices.Contains(alternatives, ""):
		default:
			return 0, false
		}
	}
	return n, true
}

// negated tells "don't stop texting me" from "stop texting me".
func negated(first, before string) bool {
	if first != "stop" && first != "quit" {
		return false
	}
	switch before {
	case "don't", "dont", "not", "never", "didn't", "didnt", "won't", "wont", "doesn't", "doesnt", "cannot", "can't", "cant":
		return true
	}
	return false
}
