package consent

import "slices"

// The sheet's version grows with every change of its data; the date says when its sources
// were last read.
const (
	Version = 1
	Date    = "2026-11-23"
)

// Kind is what a message says about consent.
type Kind string

// The kinds.
const (
	None   Kind = ""
	Stop   Kind = "stop"   // the sender revokes consent
	Start  Kind = "start"  // the sender gives it again
	Help   Kind = "help"   // the sender asks who is texting
	Review Kind = "review" // a person has to read it: until then only replies may be sent
)

// Tier is how sure a verdict is.
type Tier string

// The tiers.
const (
	TierNone   Tier = ""
	TierExact  Tier = "exact"  // the whole text is one of the words
	TierPhrase Tier = "phrase" // an opt-out in a reasonable person's own words
	TierReview Tier = "review" // an opt-out word in a longer sentence
)

// Language is an ISO 639-1 code.
type Language string

// The languages of the sheet. French is Canadian French: its texts are bilingual.
const (
	English Language = "en"
	Spanish Language = "es"
	French  Language = "fr"
)

// Rule is one row of words. A rule is never removed by configuration.
type Rule struct {
	ID       string
	Kind     Kind
	Tier     Tier
	Language Language
	// Words are in normal form. In phrases, a word in parentheses is optional, and bars
	// separate alternatives.
	Words  []string
	When   string // the circumstances under which the words count; empty for always
	Effect string // what follows
	Source string
}

// Practice is one row about confirmations, timing or scope: not words, but what we do.
type Practice struct {
	ID      string
	Rule    string
	Default string // what is done unless configured otherwise
	Source  string
}

// Sheet is everything the package knows.
type Sheet struct {
	Version  int
	Date     string // ISO 8601
	Rules    []Rule
	Practice []Practice
}

// Rules returns the sheet, in the order in which verdicts are reached. It is a copy.
func Rules() Sheet {
	s := Sheet{Version: Version, Date: Date, Practice: slices.Clone(practice)}
	for _, r := range rules {
		row := *r
		row.Words = slices.Clone(r.Words)
		s.Rules = append(s.Rules, row)
	}
	return s
}

var (
	ruleFCC = &Rule{
		ID: "fcc", Kind: Stop, Tier: TierExact, Language: English,
		Words:  []string{"stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"},
		Effect: "opt out at once",
		Source: "47 CFR 64.1200(a)(10), words that revoke consent per se; FCC 24-24; 89 Fed. Reg. 15756 (2024-03-05)",
	}
	ruleCTIA = &Rule{
		ID: "ctia", Kind: Stop, Tier: TierExact, Language: English,
		Words:  []string{"please opt me out"}, // its other words are the FCC's too
		Effect: "opt out at once",
		Source: "CTIA Messaging Principles and Best Practices (May 2023), 5.1.3",
	}
	ruleIndustry = &Rule{
		ID: "industry", Kind: Stop, Tier: TierExact, Language: English,
		Words:  []string{"stopall", "stop all", "optout", "remove"},
		Effect: "opt out at once",
		Source: "default opt-out words of Twilio, Telnyx and AWS End User Messaging",
	}
	ruleCanada = &Rule{
		ID: "canada", Kind: Stop, Tier: TierExact, Language: French,
		Words:  []string{"arret", "td"},
		Effect: "opt out at once, answer in English and French",
		Source: "short-code rules for Canada as published by Twilio and Sinch; AWS list for TD",
	}
	ruleSpanish = &Rule{
		ID: "spanish", Kind: Stop, Tier: TierExact, Language: Spanish,
		Words:  []string{"alto", "parar", "cancelar", "basta", "no mas"},
		Effect: "opt out at once",
		Source: "practice; 47 CFR 64.1200(a)(10), words a reasonable person would understand",
	}
	ruleStart = &Rule{
		ID: "start", Kind: Start, Tier: TierExact, Language: English,
		Words:  []string{"start", "unstop", "subscribe"},
		Effect: "restore consent in the scope in which it was revoked",
		Source: "default opt-in words of Twilio, Braze and AWS; UNSTOP is the network's own word on toll-free numbers",
	}
	ruleYes = &Rule{
		ID: "yes", Kind: Start, Tier: TierExact, Language: English,
		Words:  []string{"yes"},
		When:   "the number is opted out and no question to it is open",
		Effect: "restore consent in the scope in which it was revoked",
		Source: "default opt-in words of Twilio and Braze; without the condition every answer YES would subscribe",
	}
	ruleHelp = &Rule{
		ID: "help", Kind: Help, Tier: TierExact, Language: English,
		Words:  []string{"help", "info"},
		Effect: "the chain may answer; if it does not, the built-in text does, also when opted out",
		Source: "CTIA Messaging Principles and Best Practices (May 2023); short-code handbook",
	}
	ruleHelpFrench = &Rule{
		ID: "help-canada", Kind: Help, Tier: TierExact, Language: French,
		Words:  []string{"aide"},
		Effect: "as help, in English and French",
		Source: "short-code rules for Canada as published by Twilio and Sinch",
	}
	rulePolite = &Rule{
		ID: "polite", Kind: Stop, Tier: TierPhrase, Language: English,
		Words: []string{
			"please", "thanks", "thank", "you", "now", "it", "this", "all", "me",
			"texting", "messaging", "sending", "contacting", "texts", "messages",
			"por", "favor", "gracias", "merci", "svp",
		},
		When:   "the text is an opt-out word, after please or not, and nothing else but these words and opt-out words",
		Effect: "opt out at once, logged as a phrase",
		Source: "47 CFR 64.1200(a)(10), any reasonable means; courtesy must not defeat an opt-out",
	}
	rulePhrase = &Rule{
		ID: "phrase", Kind: Stop, Tier: TierPhrase, Language: English,
		Words: []string{
			"stop|quit texting|messaging|contacting|sending",
			"remove|take me off|from",
			"don't|dont text|contact|message me",
			"do not text|contact|message me",
			"leave me alone",
			"no more texts|messages",
			"lose my number",
			"opt me out",
		},
		When:   "anywhere in the text; stop and quit not after a negation",
		Effect: "opt out at once, logged as a phrase",
		Source: "47 CFR 64.1200(a)(10), words a reasonable person would understand to revoke consent",
	}
	ruleWrongNumber = &Rule{
		ID: "wrong-number", Kind: Stop, Tier: TierPhrase, Language: English,
		Words: []string{
			"wrong number", // as the whole text
			"you have|got|are (got) (the|a) wrong number",
			"you've (got) (the|a) wrong number",
			"this|it is (the|a) wrong number",
			"it's (the|a) wrong number",
		},
		When:   "wrong number alone, with or without courtesy; the others anywhere in the text",
		Effect: "suppress the number, with a text that does not speak of a subscription",
		Source: "the person texted is not the one who consented; 47 CFR 64.1200(a)(12)",
	}
	ruleReview = &Rule{
		ID: "review", Kind: Review, Tier: TierReview, Language: English,
		Words:  nil, // every exact opt-out word but td
		When:   "an opt-out word stands in a longer text that is no phrase, and the number is not opted out",
		Effect: "hold everything but replies until a person has read it",
		Source: "47 CFR 64.1200(a)(10), totality of the circumstances",
	}
)

