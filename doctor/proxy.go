package doctor

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Proxies is what the environment says of proxies.
type Proxies struct {
	Set     []Proxy // HTTP_PROXY and the like, those that are set
	NoProxy string
	Hub     string // address of the hub
}

// Proxy is a variable and its value, which may hold a password.
type Proxy struct{ Variable, Value string }

// CheckProxies judges the proxies. What this program asks of its own instance and
// of workers never goes through one; pulls do.
func CheckProxies(p Proxies) []Finding {
	const name = "proxy"
	if len(p.Set) == 0 {
		return []Finding{good(name, "No proxy is set; pulls go straight to the hub.")}
	}
	var found []Finding
	var names []string
	for _, proxy := range p.Set {
		names = append(names, proxy.Variable)
		address := proxy.Value
		if !strings.Contains(address, "://") { // host:port alone is allowed
			address = "http://" + address
		}
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
			found = append(found, problem(name, "%s is no address of a proxy.", proxy.Variable).
				because("Pulls fail before they begin.").
				mend("export "+proxy.Variable+"=http://PROXY:PORT", "Or without a proxy: unset "+proxy.Variable))
		}
	}
	if !coversLoopback(p.NoProxy) {
		found = append(found, remark(name, "%s set, and NO_PROXY does not name localhost and 127.0.0.1.", areSet(names)).
			because("This program never asks a proxy for its own instance or for workers, but curl and others do, and a proxy cannot reach them.").
			mend("export NO_PROXY="+strings.TrimPrefix(p.NoProxy+",localhost,127.0.0.1,::1", ",")))
	}
	return orGood(found, good(name, "%s set; pulls go through the proxy, requests to the instance and to workers never.", areSet(names)))
}

func areSet(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, " and ") + " are"
}

// coversLoopback reports whether NO_PROXY keeps both localhost and 127.0.0.1 from
// proxies for most programs.
func coversLoopback(noProxy string) bool {
	name, address := false, false
	for entry := range strings.SplitSeq(noProxy, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "*" {
			return true
		}
		name = name || strings.EqualFold(strings.TrimPrefix(entry, "."), "localhost")
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			address = address || prefix.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		}
		address = address || entry == "127.0.0.1"
	}
	return name && address
}
