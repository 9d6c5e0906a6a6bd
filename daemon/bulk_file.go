package daemon

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging/sms"
)

// bulkList is a list of recipients, as far as it can be read.
type bulkList struct {
	name    string   // of the file
	columns []string // of variables, as texts name them
	rows    []bulkRow
	bad     []bulkFault
}

// variables are the names of the columns that are variables.
func (l *bulkList) variables() []string {
	return slices.DeleteFunc(slices.Clone(l.columns), func(name string) bool { return name == "" })
}

// bulkRow is a recipient.
type bulkRow struct {
	api.Row

	line int
}

// bulkFault says what is wrong with a row, and where. It repeats nothing of the row.
type bulkFault struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"` // counted in bytes
	Row     int64  `json:"row"`
	Phone   string `json:"phone,omitempty"` // as the file has it, for the results
	Problem string `json:"problem"`
}

// bulkLocale is the column whose values are no variable but the language of a row's text.
const bulkLocale = "locale"

// parseBulk reads a list: CSV under a head line that names the columns. One is the phone
// number, by its usual names or the one that is given; one may be locale; the others are
// variables. The error says where the list ends to be one; what is wrong with single rows is
// among the faults.
func parseBulk(name string, text []byte, numberColumn string) (*bulkList, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) || bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("%s:1:1: the list is no text in UTF-8; save it as CSV in UTF-8", name)
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.FieldsPerRecord = separator(string(first)), -1
	r.TrimLeadingSpace = r.Comma != '\t'
	l := &bulkList{name: name}
	number, locale, err := l.head(r, numberColumn)
	if err != nil {
		return nil, err
	}
	lines := map[string]int{} // of each number
	for n := int64(1); ; n++ {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return nil, csvError(name, err)
		}
		l.row(r, n, fields, number, locale, lines)
	}
}

// csvError is where the quotation of a list breaks, beyond which nothing can be read.
func csvError(name string, err error) error {
	var at *csv.ParseError
	if !errors.As(err, &at) {
		return fmt.Errorf("%s: %w", name, err)
	}
	mend := "quotation marks do not match: put a field with quotation marks into quotation marks, and double those within"
	return fmt.Errorf("%s:%d:%d: %s (row begins at line %d)", name, at.Line, at.Column, mend, at.StartLine)
}

// head reads the head line: where number and locale are, and the variables' names.
func (l *bulkList) head(r *csv.Reader, numberColumn string) (number, locale int, err error) {
	fields, err := r.Read()
	if errors.Is(err, io.EOF) {
		return 0, 0, fmt.Errorf("%s:1:1: the list is empty; its first line names the columns, such as phone,name", l.name)
	}
	if err != nil {
		return 0, 0, csvError(l.name, err)
	}
	number, locale = -1, -1
	seen := map[string]bool{}
	for i, head := range fields {
		head = strings.TrimSpace(head)
		line, column := r.FieldPos(i)
		at := fmt.Sprintf("%s:%d:%d", l.name, line, column)
		isNumber := head == numberColumn
		if numberColumn == "" {
			isNumber = columnOf(head) == "number"
		}
		variable := variableOf(head)
		switch {
		case isNumber && number >= 0:
			return 0, 0, fmt.Errorf("%s: two columns are phone numbers; say which one it is with --column", at)
		case isNumber:
			number = i
		case strings.EqualFold(head, bulkLocale):
			locale = i
		case variable == "" && head != "":
			return 0, 0, fmt.Errorf("%s: the column cannot be a variable; name it with letters, digits and underscores, a letter first", at)
		case seen[variable] && variable != "":
			return 0, 0, fmt.Errorf("%s: two columns are {{.%s}}; rename one of them", at, variable)
		}
		seen[variable] = true
		if i == number || i == locale {
			variable = ""
		}
		l.columns = append(l.columns, variable)
	}
	if number < 0 {
		want := "name one of them phone, or say which one it is with --column"
		if numberColumn != "" {
			want = "--column names none of them"
		}
		return 0, 0, fmt.Errorf("%s:1:1: no column is the phone number; %s", l.name, want)
	}
	return number, locale, nil
}

// variableOf is the name that a column has in a text: {{.first_name}} for "First name" is
// first_name only if the column is; letters stay as they are. Empty if it can be none.
func variableOf(head string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-' || r == '_':
			return '_'
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, head)
	if name == "" || len(name) < len(head) || name[0] >= '0' && name[0] <= '9' {
		return ""
	}
	return name
}

// row takes one row.
func (l *bulkList) row(r *csv.Reader, n int64, fields []string, number, locale int, lines map[string]int) {
	line, column := r.FieldPos(0)
	bad := func(i int, problem string) {
		f := bulkFault{Line: line, Column: column, Row: n, Problem: problem}
		if i < len(fields) {
			f.Line, f.Column = r.FieldPos(i)
		}
		if number < len(fields) {
			f.Phone = strings.TrimSpace(fields[number])
		}
		l.bad = append(l.bad, f)
	}
	if len(fields) != len(l.columns) {
		bad(min(len(fields), len(l.columns))-1, fmt.Sprintf("the row has %s, and the head line %d; quote a field that has a comma in it", plural(len(fields), "column", "columns"), len(l.columns)))
		return
	}
	p, err := sms.ParseNumber(strings.TrimSpace(fields[number]))
	switch {
	case err != nil:
		bad(number, err.Error())
		return
	case p.Class == sms.ShortCode:
		bad(number, "a number of 5 or 6 digits is no person's: write it with + and country code")
		return
	}
	if before, twice := lines[p.Number]; twice {
		bad(number, fmt.Sprintf("the number is that of line %d already, and gets one text", before))
		return
	}
	lines[p.Number] = line
	row := bulkRow{Row: api.Row{Row: n, To: p.Number}, line: line}
	for i, name := range l.columns {
		switch {
		case i == locale:
			row.Locale = strings.TrimSpace(fields[i])
		case name != "":
			if row.Variables == nil {
				row.Variables = map[string]string{}
			}
			row.Variables[name] = strings.TrimSpace(strings.ToValidUTF8(fields[i], "\ufffd"))
		}
	}
	l.rows = append(l.rows, row)
}

// where is the place of a fault in the file.
func (l *bulkList) where(f bulkFault) string {
	return fmt.Sprintf("%s:%d:%d", l.name, f.Line, f.Column)
}