// rules are in the order in which verdicts are reached.
var rules = []*Rule{
	ruleFCC, ruleCTIA, ruleIndustry, ruleCanada, ruleSpanish, ruleStart, ruleYes, ruleHelp, ruleHelpFrench,
	rulePolite, rulePhrase, ruleWrongNumber, ruleReview,
}

var practice = []Practice{
	{
		ID: "one-confirmation", Rule: "one confirmation may follow an opt-out, with nothing promotional in it, and nothing after it",
		Default: "on", Source: "47 CFR 64.1200(a)(12), in force 2024-04-04",
	},
	{
		ID: "five-minutes", Rule: "a confirmation within five minutes is presumed to be covered by the consent before; a later one has to be justified",
		Default: "an opt-out that is handled later is recorded and not confirmed", Source: "47 CFR 64.1200(a)(12)",
	},
	{
		ID: "repeat-stop", Rule: "a second opt-out of the same number needs no second confirmation; short-code programmes may owe one each time",
		Default: "silent", Source: "47 CFR 64.1200(a)(12) against short-code practice: a setting",
	},
	{
		ID: "toll-free", Rule: "on toll-free numbers the network answers STOP and UNSTOP itself, and blocks",
		Default: "record, and suppress our confirmation", Source: "Vonage, SMSTools and AWS on toll-free numbers",
	},
	{
		ID: "confirmation-text", Rule: "a confirmation names the brand, says that no more messages come, says how to return, and is one segment",
		Default: "the texts of Wording", Source: "CTIA short-code handbook",
	},
	{
		ID: "opt-in-text", Rule: "the confirmation of a recurring programme names brand, frequency, HELP, STOP and that rates may apply",
		Default: "the text of Wording", Source: "CTIA Messaging Principles and Best Practices (May 2023), 5.1.2.1",
	},
	{
		ID: "help-limit", Rule: "help is answered also when opted out, without becoming a loop between two machines",
		Default: "the first two, then one in 24 hours for each sender", Source: "CTIA Messaging Principles and Best Practices (May 2023)",
	},
	{
		ID: "honour", Rule: "a revocation is honoured within a reasonable time, at most ten business days",
		Default: "at once, in the transaction that journals the message", Source: "47 CFR 64.1200(a)(10); FCC 24-24, in force 2025-04-11",
	},
	{
		ID: "any-means", Rule: "consent may be revoked by any reasonable means; no exclusive one may be imposed",
		Default: "also by command, local API and import, for mail, phone and web", Source: "47 CFR 64.1200(a)(10)",
	},
	{
		ID: "revoke-all", Rule: "one STOP ends unrelated messages of the sender too; waived until 2027-01-31 and under review",
		Default: "global scope; per context only by setting, with a warning", Source: "FCC Order DA 26-12 (2026-01-06); FNPRM of 2025-10-29",
	},
	{
		ID: "proof", Rule: "opt-outs are kept: Virginia asks for ten years for solicitations",
		Default: "for ever; forgetting a person keeps the proof", Source: "Virginia SB 1339, in force 2026-01-01",
	},
	{
		ID: "florida", Rule: "no suit unless texts go on 15 days after STOP",
		Default: "moot; times are kept", Source: "Florida HB 761 (2023)",
	},
	{
		ID: "casl", Rule: "Canada: unsubscribe without delay, at most ten business days",
		Default: "at once, answers in English and French", Source: "Canada's anti-spam legislation (CASL)",
	},
}
