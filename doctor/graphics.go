package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Graphics is which cards there are, and what stands between them and models.
type Graphics struct {
	Backends string // that this build has, such as cpu,cuda
	Asked    bool   // the backends were asked for their devices
	Devices  []Device
	Cards    []Card
	Names    []string // that NVIDIA's driver gives its cards
	Library  string   // where the CUDA driver's library lies; "" nowhere that the loader looks
	Nodes    []Node
	GOOS     string
	User     string
}

// Device is a card that a backend computes on. Sizes are in bytes.
type Device struct {
	Name        string
	Free, Total int64
}

// Card is a display controller on the PCI bus.
type Card struct {
	Address string // such as 0000:01:00.0
	Vendor  string // nvidia, amd or intel
	ID      string // vendor:device in hexadecimal
	Driver  string // that has it; "" none
}

// Node is a device file of a card.
type Node struct {
	Path   string
	Group  string // that it belongs to
	Usable bool   // this user may read and write it
}

// CheckGraphics judges whether models can be computed on the cards.
func CheckGraphics(g Graphics) []Finding {
	const name = "graphics"
	var found []Finding
	for _, d := range g.Devices {
		found = append(found, good(name, "%s is used: %s of its %s are free.", d.Name, jeantrail.Size(d.Free), jeantrail.Size(d.Total)))
	}
	var nvidia, others []Card
	for _, c := range g.Cards {
		if c.Vendor == "nvidia" {
			nvidia = append(nvidia, c)
		} else {
			others = append(others, c)
		}
	}
	cuda := strings.Contains(g.Backends, "cuda")
	if len(nvidia) > 0 && (!cuda || g.Asked && len(g.Devices) == 0) {
		found = append(found, g.nvidia(nvidia, cuda))
	}
	if cuda && g.Asked && len(g.Devices) == 0 && len(nvidia) == 0 {
		found = append(found, warning(name, "This build can use NVIDIA cards, and there is none on this machine.").
			because("Models run on the processor.").
			mend("In a container, hand the card in: docker run --gpus all …", "make build"))
	}
	for _, c := range others {
		found = append(found, remark(name, "There is a card of %s (%s), on which this program does not compute: it uses NVIDIA's and Apple's.", c.Vendor, c.ID))
	}
	found = append(found, g.nodes(len(nvidia) > 0)...)
	if g.GOOS == "darwin" && !strings.Contains(g.Backends, "metal") {
		found = append(found, warning(name, "This build has no Metal.").
			because("Models run on the processor although the machine's GPU could compute them.").mend("make build"))
	}
	if len(found) == 0 {
		found = append(found, good(name, "There is no card that this program could use; models run on the processor."))
	}
	return found
}

// nvidia says why NVIDIA's cards are not used: this build, the driver, or its
// library.
func (g Graphics) nvidia(cards []Card, cuda bool) Finding {
	what := "an NVIDIA card"
	if len(cards) > 1 {
		what = fmt.Sprintf("%d NVIDIA cards", len(cards))
	}
	if len(g.Names) > 0 {
		what += " (" + strings.Join(slices.Compact(slices.Sorted(slices.Values(g.Names))), ", ") + ")"
	} else {
		what += " (" + cards[0].ID + ")"
	}
	var lacks, mend []string
	driver := slices.IndexFunc(cards, func(c Card) bool { return c.Driver == "nvidia" }) >= 0
	switch {
	case !driver && cards[0].Driver != "":
		lacks = append(lacks, "the driver "+cards[0].Driver+" has it in place of nvidia")
	case !driver:
		lacks = append(lacks, "no driver has it")
	}
	if g.Library == "" {
		lacks = append(lacks, "the driver's library libcuda.so.1 is not there")
	}
	if !driver || g.Library == "" {
		mend = append(mend, "Debian: sudo apt install nvidia-driver; Ubuntu: sudo ubuntu-drivers install; then restart the machine.")
	}
	if i := slices.IndexFunc(g.Nodes, func(n Node) bool { return strings.HasPrefix(n.Path, "/dev/nvidia") && !n.Usable }); i >= 0 {
		lacks = append(lacks, "this user may not use "+g.Nodes[i].Path)
		mend = append(mend, g.Nodes[i].open(g.User))
	}
	if !cuda {
		lacks = append(lacks, "this build has no CUDA")
		mend = append(mend, "make build CUDA=1 (with NVIDIA's CUDA toolkit, nvcc, on the PATH)")
	}
	if len(lacks) == 0 {
		lacks = append(lacks, "CUDA sees none of them")
		mend = append(mend, "See whether the driver answers: nvidia-smi", "In a container, hand the card in: docker run --gpus all …")
	}
	f := warning("graphics", "There is %s, which is not used: %s.", what, strings.Join(lacks, "; "))
	if cuda {
		f.Status = Problem
	}
	return f.because("Models run on the processor, several times slower.").mend(mend...)
}

// open is the command that lets a user use a device file.
func (n Node) open(user string) string {
	if n.Group == "" || n.Group == "root" {
		return "sudo chmod a+rw " + n.Path
	}
	return fmt.Sprintf("sudo usermod -aG %s %s, then log in again.", n.Group, user)
}

// nodes says which device files this user may not use.
func (g Graphics) nodes(nvidia bool) []Finding {
	var found []Finding
	for _, n := range g.Nodes {
		if n.Usable {
			continue
		}
		f := remark("graphics", "This user may not use %s, which belongs to the group %s.", n.Path, n.Group)
		if nvidia && strings.HasPrefix(n.Path, "/dev/nvidia") {
			f.Status = Warning
		}
		found = append(found, f.because("What needs the card cannot reach it.").mend(n.open(g.User)))
	}
	return found
}
