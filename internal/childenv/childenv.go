// Package childenv makes the environment of a command whose calls go through a tap:
// the proxy of its programs is the tap, and they trust the tap's CA.
package childenv

import (
	_ "embed" // preload.cjs
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
)

//go:embed preload.cjs
var preloadScript []byte

// Config describes the command and the tap.
type Config struct {
	Base     []string // the environment that the command would have without the tap
	Dir      string   // for the files that the environment names; they are needed until the command ends
	Proxy    string   // address of the tap's proxy listener
	CSM      net.Addr // of the tap's listener for client-side monitoring records; nil for none
	TrustDir string   // with the files of the tap's CA
	Upstream *proxyenv.Proxies
	TapHosts hostname.Patterns
}

// setup is an environment that is being made.
type setup struct {
	Config
	caFile, bundle string // files of the tap's CA alone, and together with the system's CAs

	set     map[string]string
	notes   []string
	noProxy []string
}

func newSetup(cfg Config) *setup {
	return &setup{
		Config: cfg,
		caFile: filepath.Join(cfg.TrustDir, "ca.pem"),
		bundle: filepath.Join(cfg.TrustDir, "bundle.pem"),
		set:    map[string]string{},
	}
}

// New returns the environment, and writes the files that it names. notes are about the
// user's settings that are replaced, or that prevent calls from being observed.
func New(cfg Config) (env, notes []string, err error) {
	c := newSetup(cfg)
	c.setProxies()
	c.setCSM()
	for _, step := range []func() error{c.setTrust, c.setNode, c.setJava} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	env = slices.DeleteFunc(slices.Clone(c.Base), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, ours := c.set[name]
		return ours
	})
	for name, value := range c.set {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, c.notes, nil
}

// get returns the value of the first of these variables that is not empty.
func (c *setup) get(names ...string) string { return getenv(c.Base, names...) }

func (c *setup) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// setProxies sends all requests through the tap except those that NO_PROXY
// excludes. The tap itself uses the proxies that the variables named before.
func (c *setup) setProxies() {
	c.noProxy = c.newNoProxy()
	for name, value := range map[string]string{
		"HTTP_PROXY": "http://" + c.Proxy, "HTTPS_PROXY": "http://" + c.Proxy, "NO_PROXY": strings.Join(c.noProxy, ","),
	} {
		c.set[name], c.set[strings.ToLower(name)] = value, value
	}
}

// setCSM makes the Go SDK v1 report its calls, even where it uses no proxy. The
// user's own settings of client-side monitoring are kept.
func (c *setup) setCSM() {
	if c.CSM == nil || c.get("AWS_CSM_ENABLED", "AWS_CSM_HOST", "AWS_CSM_PORT") != "" {
		return
	}
	c.set["AWS_CSM_ENABLED"] = "true"
	c.set["AWS_CSM_HOST"], c.set["AWS_CSM_PORT"], _ = net.SplitHostPort(c.CSM.String())
}

// setTrust makes programs trust the tap's CA in addition to the CAs they trust.
func (c *setup) setTrust() error {
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
			merged, err := trust.Merge(filepath.Join(c.Dir, strings.ToLower(name)+".pem"), own, c.caFile)
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
func (c *setup) setNode() error {
	const name = "NODE_USE_ENV_PROXY"
	if own := c.get(name); own != "" && own != "1" {
		c.note("%s disables the proxy variables in Node: the calls of Node programs are not observed", name)
		return nil
	}
	preload := filepath.Join(c.Dir, "preload.cjs")
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
