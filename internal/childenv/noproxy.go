package childenv

import (
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpproxy"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// neverProxied are hosts that programs never reach through the tap.
var neverProxied = []string{"localhost", "127.0.0.1", "::1", "169.254.169.254"}

// newNoProxy returns the user's NO_PROXY and the hosts that are never reached
// through the tap. Entries that match a tapped host are left out; the tap applies
// them itself.
func (c *setup) newNoProxy() []string {
	var list, covering []string
	add := func(entry string) {
		if entry == "" || slices.Contains(list, entry) {
			return
		}
		if c.coversTapped(entry) {
			covering = append(covering, entry)
			return
		}
		list = append(list, entry)
	}
	for _, entry := range strings.FieldsFunc(c.get("no_proxy", "NO_PROXY"), func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		add(entry)
	}
	if len(covering) > 0 {
		c.note("NO_PROXY includes the API (%s): the command calls it through the tap, which connects to it directly", strings.Join(covering, ", "))
	}
	for _, entry := range slices.Concat(neverProxied, clusterNames(c.Base, os.ReadFile)) {
		add(entry)
	}
	return list
}

// coversTapped reports whether an entry of NO_PROXY matches a tapped host.
func (c *setup) coversTapped(entry string) bool {
	name := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(entry, "*"), "."))
	if host, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(host, "[") {
		name = host
	}
	if c.TapHosts.Match(hostname.Name(name)) {
		return true
	}
	proxy := (&httpproxy.Config{HTTPSProxy: "http://proxy.invalid", NoProxy: entry}).ProxyFunc()
	return slices.ContainsFunc(c.TapHosts, func(p hostname.Pattern) bool {
		host := strings.Replace(p.String(), "*", "any", 1)
		u, err := proxy(&url.URL{Scheme: "https", Host: host})
		return err == nil && u == nil
	})
}

// Files with the namespace of a pod.
const (
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	resolvConf    = "/etc/resolv.conf"
)

var serviceHost = regexp.MustCompile(`^([A-Z0-9_]+)_SERVICE_HOST$`)

// clusterNames returns the names of services that a pod of Kubernetes can use: those
// of its namespace and its cluster. NO_PROXY has no entry for "all names without a
// dot". Outside of a pod, it returns nil.
func clusterNames(env []string, readFile func(string) ([]byte, error)) []string {
	api := getenv(env, "KUBERNETES_SERVICE_HOST")
	if api == "" {
		return nil
	}
	namespace, cluster := searchDomain(readFile)
	if text, err := readFile(namespaceFile); err == nil && isLabel(strings.TrimSpace(string(text))) {
		namespace = strings.TrimSpace(string(text))
	}
	names := []string{".svc"}
	if cluster != "" {
		names = append(names, "."+cluster)
	}
	if _, err := netip.ParseAddr(api); err == nil {
		names = append(names, api)
	}
	if namespace != "" {
		names = append(names, "."+namespace)
	}
	for _, kv := range env {
		variable, _, _ := strings.Cut(kv, "=")
		if m := serviceHost.FindStringSubmatch(variable); m != nil {
			names = append(names, strings.ToLower(strings.ReplaceAll(m[1], "_", "-")))
		}
	}
	return names
}

// searchDomain reads namespace and cluster domain from a pod's resolv.conf
// ("search default.svc.cluster.local svc.cluster.local cluster.local").
func searchDomain(readFile func(string) ([]byte, error)) (namespace, cluster string) {
	text, err := readFile(resolvConf)
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "search" {
			continue
		}
		if ns, domain, ok := strings.Cut(fields[1], ".svc."); ok && isLabel(ns) {
			return ns, strings.TrimSuffix(domain, ".")
		}
	}
	return "", ""
}

func isLabel(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
