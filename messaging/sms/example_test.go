package sms_test

import (
	"fmt"

	"github.com/signpost-sms/signpost/messaging/sms"
)

func ExampleAnalyse() {
	a := sms.Analyse("We’re open 9–5 today. Reply YES to keep your appointment or NO to move it.", sms.Options{})
	fmt.Println(a.Encoding, a.Segments)
	for _, f := range a.Forced {
		fmt.Printf("%c at byte %d\n", f.Char, f.Offset)
	}
	// Output:
	// ucs2 2
	// ’ at byte 2
	// – at byte 14
}

func ExampleSmart() {
	before := "We’re open 9–5 today. Reply YES to keep your appointment or NO to move it."
	after, _ := sms.Smart(before)
	fmt.Println(after)
	fmt.Println(sms.Segments(before, sms.Options{}), "->", sms.Segments(after, sms.Options{}))
	// Output:
	// We're open 9-5 today. Reply YES to keep your appointment or NO to move it.
	// 2 -> 1
}

func ExampleParseNumber() {
	n, err := sms.ParseNumber("(800) 555-0123")
	fmt.Println(n.Number, n.Class, err)
	_, err = sms.ParseNumber("555-0123")
	fmt.Println(err)
	// Output:
	// +18005550123 tollfree <nil>
	// the country of the number is unknown: write it with a plus and the country code, as +12025550123
}
