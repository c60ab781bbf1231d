package main

import (
	"bytes"
	_ "embed" // preload.cjs
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

//go:embed preload.cjs
var preloadScript []byte

// childSetup is what a command gets so that its calls go through the tap and
// the tap's certificates are trusted.
type childSetup struct {
	private string // directory for files of its own
	env     []string
	notes   []string // choices of the user that are not kept, or keep calls from being seen

	base           []string // the environment it would have had
	set            map[string]string
	proxy          string // the tap's address
	caFile, bundle string // what to trust: the tap's CA, and with the system's
	out            *proxies
	settings       *config.Settings
	noProxy        []string
}

// setUpChild makes the environment, and the files that it names. base is the
// environment that the command would have had.
func setUpChild(base []string, t *tap, out *proxies, private string) (*childSetup, error) {
	c := &childSetup{
		private: private, base: base, set: map[string]string{}, out: out,
		proxy:    t.address(wayProxy),
		caFile:   filepath.Join(t.settings.TrustDir(), "ca.pem"),
		bundle:   filepath.Join(t.settings.TrustDir(), "bundle.pem"),
		settings: t.settings,
	}
	c.setProxies()
	if t.csmListener != nil {
		c.setCSM(t.csmListener.LocalAddr())
	}
	for _, step := range []func() error{c.setTrust, c.setNode, c.setJava} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.env = slices.DeleteFunc(slices.Clone(base), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, ours := c.set[name]
		return ours
	})
	for name, value := range c.set {
		c.env = append(c.env, name+"="+value)
	}
	slices.Sort(c.env)
	return c, nil
}

// get returns the first of these variables that is set to something.
func (c *childSetup) get(names ...string) string { return getenv(c.base, names...) }

func (c *childSetup) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// setProxies leads to the tap all that NO_PROXY does not leave out. The tap goes
// on by the proxies that the variables name by now.
func (c *childSetup) setProxies() {
	c.noProxy = c.newNoProxy()
	for name, value := range map[string]string{
		"HTTP_PROXY": "http://" + c.proxy, "HTTPS_PROXY": "http://" + c.proxy, "NO_PROXY": strings.Join(c.noProxy, ","),
	} {
		c.set[name], c.set[strings.ToLower(name)] = value, value
	}
}

// setCSM has the Go SDK v1 report its calls also where it heeds no proxy,
// unless it is set up to report them elsewhere, or not at all.
func (c *childSetup) setCSM(to net.Addr) {
	if c.get("AWS_CSM_ENABLED", "AWS_CSM_HOST", "AWS_CSM_PORT") != "" {
		return
	}
	c.set["AWS_CSM_ENABLED"] = "true"
	c.set["AWS_CSM_HOST"], c.set["AWS_CSM_PORT"], _ = net.SplitHostPort(to.String())
}

// setTrust has programs trust the tap beside what they trust.
func (c *childSetup) setTrust() error {
	// The bundle has what this one and SSL_CERT_DIR name, too.
	c.set["SSL_CERT_FILE"] = c.bundle
	// Most of these replace what the program trusts: hence the bundle. The last
	// adds to it.
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "KS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		c.set[name] = c.bundle
		if name == "NODE_EXTRA_CA_CERTS" {
			c.set[name] = c.caFile
		}
		if own := c.get(name); own != "" {
			merged, err := mergeTrust(filepath.Join(c.private, strings.ToLower(name)+".pem"), own, c.caFile)
			if err != nil {
				return err
			}
			if merged != "" {
				c.set[name] = merged
			} else {
				c.note("%s names no PEM certificates that can be read: it names those of the system and the tap instead", name)
			}
		}
	}
	return nil
}

// setNode makes Node use proxy variables: from version 24 on a variable turns
// that on; before that, it takes code.
func (c *childSetup) setNode() error {
	const name = "NODE_USE_ENV_PROXY"
	if own := c.get(name); own != "" && own != "1" {
		c.note("%s keeps Node from its proxies, and the calls of Node programs from being seen", name)
		return nil
	}
	preload := filepath.Join(c.private, "preload.cjs")
	if err := os.WriteFile(preload, preloadScript, 0o600); err != nil {
		return fmt.Errorf("write what Node is to load: %w", err)
	}
	c.set[name] = "1"
	c.set["NODE_OPTIONS"] = strings.TrimLeft(c.get("NODE_OPTIONS")+" --require="+quoteNode(preload), " ")
	return nil
}

// quoteNode quotes a value for NODE_OPTIONS: within double quotes, backslashes
// escape.
func quoteNode(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// mergeTrust writes what a program trusts by a setting of its own, a file or a
// directory, and the tap's CA to the file name, which it returns. It returns ""
// where there is nothing to be read.
func mergeTrust(name, own, ca string) (string, error) {
	files := []string{own}
	if entries, err := os.ReadDir(own); err == nil {
		files = nil
		for _, e := range entries {
			files = append(files, filepath.Join(own, e.Name()))
		}
	}
	var trusted []byte
	for _, file := range files {
		if text, err := readRegular(file); err == nil && bytes.Contains(text, []byte("-----BEGIN ")) {
			trusted = append(append(trusted, text...), '\n')
		}
	}
	if len(trusted) == 0 {
		return "", nil
	}
	ours, err := os.ReadFile(ca)
	if err != nil {
		return "", fmt.Errorf("read what programs are to trust: %w", err)
	}
	if err := os.WriteFile(name, append(trusted, ours...), 0o600); err != nil {
		return "", fmt.Errorf("write what programs are to trust: %w", err)
	}
	return name, nil
}

// getenv returns the first of these variables that is set to something.
func getenv(env []string, names ...string) string {
	for _, name := range names {
		for _, kv := range env {
			if k, v, _ := strings.Cut(kv, "="); k == name && v != "" {
				return v
			}
		}
	}
	return ""
}
