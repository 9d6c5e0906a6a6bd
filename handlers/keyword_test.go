package handlers_test

import (
	"context"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

func TestKeywordMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		match handlers.Match
		words string // separated by |
		text  string
		want  bool
	}{
		{"", "HOURS", "HOURS", true},
		{"", "HOURS", "hours", true},
		{"", "hours", "  Hours! ", true},
		{"", "HOURS", "“Hours”…🙏", true},
		{"", "HOURS", "ho\u200burs", true},
		{"", "HOURS", "Ｈｏｕｒｓ", true},
		{"", "HOURS", "hour", false},
		{"", "HOURS", "hourss", false},
		{"", "HOURS", "hours please", false},
		{"", "HOURS", "", false},
		{"", "HOURS", "...", false},
		{"", "HOURS", "👍", false},
		{"", "HOURS|OPEN", "open?", true},
		{"", "HOURS|OPEN", "hours open", false},
		{"", "CAFÉ", "cafe", true},
		{"", "cafe", "Café.", true},
		{"", "check-in", "Check  in", true},
		{"", "Check in", "CHECK-IN", true},
		{"", "STRASSE", "Straße", true},
		{"", "ЧАСЫ", "часы?", true},
		{"", "營業時間", "營業時間", true},
		{"", "👍", "👍", true},
		{"", "👍", " 👍🏽 ", true},
		{"", "❤️", "❤", true},
		{"", "👍", "👎", false},
		{"", "👍", "ok 👍", false},
		{"", "?", " ? ", true},
		{"", "?", "what?", false},
		{"", "1", "1.", true},
		{"", "1", "11", false},
		{"exact", "BALANCE", "balance 5", false},
		{"prefix", "BALANCE", "balance", true},
		{"prefix", "BALANCE", "Balance: 5 today, please", true},
		{"prefix", "BALANCE", "balances", false},
		{"prefix", "BALANCE", "my balance", false},
		{"prefix", "OPT IN", "opt-in now", true},
		{"prefix", "OPT IN", "opt", false},
		{"prefix", "A|LONGER WORD", "a b c d e f g", true},
		{"prefix", "A|LONGER WORD", "longer word!", true},
		{"prefix", "A|LONGER WORD", "longer words", false},
		{"regexp", `^order (\d+)$`, "Order 66", true},
		{"regexp", `^ORDER (\d+)$`, "  order   66 ", true},
		{"regexp", `^order (\d+)$`, "“Order” 66!!", true}, // folded
		{"regexp", `^order (\d+)$`, "an order 66", false},
		{"regexp", `order`, "my border", true},
		{"regexp", `^a$|^b$`, "B", true},
		{"regexp", `^x|y|^café`, "Café olé", true},
		{"regexp", `^nothing$|^\d+$`, "12a", false},
	} {
		o := &handlers.KeywordOptions{Words: strings.Split(tt.words, "|"), Match: tt.match, Reply: "matched"}
		if tt.match == handlers.MatchRegexp {
			o.Words = []string{tt.words}
		}
		want := "passed"
		if tt.want {
			want = "matched"
		}
		if got := reply(t, build(t, o, handlers.Env{})(passed), message(tt.text)); got != want {
			t.Errorf("%s %q over %q: got %q, want %q", tt.match, tt.words, tt.text, got, want)
		}
	}
}

func TestKeywordReplyTemplates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    handlers.KeywordOptions
		text string
		want string
	}{
		{handlers.KeywordOptions{Words: []string{"hi"}, Reply: "{{.Brand}}: you said {{.Body}}"}, "Hi!", "Acme: you said Hi!"},
		{
			handlers.KeywordOptions{Words: []string{`^order (?P<order>[a-z]+-\d+)( now)?$`}, Match: "regexp", Reply: "Order {{.Groups.order}}{{index .Match 2}} ({{index .Match 0}})"},
			"order  AB-66", "Order AB-66 (order AB-66)",
		},
		{handlers.KeywordOptions{Words: []string{`^(?P<a>x)$`, `^(?P<a>y)$`}, Match: "regexp", Reply: "{{.Groups.a}}"}, "Y", "Y"},
	} {
		mw := build(t, &tt.o, handlers.Env{Brand: "Acme"})
		if got := reply(t, mw(passed), message(tt.text)); got != tt.want {
			t.Errorf("%q over %q: got %q, want %q", tt.o.Words, tt.text, got, tt.want)
		}
	}
}

