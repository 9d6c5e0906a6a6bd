package messaging

import (
	"container/heap"
	"time"
)

// alarm is something due at a time. Setting do to nil cancels it.
type alarm struct {
	at time.Time
	do func()
}

// schedule is a heap of alarms, driven by the engine's goroutine alone.
type schedule []*alarm

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s schedule) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)        { *s = append(*s, x.(*alarm)) }
func (s *schedule) Pop() any {
	old := *s
	last := len(old) - 1
	a := old[last]
	old[last] = nil
	*s = old[:last]
	return a
}

func (s *schedule) add(at time.Time, do func()) *alarm {
	a := &alarm{at: at, do: do}
	heap.Push(s, a)
	return a
}

// fire runs what is due and returns when the next alarm is; zero if there is none.
func (s *schedule) fire(now time.Time) time.Time {
	for len(*s) > 0 {
		a := (*s)[0]
		if a.do != nil && a.at.After(now) {
			return a.at
		}
		heap.Pop(s)
		if a.do != nil {
			a.do()
		}
	}
	return time.Time{}
}

// cancel keeps the alarm from firing. It is nil-safe.
func (a *alarm) cancel() {
	if a != nil {
		a.do = nil
	}
}

// next is when the earliest alarm is due; zero if there is none.
func (s schedule) next() time.Time {
	if len(s) == 0 {
		return time.Time{}
	}
	return s[0].at
}
