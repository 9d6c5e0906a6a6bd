package consent

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// variants are ways to write a text that mean the same.
func variants(text string) []string {
	title := strings.ToUpper(text[:1]) + text[1:]
	var accented, wide, zero, mixed strings.Builder
	for i, r := range text {
		accented.WriteRune(r)
		if strings.ContainsRune("aeiou", r) {
			accented.WriteRune('\u0301')
		}
		zero.WriteRune(r)
		if 'a' <= r && r <= 'z' {
			zero.WriteRune('\u200b')
			wide.WriteRune(r - 'a' + 'ａ')
		} else {
			wide.WriteRune(r)
		}
		if i%2 == 0 {
			mixed.WriteRune(unicode.ToUpper(r))
		} else {
			mixed.WriteRune(r)
		}
	}
	all := []string{
		text, strings.ToUpper(text), title, mixed.String(), accented.String(), wide.String(), zero.String(),
		strings.ReplaceAll(text, " ", "  "), strings.ReplaceAll(text, " ", "-"), strings.ReplaceAll(text, " ", "\r\n"),
		strings.ReplaceAll(text, " ", "\u00a0"), strings.ReplaceAll(text, " ", ", "), strings.ReplaceAll(text, " ", " 🙏 "),
		strings.ReplaceAll(text, "'", "’"), strings.ReplaceAll(strings.ToUpper(text), " ", "... "),
	}
	for _, around := range [][2]string{
		{"", "."},
		{"", "!"},
		{"", "!!!1"[:3]},
		{"", "?"},
		{"...", "..."},
		{"\"", "\""},
		{"“", "”"},
		{"'", "'"},
		{"‘", "’"},
		{"(", ")"},
		{"[", "]"},
		{"*", "*"},
		{"_", "_"},
		{"-", "-"},
		{"— ", " —"},
		{"¡", "!"},
		{"«", "»"},
		{"  ", "\t\n"},
		{"🛑", "🛑"},
		{"", " 🙏🏽"},
		{"", "❤️"},
		{"\ufeff", "\u200d"},
		{"\u202a", "\u202c"},
		{"#", ""},
		{"~", "~"},
		{"<", ">"},
		{"", ";)"},
	} {
		all = append(all, around[0]+text+around[1], around[0]+strings.ToUpper(text)+around[1])
	}
	return all
}

func TestEveryExactWordInEveryWriting(t *testing.T) {
	t.Parallel()
	n := 0
	for _, r := range Rules().Rules {
		if r.Tier != TierExact {
			continue
		}
		for _, w := range r.Words {
			for _, text := range variants(w) {
				n++
				got := Classify(text, State{OptedOut: true})
				want := Verdict{Kind: r.Kind, Tier: TierExact, Word: w, Rule: r.ID, Source: r.Source, Language: r.Language}
				if got != want {
					t.Errorf("%q: got %+v, want %+v", text, got, want)
				}
			}
		}
	}
	if n < 1000 {
		t.Errorf("got %d writings, want the whole sheet", n)
	}
}

// The sheet as the law, the carriers and the industry give it, written out once more: a word
// that is lost from the data must not be lost from the tests with it.
func TestSheet(t *testing.T) {
	t.Parallel()
	for kind, words := range map[Kind]string{
		Stop: "stop|quit|end|revoke|opt out|opt-out|cancel|unsubscribe|please opt me out|stopall|stop all|optout|remove|" +
			"arret|arrêt|td|alto|parar|cancelar|basta|no mas|no más",
		Start: "start|unstop|subscribe",
		Help:  "help|info|aide",
	} {
		for w := range strings.SplitSeq(words, "|") {
			if got := Classify(w, State{}); got.Kind != kind || got.Tier != TierExact {
				t.Errorf("%q: got %+v, want an exact %s", w, got, kind)
			}
		}
	}
	for w, want := range map[string]Language{"stop": English, "arrêt": French, "aide": French, "no más": Spanish, "help": English} {
		if got := Classify(w, State{}).Language; got != want {
			t.Errorf("%q: got language %q, want %q", w, got, want)
		}
	}
}

func TestYesStartsOnlyWhenOptedOutAndNotAsked(t *testing.T) {
	t.Parallel()
	for s, want := range map[State]Kind{
		{OptedOut: true}:                     Start,
		{OptedOut: true, QuestionOpen: true}: None,
		{QuestionOpen: true}:                 None,
		{}:                                   None,
	} {
		if got := Classify("Yes!", s).Kind; got != want {
			t.Errorf("yes with %+v: got %q, want %q", s, got, want)
		}
		for _, word := range []string{"stop", "Stop, please", "stop texting me"} {
			if got := Classify(word, s).Kind; got != Stop {
				t.Errorf("%q with %+v: got %q, want stop", word, s, got)
			}
		}
		if got := Classify("start", s).Kind; got != Start {
			t.Errorf("start with %+v: got %q, want start", s, got)
		}
	}
}

