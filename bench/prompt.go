package bench

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
)

// leastPrompt is how many tokens a prompt needs so that no two are alike.
const leastPrompt = 8

// commonWords are one token each, with the space before them, in the
// vocabularies that are in use.
var commonWords = strings.Fields(`time year people way day man thing woman life child world school state family student
	group country problem hand part place case week company system program question work government number night
	point home water room mother area money story fact month lot right study book eye job word business issue side
	kind head house service friend father power hour game line end member law car city name team minute idea`)

// prompts makes prompts from a seed: the same seed gives the same ones, and two
// that differ in test or number share no beginning, so that no cache holds one
// because of another. With shared the first three quarters of all are the same.
type prompts struct {
	seed   uint64
	tokens int
	shared bool
}

// of returns a test's prompt with a number. It has about as many tokens as were
// asked for: how many exactly depends on the vocabulary, and servers tell.
func (p prompts) of(test string, number int) string {
	own := p.tokens
	var words []string
	if p.shared {
		own = max(1, p.tokens/4)
		words = p.words("shared", 0, p.tokens-own)
	}
	return strings.Join(append(words, p.words(test, number, own)...), " ")
}

func (p prompts) words(test string, number, n int) []string {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(test)) // never fails
	draw := rand.New(rand.NewPCG(p.seed, hash.Sum64()+uint64(number)))
	words := make([]string, n)
	for i := range words {
		words[i] = commonWords[draw.IntN(len(commonWords))]
	}
	return words
}
