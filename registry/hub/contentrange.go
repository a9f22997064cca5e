package hub

import (
	"strconv"
	"strings"
)

// contentRange reads "bytes FIRST-LAST/TOTAL".
func contentRange(value string) (first, last, total int64, ok bool) {
	value, unit := strings.CutPrefix(strings.TrimSpace(value), "bytes ")
	span, all, slash := strings.Cut(value, "/")
	from, to, dash := strings.Cut(span, "-")
	if !unit || !slash || !dash {
		return 0, 0, 0, false
	}
	var err [3]error
	first, err[0] = strconv.ParseInt(from, 10, 64)
	last, err[1] = strconv.ParseInt(to, 10, 64)
	total, err[2] = strconv.ParseInt(all, 10, 64)
	ok = err == [3]error{} && first >= 0 && first <= last && last < total
	return first, last, total, ok
}
