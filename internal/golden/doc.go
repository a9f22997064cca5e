// Package golden holds output in tests against files of testdata.
//
// It may import the standard library only, and only tests may import it. What must
// never happen here: a file rewritten without -update.
package golden
