package jeantrail

import "strings"

// longestName is how much of a misspelt name is looked at.
const longestName = 64

// Nearest returns the name that was probably meant by one that is not known,
// and whether there is one: case, hyphens and underscores do not count, and two
// letters may differ.
func Nearest(name string, known []string) (string, bool) {
	if len(name) > longestName {
		return "", false
	}
	nearest, least := "", 3
	for _, k := range known {
		if d := editDistance(plainLetters(name), plainLetters(k)); d < least {
			nearest, least = k, d
		}
	}
	return nearest, nearest != ""
}

func plainLetters(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
