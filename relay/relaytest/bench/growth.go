package main

import (
	"context"
	"errors"
	"time"
)

// growth is the memory of a client early and late in a long load.
type growth struct {
	early, late int64 // resident bytes
}

const (
	growthTimes = 10 // the late moment is after so many times the messages of the early one
	rssEvery    = 20 * time.Millisecond
)

// rssAt is the memory after so many answers.
type rssAt struct {
	answered int
	bytes    int64
}

// watchRSS looks at the memory of the process until ctx ends.
func watchRSS(ctx context.Context, proc *child, answered func() int) (seen []rssAt) {
	ticker := time.NewTicker(rssEvery)
	defer ticker.Stop()
	for {
		if rss, err := proc.memory("VmRSS:"); err == nil { // an error is that of the end, which the load sees too
			seen = append(seen, rssAt{answered(), rss})
		}
		select {
		case <-ctx.Done():
			return seen
		case <-ticker.C:
		}
	}
}

// growthOf compares the memory from n answers to half as many more with that of the last half of n: medians, since the
// collector makes a saw of the memory.
func growthOf(seen []rssAt, n int) (growth, error) {
	within := func(from, to int) int64 {
		var of []int64
		for _, s := range seen {
			if s.answered >= from && s.answered <= to {
				of = append(of, s.bytes)
			}
		}
		return median(of)
	}
	g := growth{early: within(n, n+n/2), late: within(growthTimes*n-n/2, growthTimes*n)}
	if g.early == 0 || g.late == 0 {
		return g, errors.New("the load was over before the memory could be looked at; give more messages with -n")
	}
	return g, nil
}
