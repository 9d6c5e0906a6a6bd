package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/signpost-sms/signpost/messaging/consent"
	"github.com/signpost-sms/signpost/messaging/quiet"
	"github.com/signpost-sms/signpost/messaging/sms"
)

func ids(found []Finding) []string {
	var ids []string
	for _, f := range found {
		ids = append(ids, f.Rule)
	}
	return ids
}

func TestRules(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		if r.ID == "" || r.Text == "" || r.Version != Version || r.Date != Date || r.Source == "" || r.Severity != Error && r.Severity != Warning {
			t.Errorf("incomplete: %+v", r)
		}
	}
	Rules()[0].ID = "changed"
	if Rules()[0].ID == "changed" {
		t.Error("the rules can be changed from outside")
	}
}

// TestProtectedReplies: what may be asked for, and what not. The first is the example that
// is in every tutorial.
func TestProtectedReplies(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Reply CONFIRM to confirm or CANCEL to cancel":                             "CANCEL",
		"Reply C to confirm, CANCEL to cancel your visit.":                         "CANCEL",
		"Reply YES or CANCEL":                                                      "CANCEL",
		"reply yes to confirm or cancel to cancel":                                 "cancel",
		"REPLY YES TO CONFIRM OR CANCEL TO CANCEL":                                 "CANCEL",
		"To confirm reply Y. To cancel, reply CANCEL.":                             "CANCEL",
		"Need to cancel your table? Text CANCEL":                                   "CANCEL",
		"CONFIRM to confirm / CANCEL to cancel":                                    "CANCEL",
		"Reply with:\nYES = I will come\nCANCEL = I cannot":                        "CANCEL",
		`Reply "yes" to keep your seat or "cancel" to release it`:                  "cancel",
		"Text END when you are done with the survey":                               "END",
		"Reply STOP to cancel your appointment":                                    "STOP",
		"Reply START to begin the quiz":                                            "START",
		"Text REMOVE to take an item out of your order":                            "REMOVE",
		"Reply 1 for hours, 2 for the menu, QUIT to leave the menu":                "QUIT",
		"Responda CONFIRMAR para confirmar o CANCELAR para cancelar":               "CANCELAR",
		"Responda SI para confirmar o PARAR para posponer su cita":                 "PARAR",
		"Répondez OUI pour confirmer ou STOP pour annuler votre rendez-vous":       "STOP",
		"Répondez ARRET pour annuler la livraison":                                 "ARRET",
		"If you can't make it, text CANCEL":                                        "CANCEL",
		"Reply CANCEL if you can't make it":                                        "CANCEL",
		"Reply Y to confirm, N to decline, or STOP ALL to cancel the whole series": "STOP ALL",

		"You may cancel your visit by texting CANCEL to this number": "CANCEL",
		"Textez ARRET au 12345 pour annuler la commande":             "ARRET",
		"Reply STOP if your child does not come":                     "STOP",

		"Reply STOP to unsubscribe":           "",
		"Reply STOP to cancel, HELP for help": "",
		"Text STOP to 40404 to end":           "",
		"Text STOP at any time to opt out.":   "",
		"Txt STOP 2 end":                      "",
		"STOP=end":                            "",
		"Reply STOP to this message to stop receiving appointment reminders.":     "",
		"Reply CANCEL to unsubscribe":                                             "",
		"Reply STOP, END, CANCEL, UNSUBSCRIBE or QUIT to opt out":                 "",
		"To opt out, reply STOP.":                                                 "",
		"Reply C to confirm, R to reschedule. Reply STOP to opt out.":             "",
		"Reply YES to confirm. You can cancel anytime.":                           "",
		"Reply YES to confirm or call us to cancel.":                              "",
		"Text BOOK to reserve; cancel for free up to 2 hours before.":             "",
		"Reply to cancel your appointment":                                        "",
		"Text us to cancel or move your visit":                                    "",
		"Send photos before the end of the day":                                   "",
		"We had to stop the 4pm class. Reply R to rebook.":                        "",
		"Reply START to subscribe again.":                                         "",
		"You are unsubscribed. Reply START to return.":                            "",
		"Responda STOP para no recibir más mensajes":                              "",
		"Responda ALTO para darse de baja":                                        "",
		"Répondez STOP pour vous désabonner":                                      "",
		"Répondez ARRET pour ne plus recevoir de messages":                        "",
		"Please cancel by replying to this text with your name":                   "",
		"END OF SUMMER HOURS: WE CLOSE AT 5. REPLY HOURS FOR MORE":                "",
		"Reply YES to confirm. Late cancel fees apply from 5pm on, to be fair.":   "",
		"Reply {{.Body}} to cancel":                                               "",
		"See https://example.com/cancel to cancel, or reply with your questions.": "",
	} {
		var got []string
		for _, f := range Judge(text, Question, Options{}) {
			if f.Rule == protectedReply {
				got = append(got, text[f.Offset:f.Offset+f.Length])
			}
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, r := range consent.Rules().Rules {
		if r.Tier != consent.TierExact || r.Kind == consent.Help || r.When != "" {
			continue
		}
		for _, w := range r.Words {
			for _, role := range []Role{Keyword, Menu, Answer} {
				if got := ids(Judge(strings.ToUpper(w)+"!", role, Options{})); !slices.Equal(got, []string{protectedWord}) {
					t.Errorf("%s as %s: got %q", w, role, got)
				}
			}
			if got := ids(Judge("^("+w+"|zzz)$", Pattern, Options{})); !slices.Equal(got, []string{protectedWord}) {
				t.Errorf("pattern of %s: got %q", w, got)
			}
		}
	}
	for _, w := range []string{"HOURS", "YES", "HELP", "INFO", "1", "👍", "CONFIRM", "WEEKEND", "STOPS", "RESTART", "ENDO"} {
		if got := Judge(w, Keyword, Options{}); len(got) > 0 {
			t.Errorf("%s: got %v", w, got)
		}
	}
	for _, p := range []string{`^order\s+(\d+)$`, `.*`, `^\w+$`, `^[a-e]`, `^(yes|no)$`, `weekend`, `[`, `^.{3,6}$`, `help`, `ok`, `top`} {
		if got := Judge(p, Pattern, Options{}); len(got) > 0 {
			t.Errorf("%s: got %v", p, got)
		}
	}
	if got := ids(Judge("CANCEL ORDER", Keyword, Options{})); !slices.Equal(got, []string{reviewCommand}) {
		t.Errorf("got %q", got)
	}
	for word, want := range map[string]bool{"Help": true, "info": true, "AIDE": true, "HELPER": false} {
		if got := AsksHelp(word, Keyword); got != want {
			t.Errorf("%s asks for help: %v", word, got)
		}
	}
	for p, want := range map[string]bool{"^(help|info)$": true, ".*": false, "hours": false, "(": false} {
		if got := AsksHelp(p, Pattern); got != want {
			t.Errorf("%s asks for help: %v", p, got)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	joe := Options{Brand: "Joe's Pizza LLC"}
	long := strings.Repeat("word ", 130)
	for i, tc := range []struct {
		role Role
		text string
		o    Options
		want string
	}{
		{Help, "Joe’s Pizza: call 202-555-0143", joe, curableUCS2},
		{Help, "joes pizza: call 202-555-0143", joe, helpAnswer},
		{Help, "JOE'S PIZZA: joe@example.com", joe, ""},
		{Help, "Joe's Pizza's page is example.com/help", joe, ""},
		{Help, "{{.Brand}}: call {{.To}}", joe, ""},
		{Help, "Joe's Pizza: we help you soon", joe, helpAnswer},
		{Help, "Order 1234567890123 is the number", Options{}, helpAnswer},
		{Stop, "Joe's Pizza: no more messages. Reply START to return.", joe, ""},
		{Stop, "You get no more messages. Reply START to return.", joe, stopBrand},
		{Stop, "Joe's Pizza: no more offers. Reply START to return.", joe, ""},
		{Stop, "Joe's Pizza: no more texts. 20% off if you come back.", joe, stopPromotion},
		{Stop, "Joe's Pizza: " + strings.Repeat("bye ", 40), joe, stopLength},
		{Start, consent.Wording("Joe's Pizza", "", consent.English).Start, joe, ""},
		{Start, consent.Wording("Joe's Pizza", "", consent.Spanish).Start, joe, ""},
		{Start, consent.Wording("Joe's Pizza", "", consent.French).Start, joe, ""},
		{Stop, consent.Wording("Joe's Pizza", "", consent.French).Stop, joe, ""},
		{Stop, consent.Wording("Joe's Pizza", "", consent.Spanish).Stop, joe, ""},
		{Help, consent.Wording("Joe's Pizza", "202-555-0143", consent.French).Help, joe, ""},
		{Start, "Joe's Pizza: welcome back", joe, startParts},
		{Notification, "Joe's Pizza: your order is ready. Reply STOP to opt out.", joe, ""},
		{Notification, "Your order is ready. STOP to end.", joe, missingBrand},
		{Marketing, "Joe's Pizza: two for one. Never stop eating.", joe, missingOptOut},
		{Marketing, "Joe's Pizza: two for one. Stop2End", joe, ""},
		{Template, "Your cocktail dress is ready for Guns N' Roses", joe, ""},
		{Marketing, "Joe's Pizza: beer night. STOP to end.", joe, shaft},
		{Template, "Root beer floats are back", joe, ""},
		{Template, "Poker night on Friday", joe, barredSector},
		{Reply, "Beer and poker on Friday", joe, ""},
		{Template, "Bring a water gun", joe, ""},
		{Template, "Begun: the summer of engineering in Sussex", joe, ""},
		{Reply, "https://bit.ly/x", joe, publicShortener},
		{Reply, "Go to http://u:p@TinyURL.com:443/x.", joe, publicShortener},
		{Reply, "Go to https://bit.ly@example.com/x", joe, ""},
		{Reply, "Go to https://example.com/bit.ly/x?u=bit.ly", joe, ""},
		{Reply, "rabbit.lying.example, cafébit.ly, a bit.Lying, x@bit.ly, bit.ly.example.com, sub.bit.ly", joe, ""},
		{Reply, "(t.co/x)", joe, otherShortener},
		{Reply, "https://bit.ly/{{.Body}}", joe, publicShortener},
		{Reply, "{{/* bit.ly */}}hello", joe, ""},
		{Reply, long, joe, manySegments},
		{Reply, "{{if .Media}}" + long[:400] + "{{else}}" + long[:400] + "{{end}}", joe, ""},
		{Reply, strings.Repeat("x", sms.MaxCharacters+1), joe, tooLong},
		{Reply, "We’re open 🎉", joe, ""},
		{Reply, "Open 9–5", joe, curableUCS2},
		{Reply, "See example.com", Options{NoLinks: true}, campaignLink},
		{Reply, "At 9.30 a.m. we open.Come in", Options{NoLinks: true}, ""},
		{Reply, "Call (202) 555-0143", Options{NoPhones: true}, campaignPhone},
		{Reply, "Order 20255501431234 of 2026-11-24, 9-5, $1,234", Options{NoPhones: true}, ""},
		{Brand, "Joe's Pizza", Options{}, ""},
		{Brand, "Joe’s Pizza", Options{}, curableUCS2},
		{Brand, "Clínica Dental Sonrisa", Options{}, brandLength},
		{Brand, "The Very Old and Venerable Pizza Bakery of Joseph and His Eleven Sons", Options{}, brandLength},
		{Brand, "", Options{}, ""},
	} {
		found := Judge(tc.text, tc.role, tc.o)
		if got := strings.Join(ids(found), ","); got != tc.want {
			t.Errorf("%d: %s %q: got %q, want %q", i, tc.role, tc.text, got, tc.want)
		}
		for _, f := range found {
			if f.Message == "" || f.Suggestion == "" || f.Severity != severityOf(f.Rule) || f.Offset+f.Length > len(tc.text) {
				t.Errorf("%d: incomplete, or beyond the text: %+v", i, f)
			}
		}
	}
}

func TestHours(t *testing.T) {
	t.Parallel()
	week := func(s string) quiet.Week {
		w, err := quiet.ParseWeek(s)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, tc := range map[string]struct {
		cfg  quiet.Config
		want int
	}{
		"default":       {quiet.Config{}, 0},
		"strict":        {quiet.Config{Preset: quiet.Strict}, 0},
		"good":          {quiet.Config{Preset: quiet.Custom, Week: week("10:00-18:00")}, 0},
		"one day":       {quiet.Config{Preset: quiet.Custom, Week: week("sat 10:00-11:00")}, 0},
		"night":         {quiet.Config{Preset: quiet.Custom, Week: week("21:00-23:00")}, 1},
		"early":         {quiet.Config{Preset: quiet.Custom, Week: week("05:00-08:00")}, 1},
		"state":         {quiet.Config{Preset: quiet.Custom, Week: week("10:00-18:00"), States: map[string]quiet.Week{"FL": week("none"), "TX": week("06:00-07:00"), "NY": week("09:00-12:00")}}, 2},
		"refused by it": {quiet.Config{Preset: quiet.Custom}, 0},
	} {
		got := Hours(tc.cfg)
		if len(got) != tc.want {
			t.Errorf("%s: got %v, want %d findings", name, got, tc.want)
		}
		for _, f := range got {
			if f.Rule != hoursShut || f.Severity != Error {
				t.Errorf("%s: got %+v", name, f)
			}
		}
	}
}

// TestFindingsQuoteNothing: a finding is logged, and texts never are.
func TestFindingsQuoteNothing(t *testing.T) {
	t.Parallel()
	const secret = "Xylophone"
	for _, role := range Roles() {
		for _, text := range []string{
			secret + ": reply CANCEL to cancel, see bit.ly/" + secret + ", call 202-555-0143 “now” for beer and poker",
			"CANCEL " + secret, secret + strings.Repeat(" x–", 900),
		} {
			for _, f := range Judge(text, role, Options{Brand: "Joe's", NoLinks: true, NoPhones: true}) {
				if s := fmt.Sprint(f); strings.Contains(s, secret) || strings.Contains(s, "0143") {
					t.Errorf("%s: quotes the text: %s", role, s)
				}
			}
		}
	}
}

func FuzzJudge(f *testing.F) {
	for _, s := range []string{
		"Reply CONFIRM to confirm or CANCEL to cancel", "{{if .Media}}bit.ly{{else}}’{{end}}", "http://[::1]:bit.ly@", "stop", "opt out / stop all = end",
		"\xff\xfe“stop”", "^(stop|end)$", "+1 (202) 555-0143 ", "{{", "CANCEL:", "https://", "@", "İ bit.ly K",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, role := range Roles() {
			for _, o := range []Options{{}, {Brand: text, NoLinks: true, NoPhones: true}} {
				for _, found := range Judge(text, role, o) {
					if found.Offset < 0 || found.Length < 0 || found.Offset+found.Length > len(text) {
						t.Errorf("%s of %q: %+v is outside of it", role, text, found)
					}
				}
			}
		}
		AsksHelp(text, Pattern)
	})
}
