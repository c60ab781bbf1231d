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

// childSetup prepares the environment of a command so that its calls go through
// the tap and its programs trust the tap's certificates.
type childSetup struct {
	private string // directory for the files of this command
	env     []string
	notes   []string // the user's settings that are replaced, or that prevent calls from being observed

	base           []string // the environment that the command would have without the tap
	set            map[string]string
	proxy          string // address of the tap
	caFile, bundle string // files of the tap's CA alone, and together with the system's CAs
	out            *proxies
	settings       *config.Settings
	noProxy        []string
}

// setUpChild creates the environment and the files that it names. base is the
// environment that the command would have without the tap.
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

// get returns the value of the first of these variables that is not empty.
func (c *childSetup) get(names ...string) string { return getenv(c.base, names...) }

func (c *childSetup) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// setProxies sends all requests through the tap except those that NO_PROXY
// excludes. The tap itself uses the proxies that the variables named before.
func (c *childSetup) setProxies() {
	c.noProxy = c.newNoProxy()
	for name, value := range map[string]string{
		"HTTP_PROXY": "http://" + c.proxy, "HTTPS_PROXY": "http://" + c.proxy, "NO_PROXY": strings.Join(c.noProxy, ","),
	} {
		c.set[name], c.set[strings.ToLower(name)] = value, value
	}
}

// setCSM makes the Go SDK v1 report its calls, even where it uses no proxy. The
// user's own settings of client-side monitoring are kept.
func (c *childSetup) setCSM(to net.Addr) {
	if c.get("AWS_CSM_ENABLED", "AWS_CSM_HOST", "AWS_CSM_PORT") != "" {
		return
	}
	c.set["AWS_CSM_ENABLED"] = "true"
	c.set["AWS_CSM_HOST"], c.set["AWS_CSM_PORT"], _ = net.SplitHostPort(to.String())
}

// setTrust makes programs trust the tap's CA in addition to the CAs they trust.
func (c *childSetup) setTrust() error {
	// The bundle includes the CAs of the user's SSL_CERT_FILE and SSL_CERT_DIR.
	c.set["SSL_CERT_FILE"] = c.bundle
	// Most of these replace the CAs that the program trusts, so they need the whole
	// bundle. NODE_EXTRA_CA_CERTS adds to them.
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
				c.note("%s names no readable PEM certificates: it is replaced by the CAs of the system and the tap", name)
			}
		}
	}
	return nil
}

// setNode makes Node use the proxy variables: by a variable since version 24, by a
// script that is loaded first in earlier versions.
func (c *childSetup) setNode() error {
	const name = "NODE_USE_ENV_PROXY"
	if own := c.get(name); own != "" && own != "1" {
		c.note("%s disables the proxy variables in Node: the calls of Node programs are not observed", name)
		return nil
	}
	preload := filepath.Join(c.private, "preload.cjs")
	if err := os.WriteFile(preload, preloadScript, 0o600); err != nil {
		return fmt.Errorf("write the script for Node: %w", err)
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

// mergeTrust writes the certificates of own, which is a file or a directory, and
// the tap's CA to the file name, and returns name. It returns "" if own contains no
// readable certificates.
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
		return "", fmt.Errorf("read the tap's CA: %w", err)
	}
	if err := os.WriteFile(name, append(trusted, ours...), 0o600); err != nil {
		return "", fmt.Errorf("write the CA certificates for programs: %w", err)
	}
	return name, nil
}

// getenv returns the value of the first of these variables that is not empty.
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