func TestKeywordMedia(t *testing.T) {
	t.Parallel()
	o := &handlers.KeywordOptions{Words: []string{"menu"}, Media: []string{"https://example.com/menu.png"}}
	rec, err := messagingtest.Run(build(t, o, handlers.Env{})(passed), message("MENU"))
	if err != nil {
		t.Fatal(err)
	}
	if s := rec.Sends(); len(s) != 1 || s[0].Body != "" || len(s[0].Media) != 1 || s[0].Media[0] != o.Media[0] {
		t.Errorf("media reply: got %+v, want one send with the picture", s)
	}
}

func TestKeywordNestedChain(t *testing.T) {
	t.Parallel()
	o := &handlers.KeywordOptions{Words: []string{`^order (?P<id>\d+)`}, Match: handlers.MatchRegexp}
	env, err := o.NestedEnv(handlers.Env{Where: "nested"})
	if err != nil {
		t.Fatal(err)
	}
	seven := build(t, &handlers.KeywordOptions{Words: []string{"order 7"}, Reply: "seven"}, env)
	rest := build(t, &handlers.ReplyOptions{Text: "order {{.Groups.id}}"}, env)
	none := func(next messaging.Handler) messaging.Handler { return next }
	for _, tt := range []struct {
		name  string
		chain messaging.Middleware
		text  string
		want  string
	}{
		{"first of the chain", func(next messaging.Handler) messaging.Handler { return seven(rest(next)) }, "Order 7!", "seven"},
		{"second of the chain, with groups", func(next messaging.Handler) messaging.Handler { return seven(rest(next)) }, "Order 8", "order 8"},
		{"chain that passes", none, "Order 8", "passed"},
		{"no match", rest, "hello", "passed"},
	} {
		o.SetNested(tt.chain)
		if got := reply(t, build(t, o, handlers.Env{})(passed), message(tt.text)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if _, err := (&handlers.ReplyOptions{Text: "{{.Groups.di}}"}).Middleware(env); err == nil {
		t.Error("a nested reply with an unknown group: got no error")
	}
}

func TestKeywordWrongOptions(t *testing.T) {
	t.Parallel()
	ok := []string{"hi"}
	for _, tt := range []struct {
		name string
		o    handlers.KeywordOptions
		want string
	}{
		{"no words", handlers.KeywordOptions{Reply: "x"}, "words:"},
		{"empty word", handlers.KeywordOptions{Words: []string{"hi", " \u200b"}, Reply: "x"}, "words[1]"},
		{"empty expression", handlers.KeywordOptions{Words: []string{""}, Match: "regexp", Reply: "x"}, "words[0]"},
		{"bad expression", handlers.KeywordOptions{Words: []string{"ok", "(a"}, Match: "regexp", Reply: "x"}, "words[1]"},
		{"unknown mode", handlers.KeywordOptions{Words: ok, Match: "fuzzy", Reply: "x"}, "exact, prefix or regexp"},
		{"no answer", handlers.KeywordOptions{Words: ok}, "needs an answer"},
		{"two answers", handlers.KeywordOptions{Words: ok, Reply: "x", Handler: passed}, "one answer"},
		{"bad template", handlers.KeywordOptions{Words: ok, Reply: "{{.Bdy}}"}, "reply: the template"},
		{"bad media", handlers.KeywordOptions{Words: ok, Media: []string{"menu.png"}}, "media[0]"},
		{"media by another scheme", handlers.KeywordOptions{Words: ok, Media: []string{"file:///etc/passwd"}}, "media[0]"},
	} {
		if _, err := tt.o.Middleware(handlers.Env{Where: "here"}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error about %q", tt.name, err, tt.want)
		}
	}
}

func TestKeywordLeavesStatesAlone(t *testing.T) {
	t.Parallel()
	h := build(t, &handlers.KeywordOptions{Words: []string{".*"}, Match: "regexp", Reply: "no"}, handlers.Env{})(passed)
	if got, want := reply(t, h, state(messaging.StateFailed)), "passed"; got != want {
		t.Errorf("a state: got %q, want %q", got, want)
	}
}

func TestWrongWiringPanics(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]func(){
		"keyword without a word":    func() { handlers.Keyword(" \u200b", passed) },
		"keyword without a handler": func() { handlers.Keyword("x", nil) },
		"reply without a text":      func() { handlers.Reply("") },
		"reply with a bad template": func() { handlers.Reply("{{.Bdy}}") },
		"timeout of nothing":        func() { handlers.Timeout(0) },
		"state without a handler":   func() { handlers.OnState(nil) },
	} {
		func() {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "handlers") {
					t.Errorf("%s: got panic %v, want a sentence", name, s)
				}
			}()
			wire()
		}()
	}
}

