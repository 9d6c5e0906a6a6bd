package consent_test

import (
	"fmt"

	"github.com/signpost-sms/signpost/messaging/consent"
)

func ExampleClassify() {
	for _, text := range []string{"“Stop.” 🙏", "Stop. Thank you", "We have to stop this bill", "When do you open?"} {
		v := consent.Classify(text, consent.State{})
		fmt.Printf("%s: %q %q %q\n", text, v.Kind, v.Tier, v.Word)
	}
	// Output:
	// “Stop.” 🙏: "stop" "exact" "stop"
	// Stop. Thank you: "stop" "phrase" "stop"
	// We have to stop this bill: "review" "review" "stop"
	// When do you open?: "" "" ""
}

func ExampleProtected() {
	for _, word := range []string{"CANCEL", "CONFIRM"} {
		_, taken := consent.Protected(word)
		fmt.Println(word, taken)
	}
	// Output:
	// CANCEL true
	// CONFIRM false
}
