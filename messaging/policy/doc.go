// Package policy puts the rules of texting into the gate: from one configuration it makes
// the rules that an engine asks about every send.
//
//	p, err := policy.New(policy.Config{})
//	eng := messaging.NewEngine(store, handler, link, messaging.Config{Rules: p.Rules()})
//
// They are asked in this order, and the first that does not say go decides: media,
// geography, duplicates, loop breaker, quiet hours, pace. What can never leave is thus told
// so at once, and no token of a rate is taken by what waits for the morning.
//
// A verdict carries a reason of [rules.Reasons] and the id of the row of the sheet that
// decided. The configuration can be changed while the rules are in use, see
// [Policy.Configure]; what was counted, and what is known of each conversation, stays.
package policy
