package handlers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/consent"
	"golang.org/x/text/unicode/norm"
)

// Match is how the words of a keyword are compared with a text.
type Match string

// The ways to match.
const (
	MatchExact  Match = "exact"  // the whole text is the word
	MatchPrefix Match = "prefix" // the text is the word, or begins with it and a space
	MatchRegexp Match = "regexp" // the text matches the expression
)

// Keyword gives a message that consists of the word to h; all others pass. The word is
// compared after [Fold], so that "Hours!" is HOURS. It panics if nothing of the word is left
// after that.
//
// It does not see words within a sentence: somebody who asks "do you have hours on Sunday?"
// is better served by whoever reads the question. It does not make an opt-out word a
// command: the engine acts on those before any chain, and they do not get here.
func Keyword(word string, h messaging.Handler) messaging.Middleware {
	if h == nil {
		panic(fmt.Sprintf("handlers: Keyword(%q) has a nil handler", word))
	}
	mw, err := (&KeywordOptions{Words: []string{word}, Handler: h}).Middleware(Env{Where: "handlers.Keyword"})
	if err != nil {
		panic("handlers: Keyword: " + err.Error())
	}
	return mw
}

// KeywordOptions are the long form of [Keyword].
type KeywordOptions struct {
	// Words are the words, or with regexp the expressions; any of them matches. Required.
	Words []string `yaml:"words"`
	// Match is exact, prefix or regexp. Default: exact.
	//
	// Expressions are in Go's syntax and ignore case. They are tried on the text as it was
	// written, but for compatibility forms, invisible characters and runs of spaces, and
	// then on its folded form. They match anywhere in the text: anchor them with ^ and $.
	Match Match `yaml:"match"`
	// Reply answers the message; a text or a template over [Data].
	Reply string `yaml:"reply"`
	// Media are the addresses of the reply's attachments; the platform takes up to 8.
	Media []string `yaml:"media"`

	// Handler is given the message instead of a reply.
	Handler messaging.Handler `yaml:"-"`

	nested messaging.Middleware
}

// SetNested gives matching messages to a chain instead of a reply. What the chain passes on
// goes to the handler after the keyword. Replies within it see Match and Groups.
func (o *KeywordOptions) SetNested(chain messaging.Middleware) { o.nested = chain }

// NestedEnv is env with the groups of the expressions.
func (o *KeywordOptions) NestedEnv(env Env) (Env, error) {
	if o.Match != MatchRegexp {
		return env, nil
	}
	env.groups = nil
	for i := range o.Words {
		re, err := o.expression(i)
		if err != nil {
			return Env{}, err
		}
		env.groups = append(env.groups, re.SubexpNames()[1:])
	}
	return env, nil
}

func (o *KeywordOptions) expression(i int) (*regexp.Regexp, error) {
	if o.Words[i] == "" {
		return nil, fmt.Errorf("words[%d]: an empty expression matches every text: write one, or use reply", i)
	}
	// Without the flag first, so that an error quotes what was written.
	if _, err := regexp.Compile(o.Words[i]); err != nil {
		return nil, fmt.Errorf("words[%d]: not a regular expression in Go's syntax: %w", i, err)
	}
	return regexp.MustCompile("(?i)" + o.Words[i]), nil
}

// Middleware makes the middleware.
func (o *KeywordOptions) Middleware(env Env) (messaging.Middleware, error) {
	k := &keyword{mode: o.Match}
	if k.mode == "" {
		k.mode = MatchExact
	}
	if err := o.compile(k); err != nil {
		return nil, err
	}
	inner, err := o.NestedEnv(env)
	if err != nil {
		return nil, err
	}
	actions := 0
	if o.Handler != nil {
		actions++
		k.action = func(messaging.Handler) messaging.Handler { return o.Handler }
	}
	if o.nested != nil {
		actions++
		k.action = o.nested
	}
	if o.Reply != "" || len(o.Media) > 0 {
		actions++
		if env.Where != "" {
			inner.Where = env.Where + ".reply"
		}
		if k.answer, err = newAnswer("reply", o.Reply, o.Media, inner); err != nil {
			return nil, err
		}
	}
	switch {
	case actions == 0:
		return nil, errors.New("reply: a keyword needs an answer: give it reply, media or handlers")
	case actions > 1:
		return nil, errors.New("reply: a keyword has one answer: keep either reply and media, or handlers")
	}
	return k.wrap, nil
}

