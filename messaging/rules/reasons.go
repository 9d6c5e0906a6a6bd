package rules

import (
	"slices"

	"github.com/signpost-sms/signpost/messaging/geo"
	"github.com/signpost-sms/signpost/messaging/loop"
	"github.com/signpost-sms/signpost/messaging/media"
	"github.com/signpost-sms/signpost/messaging/pace"
)

// Reason is why a send does not leave, or not yet. The names are stable: they are a metric's
// labels, and stored with the send.
type Reason struct {
	Name string
	Text string // one line, for people
	// Waits says that the send is tried again later; else it is suppressed or has expired.
	Waits bool
}

// The reasons that have no package of their own.
const (
	OptedOut      = "opted_out"
	ConsentReview = "consent_review"
	Expired       = "expired"
	NotBefore     = "not_before"
	QuietHours    = "quiet_hours"
)

var reasons = []Reason{
	{OptedOut, "the person has said STOP, and not START since", false},
	{ConsentReview, "the person may have said STOP in a longer sentence: somebody has to read it first", true},
	{Expired, "it was worth sending until a time that has passed", false},
	{NotBefore, "it was to leave at a later time", true},
	{QuietHours, "it is night, or Sunday morning, where the person could be", true},
	{string(pace.FrequencyCap), "the person was sent enough of the category", true},
	{string(pace.OverBudget), "the operator's own limit of the day is reached", true},
	{string(pace.DailyCap), "the carrier takes no more from the brand today", true},
	{string(pace.Paced), "the rate of the number, campaign or space is used up for the moment", true},
	{geo.Geography, "the number is in a country that was not allowed", false},
	{loop.Loop, "the other side is a machine, or was answered too often", false},
	{loop.DuplicateContent, "the same text went to the same number a moment ago", false},
	{media.Reason, "the platform would not take the media", false},
}

// Reasons lists all reasons. It is a copy.
func Reasons() []Reason { return slices.Clone(reasons) }
