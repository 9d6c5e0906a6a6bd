package daemon

import (
	"fmt"
	"strings"
)

// unknownKey says that a name is not known: what kind of name it is, and what it may have
// been meant to be.
func unknownKey(what, name string, known []string) (message, mend string) {
	message = fmt.Sprintf("unknown %s %s", what, quote(name))
	if near := nearest(name, known); near != "" {
		return message, "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return message, "remove it"
	}
	return message, "use one of " + strings.Join(known, ", ")
}

// nearest gives the candidate that the name is most likely a misspelling of; empty if none
// is near.
func nearest(name string, candidates []string) string {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	}
	// A third of the letters may be wrong: more makes any two short words neighbours.
	limit := min(3, (len(name)+1)/3)
	best, found := limit+1, ""
	for _, c := range candidates {
		if plain(c) == plain(name) && plain(name) != "" {
			return c
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c), limit); d < best {
			best, found = d, c
		}
	}
	return found
}

// distance is the number of letters to insert, remove, replace or swap with their neighbour
// to make a of b, or limit+1 if it is more than limit.
func distance(a, b string, limit int) int {
	if abs(len(a)-len(b)) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit {
			return limit + 1
		}
	}
	return min(row[len(b)], limit+1)
}

func abs(n int) int { return max(n, -n) }

// orList is "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
