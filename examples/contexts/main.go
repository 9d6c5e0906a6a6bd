// Command contexts answers three phone numbers of one business, each bound to a context of
// its own: support, sales and billing.
//
//	go run ./examples/contexts dev
//	go run ./examples/contexts run --config examples/contexts/signpost.yaml
package main

import (
	"os"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/daemon"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

func main() {
	b := business{
		tickets:  newDesk(),
		books:    paperBooks{cents: map[messaging.Number]int{"+12025550123": 4250}, folder: "receipts"},
		onCall:   "+12025550171",
		brochure: "https://shop.example/plans.png",
		now:      time.Now,
	}
	os.Exit(daemon.Main(b.routes))
}

// business is what the handlers need of the world.
type business struct {
	tickets  tickets
	books    books
	onCall   messaging.Number // the telephone of the person on call
	brochure string           // a picture of the plans
	now      func() time.Time
}

// routes says what each context does.
func (b business) routes(r *contexts.Router) {
	r.Use(handlers.Recover, handlers.Timeout(10*time.Second))
	r.Context("support", b.support)
	r.Context("sales", b.sales)
	r.Context("billing", b.billing)
}
