package crashtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/relay/relaytest"
)

// verdict is what the platform's account says of a daemon. The lists hold numbers of texts.
type verdict struct {
	texts, acked, answered int

	lost      []int    // acknowledged, and no answer went out
	twice     []int    // more than one answer went out
	swapped   []int    // answered after a text of the same conversation that came later
	unacked   []int    // given to a session and not acknowledged: no sin by itself
	untagged  []string // requests without the tag that a state would be known by
	strangers []string // sends that answer nothing, or answer somebody else
}

// judge holds the sends against the texts. Sends are in the order in which the platform
// took them; only those that were carried out count as answers.
func judge(texts []text, sends []relaytest.Send) verdict {
	v := verdict{texts: len(texts)}
	answers := make([]int, len(texts))
	// By conversation: when the latest of the answered texts was given for the first time. A
	// text that was given for the last time before that has to have been answered before. What
	// is delivered again may come behind newer texts, and then either order will do.
	latest := map[string]uint64{}
	for _, s := range sends {
		if !slices.Contains(s.Tags, "sp-"+s.Request()) {
			v.untagged = append(v.untagged, s.Request())
		}
		n, ok := numberOf(s.Body, saying+bodyPrefix)
		if !ok || n >= len(texts) || !texts[n].given {
			v.strangers = append(v.strangers, fmt.Sprintf("%q answers nothing that was given", s.Body))
			continue
		}
		if t := texts[n]; s.From != t.to || s.To != t.from || s.Context != t.context {
			v.strangers = append(v.strangers, fmt.Sprintf("the answer to %d went to somebody else", n))
		}
		if !s.Executed {
			continue
		}
		if answers[n]++; answers[n] == 2 {
			v.twice = append(v.twice, n)
		}
		c := texts[n].conversation()
		if texts[n].last < latest[c] && answers[n] == 1 {
			v.swapped = append(v.swapped, n)
		}
		latest[c] = max(latest[c], texts[n].first)
	}
	for n, t := range texts {
		switch {
		case t.acked && answers[n] == 0:
			v.lost = append(v.lost, n)
		case t.given && !t.acked:
			v.unacked = append(v.unacked, n)
		}
		if t.acked {
			v.acked++
		}
		if answers[n] > 0 {
			v.answered++
		}
	}
	return v
}

// sins lists what a daemon must never do, whatever happened to it. A lost answer is judged
// by the caller: where nothing can tell, a doubt may be all there is.
func (v verdict) sins() []string {
	var sins []string
	add := func(what string, n int, list any) {
		if n > 0 {
			sins = append(sins, fmt.Sprintf("%d %s: %v", n, what, list))
		}
	}
	add("texts answered more than once", len(v.twice), v.twice)
	add("texts answered after a later one of their conversation", len(v.swapped), v.swapped)
	add("sends without the tag of their attempt", len(v.untagged), v.untagged)
	add("sends that answer nothing", len(v.strangers), v.strangers)
	return sins
}

func (v verdict) String() string {
	return fmt.Sprintf("%d texts, %d acknowledged, %d answered; %d lost, %d answered twice, %d swapped, %d given and not acknowledged%s",
		v.texts, v.acked, v.answered, len(v.lost), len(v.twice), len(v.swapped), len(v.unacked), suffix(v.sins()))
}

func suffix(sins []string) string {
	if len(sins) == 0 {
		return ""
	}
	return "\n" + strings.Join(sins, "\n")
}