// compile reads the words.
func (o *KeywordOptions) compile(k *keyword) error {
	if len(o.Words) == 0 {
		return errors.New("words: a keyword needs at least one word")
	}
	switch k.mode {
	case MatchRegexp:
		for i := range o.Words {
			re, err := o.expression(i)
			if err != nil {
				return err
			}
			k.expressions = append(k.expressions, re)
		}
	case MatchExact, MatchPrefix:
		k.words = make(map[string]struct{}, len(o.Words))
		for i, w := range o.Words {
			folded := Fold(w)
			if folded == "" {
				return fmt.Errorf("words[%d]: %q has nothing to match: write a word, a number or an emoji", i, w)
			}
			k.words[folded] = struct{}{}
			k.longest = max(k.longest, len(folded))
		}
	default:
		return fmt.Errorf("match: %q is not a way to match: use exact, prefix or regexp", o.Match)
	}
	return nil
}

// keyword is compiled options.
type keyword struct {
	mode        Match
	words       map[string]struct{} // folded
	longest     int                 // bytes of the longest word
	expressions []*regexp.Regexp
	answer      *answer
	action      messaging.Middleware // if there is no answer
}

func (k *keyword) wrap(next messaging.Handler) messaging.Handler {
	p := &pure{before: []messaging.Handler{next}}
	var action messaging.Handler
	if k.action != nil {
		if action = k.action(next); action == nil {
			panic("handlers: the handlers of a keyword made a nil handler")
		}
		p.before = append(p.before, action)
	}
	p.run = func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		if ev.Kind != messaging.KindMessage {
			return next.HandleEvent(ctx, w, ev)
		}
		found, ok := k.find(ev.Body)
		switch {
		case !ok:
			return next.HandleEvent(ctx, w, ev)
		case action == nil:
			return k.answer.give(w, ev, found)
		case found != nil:
			ctx = context.WithValue(ctx, matchKey{}, found)
		}
		return action.HandleEvent(ctx, w, ev)
	}
	return p
}

// find tells whether a text matches; the match is set for regular expressions only.
func (k *keyword) find(text string) (*match, bool) {
	switch k.mode {
	case MatchRegexp:
		return k.findExpression(text)
	case MatchPrefix:
		var buf [160]byte
		folded := appendFold(buf[:0], text, k.longest)
		for end, c := range folded {
			if c == ' ' {
				if _, ok := k.words[string(folded[:end])]; ok {
					return nil, true
				}
			}
		}
		_, ok := k.words[string(folded)]
		return nil, ok
	}
	var buf [160]byte
	_, ok := k.words[string(appendFold(buf[:0], text, k.longest))]
	return nil, ok
}

func (k *keyword) findExpression(text string) (*match, bool) {
	for _, text := range []string{tidy(text), Fold(text)} {
		for _, re := range k.expressions {
			all := re.FindStringSubmatch(text)
			if all == nil {
				continue
			}
			m := &match{all: all, named: map[string]string{}}
			for i, name := range re.SubexpNames() {
				if name != "" {
					m.named[name] = all[i]
				}
			}
			return m, true
		}
	}
	return nil, false
}

// Fold reduces a text to what keywords are compared by: [consent.Normalise], which folds
// case, accents, punctuation and spaces away. A text that is nothing but symbols, such as an
// emoji, is kept with its invisible characters removed, so that it can be a keyword too.
func Fold(text string) string {
	var buf [160]byte
	return string(appendFold(buf[:0], text, math.MaxInt))
}

// appendFold is Fold, which may stop once it has more than limit bytes.
func appendFold(dst []byte, text string, limit int) []byte {
	if dst = consent.AppendNormalised(dst, text, limit); len(dst) > 0 {
		return dst
	}
	return append(dst, clean(text, func(r rune) bool { return onlyColours(r) || isInvisible(r) })...)
}

// tidy is a text as it was written, but for compatibility forms, invisible characters and
// runs of spaces.
func tidy(text string) string { return clean(text, isInvisible) }

func clean(text string, drop func(rune) bool) string {
	text = strings.Map(func(r rune) rune {
		if drop(r) {
			return -1
		}
		return r
	}, norm.NFKC.String(text))
	return strings.Join(strings.Fields(text), " ")
}

// isInvisible holds for direction marks, zero-width spaces and joiners, and fillers.
func isInvisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// onlyColours holds for variation selectors and skin tones, which change the looks of the
// sign before them.
func onlyColours(r rune) bool {
	return unicode.Is(unicode.Variation_Selector, r) || 0x1F3FB <= r && r <= 0x1F3FF
}
