package daemon

import (
	"strings"
	"testing"
)

func TestParseBulk(t *testing.T) {
	t.Parallel()
	l, err := parseBulk("list.csv", []byte("\ufeffname;Mobile number;locale;\nAnn;(202) 555-0101;es;x\n\"B; \"\"Bo\"\"\";+1 202 555 0102;;\n"), "")
	if err != nil || len(l.bad) > 0 || len(l.rows) != 2 {
		t.Fatalf("got %v, %+v", err, l)
	}
	a, b := l.rows[0], l.rows[1]
	if a.To != "+12025550101" || a.Row.Row != 1 || a.Locale != "es" || len(a.Variables) != 1 || a.Variables["name"] != "Ann" || a.line != 2 {
		t.Errorf("first: %+v", a)
	}
	if b.To != "+12025550102" || b.Row.Row != 2 || b.Variables["name"] != `B; "Bo"` || b.line != 3 {
		t.Errorf("second: %+v", b)
	}
}

func TestParseBulkSaysWhere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "list.csv:1:1: the list is empty",
		"name,city\nAnn,Rome\n":         "list.csv:1:1: no column is the phone number",
		"phone,mobile\n":                "list.csv:1:7: two columns are phone numbers",
		"phone,4th\n":                   "list.csv:1:7: the column cannot be a variable",
		"phone,a b,a_b\n":               "list.csv:1:11: two columns are {{.a_b}}",
		"phone,name\n+12025550101,a\"b": "list.csv:2:15: quotation marks do not match",
		"phone\n\x00":                   "list.csv:1:1: the list is no text",
	} {
		if _, err := parseBulk("list.csv", []byte(text), ""); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := parseBulk("list.csv", []byte("phone\n"), "cell"); err == nil || !strings.Contains(err.Error(), "--column") {
		t.Errorf("a column that is not there: %v", err)
	}
	l, err := parseBulk("list.csv", []byte("name,phone\nAnn,12\nBo,+12025550101\nCy,+1 (202) 555-0101\nDi\nEd,12345\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range l.bad {
		got = append(got, l.where(f)+" "+f.Phone)
	}
	want := "list.csv:2:5 12|list.csv:4:4 +1 (202) 555-0101|list.csv:5:1 |list.csv:6:4 12345"
	if strings.Join(got, "|") != want || len(l.rows) != 1 || l.rows[0].Row.Row != 2 {
		t.Errorf("got %s, want %s; rows %+v", strings.Join(got, "|"), want, l.rows)
	}
}

func FuzzParseBulk(f *testing.F) {
	f.Add("phone,name\n+12025550101,Ann\n")
	f.Add("a;phone\n\"x\ny\";2025550101\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseBulk("f", []byte(text), "")
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, r := range l.rows {
			if seen[r.To] || !strings.HasPrefix(r.To, "+") || r.Row.Row < 1 || r.line < 2 {
				t.Errorf("row %+v", r)
			}
			seen[r.To] = true
		}
	})
}
