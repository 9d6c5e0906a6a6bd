// Package lint judges what an operator wrote, before anybody gets it: texts, command words,
// expected answers and quiet hours. Its one guarantee: it looks and never changes or blocks;
// what it finds is for people to mend.
//
//	for _, f := range lint.Judge("Reply CONFIRM to confirm or CANCEL to cancel", lint.Question, lint.Options{}) {
//		fmt.Println(f.Severity, f.Rule, f.Message+"; "+f.Suggestion)
//	}
//
// A text may be a template of text/template. What its actions print is not known and not
// judged; {{.Brand}} counts as the brand, and {{.To}} as a number to call.
//
// A finding repeats nothing of a text but what is on the sheet anyway: protected words,
// hosts of shorteners, names of sectors, single characters.
//
// There is no I/O and no state. Nothing here is legal advice.
package lint
