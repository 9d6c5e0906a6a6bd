// Package chatbot is an example: see signpost.yaml.
package chatbot

import (
	"testing"

	"github.com/signpost-sms/signpost/examples/internal/exampletest"
)

func TestChatbot(t *testing.T) {
	t.Parallel()
	bot := exampletest.Start(t, "signpost.yaml", nil, nil)
	for _, say := range []struct{ body, want string }{
		{"balance", "Your current balance is $42.50."},
		{" Hours. ", "We're open Mon-Fri 9am-5pm."},
		{"LOCATION", "123 Main St, Anytown. https://shop.example/map"},
		{"HELP", "Corner Shop: text BALANCE, HOURS or LOCATION. Or write to help@shop.example. Reply STOP to end."},
		{"WEATHER", "We do not know that word. Text HELP for those that we know."},
		{"STOP", "Corner Shop: You are unsubscribed. We will not text you again. Reply START to return."},
	} {
		bot.Converse("chat", say.body, say.want)
	}
}
