package memory_test

import (
	"testing"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

// small forgets sooner than the default, but later than any test remembers, and is made
// faster.
var small = memory.Config{MaxIDs: 20_000, MaxKeys: 5_000, MaxAttempts: 5_000}

func TestStore(t *testing.T) {
	messagingtest.TestStore(t, func(*testing.T) messaging.Store { return memory.New(small) }, messagingtest.Features{})
}
