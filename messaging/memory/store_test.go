package memory_test

import (
	"testing"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

func TestStore(t *testing.T) {
	messagingtest.TestStore(t, func(*testing.T) messaging.Store { return memory.New(memory.Config{}) }, messagingtest.Features{})
}
