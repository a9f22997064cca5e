package fit

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroupFolder is where Linux shows a container its own limits (cgroup v2).
const cgroupFolder = "/sys/fs/cgroup"

// container is the memory of the container that the program runs in.
type container struct {
	limit int64
	used  int64 // without cached files, which give way
}

// readContainer reads the limit of a cgroup; false if there is none, or if the
// system has no such folder.
func readContainer(folder string) (container, bool) {
	limit, ok := readNumber(filepath.Join(folder, "memory.max"))
	if !ok { // not there, or "max"
		return container{}, false
	}
	used, ok := readNumber(filepath.Join(folder, "memory.current"))
	if !ok {
		return container{}, false
	}
	stat, err := os.ReadFile(filepath.Join(folder, "memory.stat"))
	if err != nil {
		return container{limit: limit, used: used}, true
	}
	for lines := bufio.NewScanner(bytes.NewReader(stat)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name != "inactive_file" {
			continue
		}
		if cached, err := strconv.ParseInt(value, 10, 64); err == nil {
			used = max(used-cached, 0)
		}
	}
	return container{limit: limit, used: used}, true
}

// readNumber reads a file that holds one number.
func readNumber(path string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}
