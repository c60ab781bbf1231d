package summary

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ksyun-tap/ksyun-tap/collector"
)

// Unobserved is a host whose requests or tunnels were not observed.
type Unobserved struct {
	Host  string `json:"host"` // with the port
	Count int    `json:"count"`
	// Distrusts reports that the host is tapped, but a program does not accept
	// the tap's certificates.
	Distrusts bool `json:"distrusts,omitempty"`
}

// maxHosts limits the number of hosts that are counted separately.
const maxHosts = 1000

// Hosts counts what was not observed. It is safe for concurrent use.
type Hosts struct {
	mu  sync.Mutex
	all map[collector.Unobserved]int
}

// Add counts one request or tunnel.
func (u *Hosts) Add(one collector.Unobserved) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[collector.Unobserved]int)
	}
	if _, known := u.all[one]; !known && len(u.all) >= maxHosts {
		one = collector.Unobserved{Host: "others"}
	}
	u.all[one]++
}

func (u *Hosts) list() []Unobserved {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]Unobserved, 0, len(u.all))
	for one, n := range u.all {
		host := one.Host
		if one.Port != 0 { // otherwise it stands for several hosts
			host = net.JoinHostPort(host, strconv.Itoa(int(one.Port)))
		}
		list = append(list, Unobserved{host, n, one.Tapped})
	}
	slices.SortFunc(list, func(a, b Unobserved) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Host, b.Host))
	})
	return list
}

// shownHosts limits the number of hosts that are printed.
const shownHosts = 20

// hostsLine returns a line with the hosts that were not observed for one of the two
// reasons, or "" if there are none.
func hostsLine(all []Unobserved, distrusts bool, why string) string {
	var hosts []string
	for _, u := range all {
		if u.Distrusts == distrusts {
			hosts = append(hosts, fmt.Sprintf("%s (%d)", u.Host, u.Count))
		}
	}
	if len(hosts) == 0 {
		return ""
	}
	if n := len(hosts) - shownHosts; n > 0 {
		hosts = append(hosts[:shownHosts], fmt.Sprintf("%d more", n))
	}
	return "not observed, because " + why + ": " + strings.Join(hosts, ", ") + "\n"
}
