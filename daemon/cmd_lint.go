package daemon

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/messaging/lint"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// linted is what "signpost lint --json" prints.
type linted struct {
	Role       lint.Role      `json:"role"`
	Text       string         `json:"text"` // of a template: without what its actions print
	Encoding   sms.Encoding   `json:"encoding"`
	Characters int            `json:"characters"`
	Units      int            `json:"units"` // septets, or 16-bit units
	Segments   []textSegment  `json:"segments"`
	Forced     []forcedChar   `json:"forced"` // what made it UCS-2
	Smart      *smartText     `json:"smart"`  // null if smart encoding changes nothing
	Findings   []lint.Finding `json:"findings"`

	source string // the text as it was given, which the findings are about
}

// textSegment is a part of a text that travels by itself.
type textSegment struct {
	Text   string `json:"text"`
	Offset int    `json:"offset"` // where it begins, in bytes of the text
	Units  int    `json:"units"`
	Room   int    `json:"room"` // how many units it could have
}

// forcedChar is a character that GSM 03.38 does not have.
type forcedChar struct {
	Char      string `json:"char"`
	CodePoint string `json:"code_point"`
	Offset    int    `json:"offset"` // of the first one, in bytes of the text
	Count     int    `json:"count"`
}

// smartText is what smart encoding makes of a text.
type smartText struct {
	Text     string         `json:"text"`
	Encoding sms.Encoding   `json:"encoding"`
	Units    int            `json:"units"`
	Segments int            `json:"segments"`
	Replaced []replacedChar `json:"replaced"`
}

type replacedChar struct {
	Char      string `json:"char"`
	CodePoint string `json:"code_point"`
	To        string `json:"to"`
	Count     int    `json:"count"`
}

func (c *cli) lintCommand() *cobra.Command {
	var o lint.Options
	role := string(lint.Reply)
	cmd := &cobra.Command{
		Use:   "lint TEXT... | -",
		Short: "Show how a text travels, and what breaks a rule of texting",
		Long: `Show in which encoding and in how many segments a text travels, where each segment
begins, which characters made it UCS-2, what smart encoding makes of it, and what breaks a
rule of texting or wastes segments. Several words are one text; - reads it from standard
input. Of a template the actions, such as {{.Body}}, are left out.

--role says what the text is for, or the word:
` + rolesHelp + `
Exit codes: 0 nothing or only warnings, 1 a rule is broken.`,
		Example: `  signpost lint "Reply CONFIRM to confirm or CANCEL to cancel"
  signpost lint --role marketing --brand "Joe's Pizza" "Two for one tonight"
  signpost lint --role keyword STOP
  signpost lint --json - < reminder.txt`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(lint.Roles(), lint.Role(role)) {
				return exitf(ExitUsage, "--role %s: use one of %s", quote(role), strings.Join(roleNames(), ", "))
			}
			text := strings.Join(args, " ")
			if text == "-" {
				var err error
				if text, err = c.readText(); err != nil {
					return err
				}
			}
			l := newLinted(text, lint.Role(role), o)
			if c.asJSON {
				if err := c.printJSON(l); err != nil {
					return err
				}
			} else {
				c.printf("%s", l)
			}
			if slices.ContainsFunc(l.Findings, func(f lint.Finding) bool { return f.Severity == lint.Error }) {
				return withExit(ExitFindings, errSilent)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", role, "what it is for")
	cmd.Flags().StringVar(&o.Brand, "brand", "", "name of the sender; without it no text is blamed for not naming it")
	cmd.Flags().BoolVar(&o.NoLinks, "no-links", false, "the campaign says that its texts have no links")
	cmd.Flags().BoolVar(&o.NoPhones, "no-phones", false, "the campaign says that its texts have no telephone numbers")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp))
	c.jsonFlag(cmd)
	return cmd
}

const rolesHelp = `  reply         answers somebody who wrote (the default)
  question      asks something, or reminds of it
  template      is kept for sending
  notification  is a programme's message
  marketing     is a programme's message that sells
  help          answers HELP
  stop, start   confirm an opt-out, an opt-in
  brand         is the name of the business
  keyword       is a command; pattern: a regular expression for one
  menu, answer  are words to choose, or expected answers
`

func roleNames() (names []string) {
	for _, r := range lint.Roles() {
		names = append(names, string(r))
	}
	return names
}

// maxText bounds what is read as one text.
const maxText = 1 << 20

