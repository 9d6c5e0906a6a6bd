package pace_test

import (
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/messaging/pace"
)

func Example() {
	p, err := pace.New(pace.Limits{}, pace.Alone{})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	bulk := pace.Ask{From: "+12025550100", To: "+12025550143", Class: pace.TenDLC, Segments: 4, Priority: pace.PriorityBulk}
	for range 2 {
		v := p.Reserve(now, bulk)
		fmt.Printf("%v %v %q\n", v.OK, v.At.Sub(now), v.Rule)
	}
	// Output:
	// true 0s ""
	// false 1s "pace.10dlc"
}
