package main

import (
	"bytes"
	"crypto/x509"
	_ "embed" // preload.cjs
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// neverProxied are what no program is to reach by way of the tap.
var neverProxied = []string{"localhost", "127.0.0.1", "::1", "169.254.169.254"}

// trustStorePassword is Java's customary one; a trust store holds no secret.
const trustStorePassword = "changeit"

//go:embed preload.cjs
var preloadScript []byte

// childEnv returns the environment in which a program's calls go through the
// tap and the tap's certificates are trusted. base is the environment it would
// have had; private is a directory for files of its own.
func childEnv(base []string, t *tap, private string) ([]string, error) {
	proxy := t.proxyListeners[0].Addr().String()
	ca := filepath.Join(t.settings.TrustDir(), "ca.pem")
	bundle := filepath.Join(t.settings.TrustDir(), "bundle.pem")
	trustStore := filepath.Join(private, "truststore.p12")
	if err := writeTrustStore(trustStore, bundle); err != nil {
		return nil, err
	}
	preload := filepath.Join(private, "preload.cjs")
	if err := os.WriteFile(preload, preloadScript, 0o600); err != nil {
		return nil, fmt.Errorf("write what Node is to load: %w", err)
	}
	noProxy := slices.DeleteFunc(strings.Split(getenv(base, "NO_PROXY", "no_proxy"), ","), func(s string) bool { return s == "" })
	for _, host := range neverProxied {
		if !slices.Contains(noProxy, host) {
			noProxy = append(noProxy, host)
		}
	}
	set := map[string]string{
		"NO_PROXY": strings.Join(noProxy, ","),
		// The bundle has what this one and SSL_CERT_DIR name, too.
		"SSL_CERT_FILE": bundle,
		// Node heeds proxy variables from version 24 on, if told to; before that,
		// it takes code.
		"NODE_USE_ENV_PROXY": "1",
		"NODE_OPTIONS":       strings.TrimSpace(getenv(base, "NODE_OPTIONS") + ` --require="` + preload + `"`),
		"JAVA_TOOL_OPTIONS":  javaOptions(getenv(base, "JAVA_TOOL_OPTIONS"), proxy, trustStore, noProxy),
	}
	// Most of these replace what the program trusts: hence the bundle. The last
	// adds to it.
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "KS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		set[name] = bundle
		if name == "NODE_EXTRA_CA_CERTS" {
			set[name] = ca
		}
		if own := getenv(base, name); own != "" {
			merged, err := mergeTrust(filepath.Join(private, strings.ToLower(name)+".pem"), own, ca)
			if err != nil {
				return nil, err
			}
			if merged != "" {
				set[name] = merged
			}
		}
	}
	// The Go SDK v1 also tells of its calls where it heeds no proxy.
	set["AWS_CSM_ENABLED"] = "true"
	set["AWS_CSM_HOST"], set["AWS_CSM_PORT"], _ = net.SplitHostPort(t.csmListener.LocalAddr().String())
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		set[name] = "http://" + proxy
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		set[strings.ToLower(name)] = set[name]
	}
	env := slices.DeleteFunc(slices.Clone(base), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, ours := set[name]
		return ours
	})
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

// mergeTrust writes what a program trusts by a setting of its own, a file or a
// directory, and the tap's CA to the file name, which it returns. What cannot be
// read is none of ours to complain of: the program may not even use it. "" is
// returned then.
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
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte("-----BEGIN ")) {
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

// javaOptions adds to a JVM's options what it needs instead of variables.
func javaOptions(options, proxy, trustStore string, noProxy []string) string {
	u := url.URL{Host: proxy}
	host, port := u.Hostname(), u.Port()
	var hosts []string
	for _, host := range noProxy {
		if strings.HasPrefix(host, ".") {
			host = "*" + host
		}
		hosts = append(hosts, host)
	}
	return strings.TrimSpace(options + " -Dhttp.proxyHost=" + host + " -Dhttp.proxyPort=" + port +
		" -Dhttps.proxyHost=" + host + " -Dhttps.proxyPort=" + port + " -Dhttp.nonProxyHosts=" + strings.Join(hosts, "|") +
		" -Djavax.net.ssl.trustStore=" + trustStore + " -Djavax.net.ssl.trustStoreType=PKCS12" +
		" -Djavax.net.ssl.trustStorePassword=" + trustStorePassword)
}

// writeTrustStore writes the certificates of a PEM file in the form in which
// Java wants them.
func writeTrustStore(name, bundle string) error {
	data, err := os.ReadFile(bundle)
	if err != nil {
		return fmt.Errorf("read what programs are to trust: %w", err)
	}
	store, err := encodeTrustStore(data)
	if err != nil {
		return err
	}
	return os.WriteFile(name, store, 0o600)
}

// encodeTrustStore turns PEM certificates into a trust store.
func encodeTrustStore(data []byte) ([]byte, error) {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		// Java, too, passes over what it cannot read among the roots.
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, c)
		}
	}
	store, err := pkcs12.Modern.EncodeTrustStore(certificates, trustStorePassword)
	if err != nil {
		return nil, fmt.Errorf("make a trust store for Java: %w", err)
	}
	return store, nil
}
