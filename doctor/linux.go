package doctor

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// What is here reads Linux's own files. root is the file system's root; where the
// files are not there, as on other systems, nothing is found.

// vendors are the makers of cards, by their PCI id.
var vendors = map[string]string{"10DE": "nvidia", "1002": "amd", "8086": "intel"}

// ReadCards lists the display controllers (PCI class 03) of known makers.
func ReadCards(root fs.FS) []Card {
	const folder = "sys/bus/pci/devices"
	entries, err := fs.ReadDir(root, folder)
	if err != nil {
		return nil
	}
	var cards []Card
	for _, e := range entries {
		about := readPairs(root, path.Join(folder, e.Name(), "uevent"), "=")
		class, id := about["PCI_CLASS"], strings.ToUpper(about["PCI_ID"])
		maker, _, _ := strings.Cut(id, ":")
		if vendor := vendors[maker]; vendor != "" && len(class) == 5 && class[0] == '3' { // 03xxxx without its zero
			cards = append(cards, Card{Address: e.Name(), Vendor: vendor, ID: strings.ToLower(id), Driver: about["DRIVER"]})
		}
	}
	return cards
}

// ReadNVIDIANames lists what NVIDIA's driver calls its cards.
func ReadNVIDIANames(root fs.FS) []string {
	files, err := fs.Glob(root, "proc/driver/nvidia/gpus/*/information")
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range files {
		if model := readPairs(root, f, ":")["Model"]; model != "" {
			names = append(names, model)
		}
	}
	return names
}

// FindLibrary finds a shared library where the loader would: in the folders of
// LD_LIBRARY_PATH (search), in its cache and in the usual folders. "" is nowhere.
func FindLibrary(root fs.FS, name string, search []string) string {
	there := func(file string) bool {
		info, err := fs.Stat(root, strings.TrimPrefix(file, "/"))
		return err == nil && !info.IsDir()
	}
	for _, folder := range search {
		if path.IsAbs(folder) && there(path.Join(folder, name)) {
			return path.Join(folder, name)
		}
	}
	// The cache is a table of the names and paths, each ended by a zero.
	if cache, err := fs.ReadFile(root, "etc/ld.so.cache"); err == nil {
		for word := range bytes.SplitSeq(cache, []byte{0}) {
			if file := string(word); path.IsAbs(file) && path.Base(file) == name && there(file) {
				return file
			}
		}
	}
	for _, folder := range []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64", "/lib", "/usr/lib/wsl/lib"} {
		if there(path.Join(folder, name)) {
			return path.Join(folder, name)
		}
	}
	return ""
}

// ReadGovernors says how the cores' clocks are governed, as "governor (driver)",
// each kind once.
func ReadGovernors(root fs.FS) []Governor {
	files, err := fs.Glob(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
	if err != nil {
		return nil
	}
	var all []Governor
	for _, f := range files {
		folder := path.Dir(f)
		g := Governor{
			Name: readWord(root, f), Driver: readWord(root, path.Join(folder, "scaling_driver")),
			Preference: readWord(root, path.Join(folder, "energy_performance_preference")),
		}
		if g.Name != "" && !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	return all
}

// ReadLockHolders lists the processes that hold a lock on a file, as /proc/locks
// has it. known is false where the system does not tell. likely is a process that
// is believed by the inode alone, since some file systems say here that they are
// on another device than stat does.
func ReadLockHolders(root fs.FS, device, inode uint64, likely int) (pids []int, known bool) {
	text, err := fs.ReadFile(root, "proc/locks")
	if err != nil {
		return nil, false
	}
	for line := range strings.Lines(string(text)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fe:01:131 0 EOF; a waiting one has -> before its kind
		field := strings.Fields(line)
		if len(field) < 6 || field[1] == "->" {
			continue
		}
		pid, err := strconv.Atoi(field[4])
		same := field[5] == lockedFile(device, inode) ||
			pid == likely && strings.HasSuffix(field[5], ":"+strconv.FormatUint(inode, 10))
		if err == nil && same && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids, true
}

// lockedFile writes a file as /proc/locks does: the device's major and minor
// number in hexadecimal, and the inode.
func lockedFile(device, inode uint64) string {
	major := device>>8&0xfff | device>>32&^0xfff
	minor := device&0xff | device>>12&^0xff
	return fmt.Sprintf("%02x:%02x:%d", major, minor, inode)
}

// readPairs reads lines of a name, a separator and a value.
func readPairs(root fs.FS, file, separator string) map[string]string {
	pairs := make(map[string]string)
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return pairs
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, separator); ok {
			pairs[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return pairs
}

// ReadLowestPort reads the lowest port that everybody may listen on; 0 if it is
// not known.
func ReadLowestPort(root fs.FS) int {
	n, err := strconv.Atoi(readWord(root, "proc/sys/net/ipv4/ip_unprivileged_port_start"))
	if err != nil {
		return 0
	}
	return n
}

// ReadUmask reads the bits that new files do not get; false if it is not known.
func ReadUmask(root fs.FS) (uint32, bool) {
	n, err := strconv.ParseUint(readPairs(root, "proc/self/status", ":")["Umask"], 8, 32)
	return uint32(n), err == nil
}

// readWord reads a file of one word, "" if it is not there.
func readWord(root fs.FS, file string) string {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
