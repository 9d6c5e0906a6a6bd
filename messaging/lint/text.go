package lint

import (
	"regexp"
	"strings"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"github.com/signpost-sms/signpost/messaging/consent"
)

// blank stands for each byte of a template's action in what is judged. It is neither a
// letter nor a space, so that no word, link or number goes on across an action.
const blank = '\x1a'

// subject is a text, taken apart.
type subject struct {
	plain string // the text with its actions blanked, byte for byte
	// visible is what is sent at least: the text without what its actions print, and of
	// alternatives the longest.
	visible  string
	hasBrand bool // an action prints the brand
	hasPhone bool // an action prints a number of ours
	words    []word
	links    []link
	mails    bool // holds a mail address
}

// word is a word of a text. Words in links and mail addresses are none.
type word struct {
	start, end int
	norm       string // in normal form
	gap        string // what stands between the word before and this one
	sentence   int    // the sentence's number
	caps       bool   // written in capitals
	quoted     bool
}

// link is a web address.
type link struct {
	start int
	host  string // in lower case, without www.
	sure  bool   // a reader takes it for a link, not for a missing space after a full stop
}

func newSubject(text, brand string) *subject {
	s := &subject{plain: text, visible: text}
	if strings.Contains(text, "{{") {
		s.readTemplate(text, brand)
	}
	rest := s.readLinks()
	s.readWords(rest)
	return s
}

// Visible is what is sent of a text at least: of a template, its texts without what its
// actions print, and of alternatives the longest. The brand stands for {{.Brand}}.
func Visible(text, brand string) string { return newSubject(text, brand).visible }

// readTemplate takes a template apart. What does not parse stays as it is: whoever uses the
// template reports that.
func (s *subject) readTemplate(text, brand string) {
	tree := parse.New("text")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(text, "", "", map[string]*parse.Tree{}); err != nil || tree.Root == nil {
		return
	}
	masked := []byte(strings.Repeat(string(blank), len(text)))
	s.visible = s.walk(tree.Root, masked, brand)
	s.plain = string(masked)
}

// walk copies the texts below a node to where they stand, and gives the longest output.
func (s *subject) walk(n parse.Node, masked []byte, brand string) string {
	longest := func(a, b *parse.ListNode) string {
		x, y := s.walk(a, masked, brand), ""
		if b != nil {
			y = s.walk(b, masked, brand)
		}
		if len(y) > len(x) {
			return y
		}
		return x
	}
	switch n := n.(type) {
	case *parse.ListNode:
		var b strings.Builder
		for _, c := range n.Nodes {
			b.WriteString(s.walk(c, masked, brand))
		}
		return b.String()
	case *parse.TextNode:
		copy(masked[n.Pos:], n.Text)
		return string(n.Text)
	case *parse.ActionNode:
		switch n.Pipe.String() {
		case ".Brand":
			s.hasBrand = true
			return brand
		case ".To":
			s.hasPhone = true
		}
	case *parse.IfNode:
		return longest(n.List, n.ElseList)
	case *parse.WithNode:
		return longest(n.List, n.ElseList)
	case *parse.RangeNode:
		return longest(n.List, n.ElseList)
	}
	return ""
}

var (
	schemed = regexp.MustCompile(`(?i)https?://[^\s\x1a<>"“”«»]+`)
	mail    = regexp.MustCompile(`(?i)[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+`)
	bare    = regexp.MustCompile(`(?i)[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?([/?#][^\s\x1a<>"“”«»]*)?`)
)

// endings are top-level domains that make a dotted word a link even without a scheme.
var endings = set(`com net org edu gov io co us ca mx es fr info biz app dev me tv ly gl cc gd link shop store online
	site health dental clinic school cafe pizza restaurant uk de example`)

// readLinks finds the links, and gives the text without links and mail addresses.
func (s *subject) readLinks() string {
	rest := []byte(s.plain)
	cut := func(from, to int) {
		for i := from; i < to; i++ {
			rest[i] = blank
		}
	}
	for _, at := range schemed.FindAllIndex(rest, -1) {
		address := strings.TrimRight(string(rest[at[0]:at[1]]), `.,;:!?'’)]}*`)
		_, after, _ := strings.Cut(address, "://")
		s.links = append(s.links, link{at[0], hostOf(after), true})
		cut(at[0], at[0]+len(address))
	}
	for _, at := range mail.FindAllIndex(rest, -1) {
		s.mails = true
		cut(at[0], at[1])
	}
	for _, at := range bare.FindAllIndex(rest, -1) {
		before, _ := utf8.DecodeLastRune(rest[:at[0]])
		after, _ := utf8.DecodeRune(rest[at[1]:])
		if wordRune(before) || before == '@' || before == '_' || wordRune(after) {
			continue
		}
		address := strings.TrimRight(string(rest[at[0]:at[1]]), `.,;:!?'’)]}*`)
		host := hostOf(address)
		ending := host[strings.LastIndexByte(host, '.')+1:]
		if len(ending) < 2 || strings.Trim(ending, "abcdefghijklmnopqrstuvwxyz") != "" {
			continue // 9.30, a.m.
		}
		l := link{at[0], host, endings[ending]}
		s.links = append(s.links, l)
		if l.sure {
			cut(at[0], at[0]+len(address))
		}
	}
	return string(rest)
}

