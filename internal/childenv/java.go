package childenv

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/ksyun-tap/ksyun-tap/internal/trust"
)

// javaVariables are the variables with options for a JVM, in ascending order of
// precedence.
var javaVariables = []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}

// Properties that the user may have set.
var (
	proxyProperties = []string{"http.proxyHost", "https.proxyHost", "socksProxyHost"}
	trustProperties = []string{"javax.net.ssl.trustStore", "javax.net.ssl.trustStoreType", "javax.net.ssl.trustStorePassword"}
)

// setJava sets the proxy and the trust store for a JVM, which takes them from
// options and not from the usual variables.
func (c *setup) setJava() error {
	own := map[string]string{}
	from := map[string]string{}
	for _, variable := range javaVariables {
		for _, option := range splitJava(c.get(variable)) {
			if text, ok := strings.CutPrefix(option, "-D"); ok {
				name, value, _ := strings.Cut(text, "=")
				own[name], from[name] = value, variable
			}
		}
	}
	ours := c.javaProxy(own, from)
	trust, err := c.javaTrust(own, from)
	if err != nil {
		return err
	}
	ours = append(ours, trust...)
	if len(ours) == 0 {
		return nil
	}
	options := make([]string, len(ours))
	for i, p := range ours {
		options[i] = quoteJava("-D" + p.name + "=" + p.value)
	}
	for i, variable := range javaVariables {
		// The other variables are needed only if they would override ours.
		if i == 0 || slices.ContainsFunc(ours, func(p property) bool { return from[p.name] == variable }) {
			c.set[variable] = strings.TrimLeft(c.get(variable)+" "+strings.Join(options, " "), " ")
		}
	}
	return nil
}

type property struct{ name, value string }

// javaProxy returns the properties that make a JVM use the tap as its proxy. It
// returns none if the user's properties name a proxy that the tap does not use.
func (c *setup) javaProxy(own, from map[string]string) []property {
	for _, name := range proxyProperties {
		if host := own[name]; host != "" && !c.Upstream.Use(host, own[strings.TrimSuffix(name, "Host")+"Port"]) {
			c.note("%s sets another proxy (%s), which Java programs use: their calls are not observed unless HTTPS_PROXY and HTTP_PROXY name that proxy, too", from[name], name)
			return nil
		}
	}
	host, port, _ := net.SplitHostPort(c.Proxy) // of a listener
	hosts := javaHosts(c.noProxy)
	for h := range strings.SplitSeq(own["http.nonProxyHosts"], "|") {
		if h != "" && !slices.Contains(hosts, h) && !c.coversTapped(h) {
			hosts = append(hosts, h)
		}
	}
	properties := []property{
		{"http.proxyHost", host},
		{"http.proxyPort", port},
		{"https.proxyHost", host},
		{"https.proxyPort", port},
		{"http.nonProxyHosts", strings.Join(hosts, "|")},
	}
	if own["socksProxyHost"] != "" { // the tap uses it
		properties = append(properties, property{"socksProxyHost", ""})
	}
	return properties
}

// javaHosts converts NO_PROXY to http.nonProxyHosts. Requests to entries that
// cannot be converted go through the tap, which applies NO_PROXY itself.
func javaHosts(noProxy []string) (hosts []string) {
	for _, entry := range noProxy {
		network, err := netip.ParsePrefix(entry)
		if err == nil {
			a := strings.Split(network.Addr().String(), ".")
			if bits := network.Bits(); network.Addr().Is4() && bits > 0 && bits < 32 && bits%8 == 0 {
				hosts = append(hosts, strings.Join(a[:bits/8], ".")+".*")
			}
			continue
		}
		if ip, err := netip.ParseAddr(entry); err == nil {
			if ip.Is6() {
				entry = "[" + entry + "]"
			}
			hosts = append(hosts, entry)
			continue
		}
		if strings.ContainsAny(entry, `|:/'"\`) {
			continue
		}
		name := strings.TrimLeft(strings.TrimPrefix(entry, "*"), ".")
		if name == entry {
			hosts = append(hosts, name)
		}
		hosts = append(hosts, "*."+name)
	}
	return hosts
}

// javaTrust returns the properties of a trust store with the tap's CA and the
// certificates of the user's trust store or, if there is none, those of the system
// and the JVM. It returns none if the user's trust store cannot be read.
func (c *setup) javaTrust(own, from map[string]string) ([]property, error) {
	var pems []byte
	var extra []*x509.Certificate
	var err error
	if name := own[trustProperties[0]]; name != "" {
		extra, err = trust.ReadJava(name, own[trustProperties[2]])
		if err != nil {
			c.note("%s names a trust store that cannot be read (%s), which Java programs use: they do not trust the tap", from[trustProperties[0]], trustProperties[0])
			return nil, nil //nolint:nilerr // it is reported as a note
		}
		pems, err = os.ReadFile(c.caFile)
	} else {
		for _, name := range c.javaCAs() {
			more, _ := trust.ReadJava(name, trust.JavaPassword) // if it fails, those of the system are used
			extra = append(extra, more...)
		}
		pems, err = os.ReadFile(c.bundle)
	}
	if err != nil {
		return nil, fmt.Errorf("read the CA certificates: %w", err)
	}
	store, err := trust.EncodeJava(pems, extra...)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(c.Dir, "truststore.p12")
	if err := os.WriteFile(file, store, 0o600); err != nil {
		return nil, fmt.Errorf("write the trust store: %w", err)
	}
	return []property{{trustProperties[0], file}, {trustProperties[1], "PKCS12"}, {trustProperties[2], trust.JavaPassword}}, nil
}

// javaCAs returns the trust stores that a JVM of this environment uses by default.
func (c *setup) javaCAs() (files []string) {
	homes := []string{c.get("JAVA_HOME")}
	if java, err := exec.LookPath("java"); err == nil {
		if java, err = filepath.EvalSymlinks(java); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(java)))
		}
	}
	for _, home := range homes {
		if home == "" {
			continue
		}
		for _, dir := range []string{"lib/security", "jre/lib/security"} {
			for _, name := range []string{"jssecacerts", "cacerts"} {
				file := filepath.Join(home, dir, name)
				if real, err := filepath.EvalSymlinks(file); err == nil && !slices.Contains(files, real) {
					files = append(files, real)
				}
			}
		}
	}
	return files
}

// splitJava splits options as a JVM does: at white space outside of quotes. There
// are no escapes.
func splitJava(s string) (options []string) {
	var option strings.Builder
	inside, quote := false, rune(0)
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			option.WriteRune(r)
		case r == '"' || r == '\'':
			inside, quote = true, r
		case unicode.IsSpace(r):
			if inside {
				options = append(options, option.String())
				option.Reset()
			}
			inside = false
		default:
			inside = true
			option.WriteRune(r)
		}
	}
	if inside {
		options = append(options, option.String())
	}
	return options
}

// quoteJava quotes an option so that splitJava returns it.
func quoteJava(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == '"' || r == '\'' || unicode.IsSpace(r) }) {
		return s
	}
	var b strings.Builder
	for i, part := range strings.Split(s, `"`) {
		if i > 0 {
			b.WriteString(`'"'`)
		}
		if part != "" {
			b.WriteString(`"` + part + `"`)
		}
	}
	return b.String()
}
