package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Port is the address that serve would listen on, and who listens there.
type Port struct {
	Listen string // host:port of the configuration
	Source string // where it is from: default, file, environment
	Token  bool   // JEANTRAIL_TOKEN is set
	Root   bool   // privileged ports are allowed
	Lowest int    // the lowest port that everybody may use; 0: 1024
	Local  bool   // the host is an address of this machine

	Taken    bool
	PID      int    // of who listens; 0 if it cannot be seen
	Process  string // its name
	Speaks   string // what it says it is, such as Ollama
	Ours     bool   // it is the instance of this home
	Instance string // where the instance of this home listens; "" none runs
	Windows  bool
}

// CheckPort judges the address to listen on.
func CheckPort(p Port) []Finding {
	const name = "port"
	host, port, err := net.SplitHostPort(p.Listen)
	number, atoi := strconv.Atoi(port)
	if err != nil || atoi != nil || number < 0 || number > 65535 {
		return []Finding{problem(name, "%q is no address to listen on.", p.Listen).
			because("serve cannot start.").mend("Set listen in config.yaml to 127.0.0.1:3001.")}
	}
	var found []Finding
	switch {
	case !loopback(host) && !p.Token:
		found = append(found, problem(name, "%s (from %s) is not an address of this machine alone, and there is no token.", p.Listen, p.Source).
			because("Whoever reaches the port could use the models, so serve refuses.").
			mend("Set listen in config.yaml to 127.0.0.1:"+port, "Or ask for a token of every caller: export JEANTRAIL_TOKEN=$(openssl rand -hex 32)"))
	case !loopback(host):
		found = append(found, remark(name, "%s can be reached from other machines; every caller needs the token.", p.Listen).
			because("What is sent is not encrypted."))
	}
	if !loopback(host) && !p.Local {
		found = append(found, problem(name, "%s is not an address of this machine.", host).
			because("serve cannot listen there.").mend("Set listen in config.yaml to 127.0.0.1:"+port, "See which there are: ip address"))
	}
	lowest := p.Lowest
	if lowest == 0 {
		lowest = 1024
	}
	if number > 0 && number < lowest && !p.Root && !p.Windows {
		found = append(found, problem(name, "Port %d is below %d, which only root may listen on.", number, lowest).
			because("serve cannot start.").mend("Set listen in config.yaml to "+net.JoinHostPort(host, "3001")))
	}
	return append(found, p.holder(host, number)...)
}

// holder says who has the port.
func (p Port) holder(host string, number int) []Finding {
	const name = "port"
	switch {
	case number == 0:
		return []Finding{good(name, "%s: serve takes a free port at each start.", p.Listen)}
	case !p.Taken:
		return []Finding{good(name, "%s is free.", p.Listen)}
	case p.Ours:
		return []Finding{good(name, "%s is the instance's.", p.Listen)}
	}
	who := "a program that cannot be seen from here"
	if p.Process != "" {
		who = p.Process
	}
	if p.PID > 0 {
		who += fmt.Sprintf(" (pid %d)", p.PID)
	}
	if p.Speaks != "" {
		who += ", which says that it is " + p.Speaks
	}
	f := problem(name, "%s is used by %s.", p.Listen, who).because("serve cannot start there.")
	if p.Instance != "" {
		f.Status, f.Why = Note, "The instance listens at "+p.Instance+"; the next serve without --port would fail."
	}
	other := net.JoinHostPort(host, strconv.Itoa(number%65535+1))
	f = f.mend("Listen elsewhere: set listen in config.yaml to " + other + ", or jeantrail-ai serve --port 0")
	switch {
	case p.PID == 0 && !p.Windows:
		f = f.mend(fmt.Sprintf("See who it is: sudo ss -ltnp 'sport = :%d'", number))
	case p.PID == 0:
		f = f.mend(fmt.Sprintf("See who it is: netstat -ano | findstr :%d", number))
	case p.Windows:
		f = f.mend(fmt.Sprintf("Or end it, if it is not needed: taskkill /PID %d", p.PID))
	default:
		f = f.mend(fmt.Sprintf("Or end it, if it is not needed: kill %d", p.PID))
	}
	return []Finding{f}
}

// loopback reports whether a host means this machine only.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// SameAddress reports whether who listens on an address of ours would be in the
// way of a listener on the host: the address is the same, or one of them stands
// for all.
func SameAddress(host, taken string) bool {
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	other, err := netip.ParseAddr(taken)
	if err != nil || other.IsUnspecified() || host == "" {
		return taken == "*" || err == nil
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsUnspecified() || ip.Unmap() == other.Unmap())
}