// hostOf is the host of an address without its scheme.
func hostOf(address string) string {
	if i := strings.IndexAny(address, `/?#\`); i >= 0 {
		address = address[:i]
	}
	address = address[strings.LastIndexByte(address, '@')+1:] // what is before it is a user's name
	address, _, _ = strings.Cut(strings.ToLower(address), ":")
	return strings.TrimPrefix(strings.TrimSuffix(address, "."), "www.")
}

func wordRune(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.Nd) }

// apostrophes may stand within a word.
const apostrophes = "'’ʼ‘"

// quotes are what a word can be set apart with.
const quotes = `"'“”‘’«»` + "`"

// readWords finds the words of a text without links.
func (s *subject) readWords(text string) {
	sentence, last := 0, 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !wordRune(r) {
			i += size
			continue
		}
		start, end, caps := i, i, true
		for i < len(text) {
			r, size = utf8.DecodeRuneInString(text[i:])
			next, _ := utf8.DecodeRuneInString(text[i+size:])
			if !wordRune(r) && !(strings.ContainsRune(apostrophes, r) && unicode.IsLetter(next)) {
				break
			}
			caps = caps && !unicode.IsLower(r)
			i += size
			end = i
		}
		norm := consent.Normalise(text[start:end])
		if norm == "" {
			continue
		}
		gap := text[last:start]
		if endsSentence(gap) && len(s.words) > 0 {
			sentence++
		}
		before, _ := utf8.DecodeLastRuneInString(gap)
		after, _ := utf8.DecodeRuneInString(text[end:])
		s.words = append(s.words, word{
			start: start, end: end, norm: norm, gap: gap, sentence: sentence,
			caps:   caps && strings.ContainsFunc(text[start:end], unicode.IsLetter),
			quoted: strings.ContainsRune(quotes, before) && strings.ContainsRune(quotes, after),
		})
		last = end
	}
}

// endsSentence tells whether what stands between two words parts sentences.
func endsSentence(gap string) bool {
	if strings.ContainsAny(gap, "\n!?;") {
		return true
	}
	i := strings.IndexByte(gap, '.')
	return i >= 0 && i+1 < len(gap)
}

// at finds the phrase, words in normal form, at a word; 0 if it is not there, else how many
// words it takes.
func (s *subject) at(i int, phrase []string) int {
	if i < 0 || i+len(phrase) > len(s.words) {
		return 0
	}
	for k, p := range phrase {
		if s.words[i+k].norm != p || s.words[i+k].sentence != s.words[i].sentence {
			return 0
		}
	}
	return len(phrase)
}

// contains finds one of the phrases anywhere; -1 if none.
func (s *subject) contains(phrases ...string) int {
	for i := range s.words {
		for _, p := range phrases {
			if s.at(i, strings.Fields(p)) > 0 {
				return i
			}
		}
	}
	return -1
}

// legalForms are what people leave out of a company's name.
var legalForms = set("inc llc ltd co corp company gmbh sa sarl srl sl ltee limited")

// names tells whether the text names the brand, whatever its case, accents and legal form.
func (s *subject) names(brand string) bool {
	if s.hasBrand {
		return true
	}
	bareWords := func(text string) []string {
		var words []string
		for _, w := range strings.Fields(consent.Normalise(text)) {
			words = append(words, strings.TrimSuffix(w, "'s"))
		}
		return words
	}
	want := bareWords(brand)
	if len(want) > 1 && want[0] == "the" {
		want = want[1:]
	}
	for len(want) > 1 && legalForms[strings.Trim(want[len(want)-1], ".")] {
		want = want[:len(want)-1]
	}
	return strings.Contains(" "+strings.Join(bareWords(s.plain), " ")+" ", " "+strings.Join(want, " ")+" ")
}

// phones are the ways to write a telephone number: of North America with and without area
// code, with words for digits, French, and any with a plus.
var phones = regexp.MustCompile(`\+[0-9][0-9 ().-]{6,}[0-9]|\(?[0-9]{3}\)?[ .-]?[0-9]{3}[ .-]?[0-9]{4}|\b[0-9]{3}[.-][0-9]{4}\b` +
	`|\b0[1-9]([ .-][0-9]{2}){4}\b|\b[0-9]{2}[ .-][0-9]{4}[ .-][0-9]{4}\b|\b1-8(00|33|44|55|66|77|88)-[A-Z0-9][A-Z0-9-]{5,}`)

// phone finds a telephone number; -1 if there is none.
func (s *subject) phone() int {
	for _, at := range phones.FindAllStringIndex(s.plain, -1) {
		// A longer run of digits is an order's number or a card's.
		before, _ := utf8.DecodeLastRuneInString(s.plain[:at[0]])
		after, _ := utf8.DecodeRuneInString(s.plain[at[1]:])
		if !wordRune(after) && (!wordRune(before) || s.plain[at[0]] == '(') && !s.linked(at[0]) {
			return at[0]
		}
	}
	return -1
}

// linked tells whether an offset lies within a web address.
func (s *subject) linked(at int) bool {
	i := strings.LastIndexAny(s.plain[:at], " \t\n\x1a")
	for _, l := range s.links {
		if l.sure && l.start > i && l.start < at {
			return true
		}
	}
	return false
}

func (s *subject) link() int {
	for _, l := range s.links {
		if l.sure {
			return l.start
		}
	}
	return -1
}

// set makes a set of the words of a list.
func set(list string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(list) {
		m[w] = true
	}
	return m
}