func TestPhrases(t *testing.T) {
	t.Parallel()
	for rule, phrases := range map[string]map[string]string{ // phrase to recognised word
		"polite": {
			"stop thank you": "stop", "please stop": "stop", "please stop sending": "stop", "stop texting me": "stop",
			"stop now please": "stop", "cancel it": "cancel", "end this": "end", "unsubscribe me": "unsubscribe", "remove me": "remove",
			"quit sending me messages": "quit", "stop all texts": "stop all", "opt out please": "opt out", "revoke all": "revoke",
			"stop stop stop": "stop", "stop unsubscribe": "stop", "end cancel quit": "end", "please please stop it": "stop",
			"alto por favor": "alto", "arret merci": "arret", "no mas gracias": "no mas", "stop it now thanks": "stop", "please cancel all": "cancel",
		},
		"phrase": {
			"you need to stop texting me right away": "stop texting", "i said quit messaging this phone": "quit messaging",
			"would you kindly stop sending these": "stop sending", "stop contacting my wife": "stop contacting",
			"remove me from your list": "remove me from", "please take me off the list": "take me off", "take me off this": "take me off",
			"don't text me again": "don't text me", "dont contact me": "dont contact me", "do not message me anymore": "do not message me",
			"do not text me": "do not text me", "just leave me alone": "leave me alone", "no more texts": "no more texts",
			"i want no more messages from you": "no more messages", "lose my number": "lose my number", "can you opt me out today": "opt me out",
			"why don't you stop texting people": "stop texting",
		},
		"wrong-number": {
			"wrong number": "wrong number", "sorry wrong number": "wrong number", "wrong number thanks": "wrong number",
			"hi you have the wrong number": "you have the wrong number", "you've got the wrong number buddy": "you've got the wrong number",
			"this is the wrong number": "this is the wrong number", "i think you have a wrong number": "you have a wrong number",
			"this is wrong number": "this is wrong number", "the wrong number": "wrong number",
		},
	} {
		for phrase, word := range phrases {
			for _, text := range variants(phrase) {
				got := Classify(text, State{})
				if got.Kind != Stop || got.Tier != TierPhrase || got.Rule != rule || got.Word != word || got.WrongNumber != (rule == "wrong-number") {
					t.Errorf("%q: got %+v, want the phrase %q of %s", text, got, word, rule)
				}
			}
		}
	}
}

func TestSpelledOutAndRunTogether(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Verdict{
		"S.T.O.P.":       {Kind: Stop, Tier: TierExact, Word: "stop"},
		"s t o p":        {Kind: Stop, Tier: TierExact, Word: "stop"},
		"S-T-O-P":        {Kind: Stop, Tier: TierExact, Word: "stop"},
		"E n d":          {Kind: Stop, Tier: TierExact, Word: "end"},
		"h e l p":        {Kind: Help, Tier: TierExact, Word: "help"},
		"Stop.Thank you": {Kind: Stop, Tier: TierPhrase, Word: "stop"},
		"Stop/End":       {Kind: Stop, Tier: TierPhrase, Word: "stop"},
		"stop🛑please":    {Kind: Stop, Tier: TierPhrase, Word: "stop"},
		"a b c":          {},
		"s t o p s":      {},
		"x s t o p":      {},
		"s t":            {},
	} {
		got := Classify(text, State{})
		if got.Kind != want.Kind || got.Tier != want.Tier || got.Word != want.Word {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

func TestInnocentSentencesOptNobodyOut(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/innocent.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := map[Kind]int{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		kind, text, ok := strings.Cut(sc.Text(), "\t")
		if !ok {
			continue // the comment
		}
		want := Kind(kind)
		if kind == "none" {
			want = None
		}
		n[want]++
		got := Classify(text, State{})
		if got.Kind != want || (got.Kind == Review) != (got.Tier == TierReview) {
			t.Errorf("%q: got %+v, want %q", text, got, want)
		}
		if got := Classify(text, State{OptedOut: true, QuestionOpen: true}); got.Kind != None {
			t.Errorf("%q from an opted-out number: got %+v, want nothing left to review", text, got)
		}
	}
	if n[Review] < 200 || n[None] < 40 {
		t.Errorf("got %v sentences, want 200 with an opt-out word and 40 without", n)
	}
}

func TestBareWordCountsOnlyAlone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Kind{"TD": Stop, "(td)": Stop, "TD thanks": None, "my bank is TD": None} {
		if got := Classify(text, State{}).Kind; got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestHelpAndStartAreExactOnly(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"help me", "please help", "start please", "i want to subscribe", "yes please", "info about hours", "unstop me"} {
		if got := Classify(text, State{OptedOut: true}); got != (Verdict{}) {
			t.Errorf("%q: got %+v, want nothing: consent is given in so many words", text, got)
		}
	}
}

// A verdict is logged and stored: it must hold the sheet's words only.
func TestVerdictHoldsNoneOfTheText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"canary stop texting me canary", "canary cancel canary", "canary you have the wrong number canary"} {
		if got := Classify(text, State{}); strings.Contains(got.Word, "canary") || got.Word == "" {
			t.Errorf("%q: got word %q, want the recognised words alone", text, got.Word)
		}
	}
}

func TestProtected(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]struct {
		kind Kind
		ok   bool
	}{
		"CANCEL": {Stop, true}, "Stop!": {Stop, true}, "opt-out": {Stop, true}, "arrêt": {Stop, true}, "No más": {Stop, true},
		"stop texting": {Stop, true}, "wrong number": {Stop, true}, "START": {Start, true}, "subscribe": {Start, true},
		"HELP": {Help, false}, "info": {Help, false},
		"YES": {None, false}, "CONFIRM": {None, false}, "HOURS": {None, false}, "cancel my order": {None, false}, "": {None, false},
	} {
		if kind, ok := Protected(word); kind != want.kind || ok != want.ok {
			t.Errorf("%q: got %q, %v, want %q, %v", word, kind, ok, want.kind, want.ok)
		}
	}
}

