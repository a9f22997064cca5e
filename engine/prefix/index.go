package prefix

import (
	"slices"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// index holds entries in the order of their tokens, so that those that have most
// in common with a prompt stand beside its place.
type index []*entry

// lookAround is how many entries that have equally much in common are compared.
const lookAround = 32

func byTokens(e *entry, tokens []engine.Token) int { return slices.Compare(e.tokens, tokens) }

func (x index) exact(tokens []engine.Token) *entry {
	if i, found := slices.BinarySearchFunc(x, tokens, byTokens); found {
		return x[i]
	}
	return nil
}

func (x *index) add(e *entry) {
	i, _ := slices.BinarySearchFunc(*x, e.tokens, byTokens)
	*x = slices.Insert(*x, i, e)
}

func (x *index) remove(e *entry) {
	if i, found := slices.BinarySearchFunc(*x, e.tokens, byTokens); found && (*x)[i] == e {
		*x = slices.Delete(*x, i, i+1)
	}
}

// longest finds the entry with the longest beginning in common with tokens; of
// several, the shortest of those around, since it is the least to load.
func (x index) longest(tokens []engine.Token) (best *entry, common int) {
	at, _ := slices.BinarySearchFunc(x, tokens, byTokens)
	look := func(i int) bool {
		n := shared(x[i].tokens, tokens)
		if n == 0 || n < common {
			return false
		}
		if n > common || len(x[i].tokens) < len(best.tokens) {
			best, common = x[i], n
		}
		return true
	}
	for i := at; i < min(len(x), at+lookAround) && look(i); i++ {
	}
	for i := at - 1; i >= max(0, at-lookAround) && look(i); i-- {
	}
	return best, common
}

// within lists the entries that tokens go on from and whose own tokens are at
// least half of them.
func (x index) within(tokens []engine.Token) []*entry {
	at, _ := slices.BinarySearchFunc(x, tokens, byTokens)
	var found []*entry
	for i := at - 1; i >= 0; i-- {
		n := shared(x[i].tokens, tokens)
		if 2*n < len(tokens) {
			break // those before it have no more in common
		}
		if n == len(x[i].tokens) && n < len(tokens) {
			found = append(found, x[i])
		}
	}
	return found
}

// shared is the length of the common beginning of two token lists.
func shared(a, b []engine.Token) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
