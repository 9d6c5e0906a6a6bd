package handlers_test

import (
	"context"
	"fmt"
	"time"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// text lets a handler answer a message, and prints what it says.
func text(h messaging.Handler, body string) {
	rec, err := messagingtest.Run(h, messagingtest.NewMessage("support", "+12025550123", "+12025550100", body))
	fmt.Printf("%s -> %q %v\n", body, rec.Replies(), err)
}

func Example() {
	r := contexts.NewRouter()
	r.Use(handlers.Recover, handlers.Timeout(10*time.Second))
	r.Context("support", func(r *contexts.Router) {
		r.Use(handlers.Keyword("HOURS", handlers.Reply("We're open Mon-Fri 9am-5pm")))
		r.OnMessage(handlers.Reply("You said: {{.Body}}"))
	})
	text(r, "Hours?")
	text(r, "Hello")
	// Output:
	// Hours? -> ["We're open Mon-Fri 9am-5pm"] <nil>
	// Hello -> ["You said: Hello"] <nil>
}

func ExampleKeyword() {
	hours := handlers.Keyword("HOURS", handlers.Reply("9 to 5"))
	chain := hours(handlers.Ignore())
	text(chain, "“hours”!! 🙏")
	text(chain, "What are your hours?")
	// Output:
	// “hours”!! 🙏 -> ["9 to 5"] <nil>
	// What are your hours? -> [] <nil>
}

func ExampleKeywordOptions() {
	o := handlers.KeywordOptions{
		Words: []string{`^order (?P<number>[a-z]{2}-\d+)$`},
		Match: handlers.MatchRegexp,
		Reply: "Order {{.Groups.number | upper}} is on its way.",
	}
	order, err := o.Middleware(handlers.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	text(order(handlers.Ignore()), "order ab-17")
	// Output:
	// order ab-17 -> ["Order AB-17 is on its way."] <nil>
}

func ExampleReply() {
	text(handlers.Reply(`Thank you{{with .Body | firstword}}, "{{truncate 10 .}}" noted{{end}}.`), "Tuesday at noon")
	// Output:
	// Tuesday at noon -> ["Thank you, \"Tuesday\" noted."] <nil>
}

func ExampleOnState() {
	phone := messaging.HandlerFunc(func(_ context.Context, _ messaging.Responder, ev *messaging.Event) error {
		fmt.Println("call them instead:", ev.State)
		return nil
	})
	chain := handlers.OnState(phone, messaging.StateFailed, messaging.StateUndelivered)(handlers.Ignore())
	for _, s := range []messaging.State{messaging.StateSent, messaging.StateFailed} {
		ev := messagingtest.NewState("support", "m1", "+12025550100", "+12025550123", s)
		if _, err := messagingtest.Run(chain, ev); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// call them instead: failed
}

func ExampleOpenMedia() {
	size := messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		for i := range ev.Media {
			m, err := handlers.OpenMedia(ctx, ev, i)
			if err != nil {
				return err // tried again later, or dropped
			}
			w.Reply(fmt.Sprintf("Thank you for the %s of %d bytes.", m.Type, m.Size))
			if err := m.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	text(size, "no picture")
	// Output:
	// no picture -> [] <nil>
}

func ExampleSaveMedia() {
	chain := handlers.SaveMedia("/var/lib/signpost/pictures", "image/*")(handlers.Reply("Please send a picture."))
	text(chain, "Hello")
	// Output:
	// Hello -> ["Please send a picture."] <nil>
}

func ExampleMenu() {
	menu := handlers.Menu("Reply 1 for hours, 2 for prices.", map[string]messaging.Handler{
		"1": handlers.Reply("Tue-Sat 10-7."),
		"2": handlers.Reply("Cuts from $22."),
	})
	text(menu(handlers.Ignore()), "1")
	text(menu(handlers.Ignore()), "hello")
	// Output:
	// 1 -> ["Tue-Sat 10-7."] <nil>
	// hello -> ["Reply 1 for hours, 2 for prices."] <nil>
}

func ExampleNewQuestion() {
	day, err := handlers.NewQuestion(handlers.AskOptions{
		Question: "Which day suits you, MON or TUE?",
		Answers: map[string]handlers.Action{
			"MON": {Reply: "Monday it is."},
			"TUE": {Handler: handlers.Reply("Tuesday it is.")},
		},
	})
	if err != nil {
		panic(err)
	}
	r := contexts.NewRouter()
	r.Context("desk", func(r *contexts.Router) {
		r.With(handlers.Keyword("BOOK", day.Ask())).OnMessage(handlers.Ignore())
		r.Answer(day.Name(), day.Answer())
	})
	text(day.Ask(), "BOOK")
	text(day.Answer(), "Tue")
	text(day.Answer(), "What?")
	// Output:
	// BOOK -> ["Which day suits you, MON or TUE?"] <nil>
	// Tue -> ["Tuesday it is."] <nil>
	// What? -> [] messaging: not an answer
}