// The chains that an engine may run while the event is still being written.
func TestInstant(t *testing.T) {
	t.Parallel()
	end, busy := handlers.Ignore(), messaging.Handler(passed)
	kw := handlers.Keyword("x", handlers.Reply("y"))
	kwBusy := handlers.Keyword("x", passed)
	re := build(t, &handlers.ReplyOptions{Text: "{{.Body}}"}, handlers.Env{})
	nested := &handlers.KeywordOptions{Words: []string{"x"}}
	nested.SetNested(kwBusy)
	quiet := handlers.Log((&journal{}).logger(4), 0)
	loud := handlers.Log((&journal{}).logger(0), 0)
	for _, tt := range []struct {
		name string
		h    messaging.Handler
		want bool
	}{
		{"ignore", end, true},
		{"reply", handlers.Reply("x"), true},
		{"keyword, reply", kw(re(end)), true},
		{"keyword before a handler of unknown nature", kw(busy), false},
		{"keyword with a handler of unknown nature", kwBusy(end), false},
		{"keyword with such a chain", build(t, nested, handlers.Env{})(end), false},
		{"recover, timeout", handlers.Recover(handlers.Timeout(1)(kw(end))), true},
		{"recover before a handler of unknown nature", handlers.Recover(busy), false},
		{"timeout before a handler of unknown nature", handlers.Timeout(1)(busy), false},
		{"log that is off", quiet(end), true},
		{"log that is on", loud(end), false},
		{"log that is off before a handler of unknown nature", quiet(busy), false},
		{"state log", handlers.LogState(nil, 0)(end), false},
		{"state handler of unknown nature", handlers.OnState(busy)(end), false},
		{"pure state handler", handlers.OnState(end)(end), true},
	} {
		if got := messaging.IsInstant(tt.h); got != tt.want {
			t.Errorf("%s is instant: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"HOURS", "check-in", "👍🏽", "café", "\xff", " ", "❤️", "\u1160", "Ａ\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "\uFFFD") // as every body is
		folded := handlers.Fold(s)
		if strings.Join(strings.Fields(folded), " ") != folded {
			t.Errorf("Fold(%q): got %q, want single spaces between words", s, folded)
		}
		if folded == "" {
			return
		}
		// Whatever can be folded can be a keyword, and finds itself written in other ways.
		h := handlers.Keyword(s, handlers.Ignore())(passed)
		for _, text := range []string{s, "  " + s + "\u200b", s + " \ufe0f"} {
			rec, err := messagingtest.RunContext(context.Background(), h, message(text))
			if err != nil || len(rec.Sends()) != 0 {
				t.Errorf("keyword %q does not match %q: %v", s, text, err)
			}
		}
	})
}

func BenchmarkKeyword(b *testing.B) {
	chain := handlers.Keyword("HOURS", handlers.Reply("9 to 5"))(handlers.Reply("You said: {{.Body}}"))
	for name, body := range map[string]string{
		"match":  "Hours?",
		"passes": "Hello, could you tell me when you open tomorrow?",
	} {
		b.Run(name, func(b *testing.B) {
			ev := message(body)
			b.ReportAllocs()
			for b.Loop() {
				if err := chain.HandleEvent(context.Background(), discard{}, ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a responder that keeps nothing, and cannot remember.
type discard struct{ messaging.Responder }

func (discard) Reply(string)                 {}
func (discard) ReplyMedia(string, ...string) {}
func (discard) Send(messaging.Send)          {}
func (discard) OptOut(string)                {}
func (discard) OptIn(string)                 {}