// readText reads a text from standard input, without the line break at its end.
func (c *cli) readText() (string, error) {
	text, err := io.ReadAll(io.LimitReader(c.in, maxText+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the text: %w", err)
	case len(text) > maxText:
		return "", exitf(ExitUsage, "standard input has more than 1 MiB: give one text")
	case !utf8.Valid(text):
		return "", exitf(ExitUsage, "standard input is not UTF-8: give a text")
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

func newLinted(text string, role lint.Role, o lint.Options) *linted {
	visible := text
	if !isWord(role) {
		visible = lint.Visible(text, o.Brand)
	}
	a := sms.Analyse(visible, sms.Options{})
	l := &linted{
		Role: role, Text: visible, Encoding: a.Encoding, Characters: a.Characters, Units: a.Units,
		Segments: segmentsOf(visible, a), Forced: []forcedChar{}, Findings: lint.Judge(text, role, o), source: text,
	}
	if l.Findings == nil {
		l.Findings = []lint.Finding{}
	}
	for _, f := range a.Forced {
		l.Forced = append(l.Forced, forcedChar{string(f.Char), codePoint(f.Char), f.Offset, f.Count})
	}
	if plain, replaced := sms.Smart(visible); len(replaced) > 0 {
		after := sms.Analyse(plain, sms.Options{})
		l.Smart = &smartText{Text: plain, Encoding: after.Encoding, Units: after.Units, Segments: after.Segments}
		for _, r := range replaced {
			l.Smart.Replaced = append(l.Smart.Replaced, replacedChar{string(r.From), codePoint(r.From), r.To, r.Count})
		}
	}
	return l
}

// isWord tells the roles of what is not sent.
func isWord(role lint.Role) bool {
	return slices.Contains([]lint.Role{lint.Keyword, lint.Pattern, lint.Menu, lint.Answer}, role)
}

func codePoint(r rune) string { return fmt.Sprintf("U+%04X", r) }

// segmentsOf cuts a text into its segments.
func segmentsOf(text string, a sms.Analysis) []textSegment {
	limits := sms.StandardLimits()
	single, part := limits.SingleGSM7, limits.PartGSM7
	units := func(s string) int { return sms.Analyse(s, sms.Options{}).Units }
	if a.Encoding == sms.UCS2 {
		single, part = limits.SingleUCS2, limits.PartUCS2
		units = func(s string) int { return len(utf16.Encode([]rune(s))) }
	}
	all := []textSegment{}
	if a.Segments == 0 {
		return all
	}
	room := single
	if a.Segments > 1 {
		room = part
	}
	ends := append(slices.Clone(a.Breaks), len(text))
	begin := 0
	for _, end := range ends {
		all = append(all, textSegment{text[begin:end], begin, units(text[begin:end]), room})
		begin = end
	}
	return all
}

var encodingNames = map[sms.Encoding]string{sms.GSM7: "GSM-7", sms.UCS2: "UCS-2"}

// String is what people see.
func (l *linted) String() string {
	var b strings.Builder
	if !isWord(l.Role) {
		l.describe(&b)
	}
	for _, f := range l.Findings {
		where := ""
		if f.Offset > 0 {
			where = fmt.Sprintf("at character %d: ", utf8.RuneCountInString(l.source[:f.Offset])+1)
		}
		_, _ = fmt.Fprintf(&b, "%s: %s: %s%s; %s\n", f.Severity, f.Rule, where, f.Message, f.Suggestion)
	}
	if len(l.Findings) == 0 {
		b.WriteString("ok: no rule is broken\n")
	}
	return b.String()
}

// describe writes how the text travels.
func (l *linted) describe(b *strings.Builder) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(b, format+"\n", args...) }
	line("%s, %s in %s", encodingNames[l.Encoding], plural(l.Characters, "character", "characters"), plural(len(l.Segments), "segment", "segments"))
	if l.Text != l.source {
		line("without what the actions of the template print")
	}
	for i, s := range l.Segments {
		line("  %d  %3d of %d  %q", i+1, s.Units, s.Room, s.Text)
	}
	if len(l.Forced) > 0 {
		line("UCS-2 because of")
	}
	for _, f := range l.Forced {
		line("  %s  %s, first at character %d", charName(f.Char, f.CodePoint), plural(f.Count, "time", "times"), utf8.RuneCountInString(l.Text[:f.Offset])+1)
	}
	if s := l.Smart; s != nil {
		line("smart encoding makes it %s in %s", encodingNames[s.Encoding], plural(s.Segments, "segment", "segments"))
		for _, r := range s.Replaced {
			line("  %s  becomes %q, %s", charName(r.Char, r.CodePoint), r.To, plural(r.Count, "time", "times"))
		}
		line("  before  %q", l.Text)
		line("  after   %q", s.Text)
	}
}

// charName is a character with its code point, and alone if it can be seen.
func charName(char, codePoint string) string {
	if r, _ := utf8.DecodeRuneInString(char); !strings.HasPrefix(fmt.Sprintf("%q", r), `'\`) {
		return char + " " + codePoint
	}
	return codePoint
}
