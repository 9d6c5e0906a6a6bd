package geo_test

import (
	"fmt"

	"github.com/signpost-sms/signpost/messaging/geo"
)

func Example() {
	g, err := geo.New([]string{"CA"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, to := range []string{"+13125550143", "+14165550143", "+18765550143"} {
		v := g.Ask("+12025550100", to)
		fmt.Println(v.OK, v.Name)
	}
	// Output:
	// true United States
	// true Canada
	// false Jamaica
}