func TestRulesAreWhole(t *testing.T) {
	t.Parallel()
	s := Rules()
	if s.Version < 1 || len(s.Date) != len("2006-01-02") {
		t.Errorf("got version %d of %q, want both set", s.Version, s.Date)
	}
	ids := map[string]bool{}
	for _, r := range s.Rules {
		if r.ID == "" || r.Source == "" || r.Effect == "" || r.Kind == None || r.Tier == TierNone || r.Language == "" || ids[r.ID] {
			t.Errorf("rule %+v: want every field set and an ID of its own", r)
		}
		ids[r.ID] = true
		if r.Tier != TierExact {
			continue
		}
		for _, w := range r.Words {
			if Normalise(w) != w {
				t.Errorf("rule %s: word %q is not in normal form", r.ID, w)
			}
		}
	}
	for _, p := range s.Practice {
		if p.ID == "" || p.Rule == "" || p.Default == "" || p.Source == "" || ids[p.ID] {
			t.Errorf("practice %+v: want every field set and an ID of its own", p)
		}
		ids[p.ID] = true
	}
	// The sheet is a copy: a caller that prints it cannot change it.
	i := slices.IndexFunc(s.Rules, func(r Rule) bool { return r.ID == "fcc" })
	s.Rules[i].Words[0] = "changed"
	if got := Rules().Rules[i].Words[0]; got != "stop" {
		t.Errorf("after a caller changed its copy: got %q, want stop", got)
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"STOP", "stop it", "S.T.O.P", "please opt me out", "you have the wrong number", "don't stop texting", "yes", "ａｒｒêｔ", "\xff stop"} {
		f.Add(s, true, false)
	}
	f.Fuzz(func(t *testing.T, text string, out, open bool) {
		s := State{OptedOut: out, QuestionOpen: open}
		got := Classify(text, s)
		if (got.Kind == None) != (got == Verdict{}) {
			t.Fatalf("%q: got %+v, want all or nothing", text, got)
		}
		// The quick look must never miss what the judge would see.
		if want := judge(Normalise(text), s); got != want {
			t.Fatalf("%q: got %+v, want %+v", text, got, want)
		}
		if again := Classify("“"+text+"” 🙏", s); again != got {
			t.Errorf("%q in quotes and with an emoji: got %+v, want %+v", text, again, got)
		}
		// A question that is open, or not, is nobody's reason to overlook an opt-out.
		if other := Classify(text, State{OptedOut: !out, QuestionOpen: !open}); (other.Kind == Stop) != (got.Kind == Stop) {
			t.Errorf("%q: got %+v, in other circumstances %+v", text, got, other)
		}
		if w := got.Word; w != "" && Normalise(w) != w {
			t.Errorf("%q: word %q is not in normal form", text, w)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"ordinary", "Hello, could you tell me when you open tomorrow?"},
		{"accents", "Hola, ¿a qué hora abren mañana por la mañana? Gracias"},
		{"closer look", "No, I do not think so, please take your time and leave it there"},
		{"review", "We have to stop this bill before the vote on Tuesday"},
		{"stop", "STOP"},
		{"long", strings.Repeat("Hello, could you tell me when you open? ", 40)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify(bm.text, State{})
			}
		})
	}
}
