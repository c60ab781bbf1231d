package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// problem is the reason why an environment variable is ignored. It never quotes
// the value.
type problem struct{ variable, reason string }

func (p problem) String() string { return p.variable + ": " + p.reason }

// environmentProblems returns the variables that are ignored, except those for
// proxies and OpenTelemetry.
func environmentProblems() []problem {
	var all []problem
	for _, e := range config.UnknownVariables(os.Environ()) {
		all = append(all, problem{e.Where, e.What + ": " + e.Hint})
	}
	if p := trustProblem(os.Getenv); p != nil {
		all = append(all, *p)
	}
	return all
}

// trustProblem returns the problem with SSL_CERT_FILE, or nil if it is valid or
// not set.
func trustProblem(getenv func(string) string) *problem {
	const name = "SSL_CERT_FILE"
	file := getenv(name)
	if file == "" {
		return nil
	}
	if data, err := readRegular(file); err != nil || !bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
		return &problem{name, "does not name a readable file of PEM certificates; the system's CAs are trusted instead"}
	}
	return nil
}

// readRegular reads a regular file. It refuses a pipe, which could block forever.
func readRegular(name string) ([]byte, error) {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errNotRegular)
	}
	return os.ReadFile(name)
}

var errNotRegular = errors.New("not a regular file")

// resolve converts the settings to a policy and a classifier.
func resolve(s *config.Settings, out *proxies) (collector.Policy, *classify.Classifier, error) {
	if err := s.Validate(); err != nil {
		return collector.Policy{}, nil, err
	}
	catalog, err := loadCatalog(s.CatalogFiles)
	if err != nil {
		return collector.Policy{}, nil, err
	}
	roots, err := loadRoots("upstream.ca-file", s.UpstreamCAFile)
	if err != nil {
		return collector.Policy{}, nil, err
	}
	// These are read periodically.
	if err := config.CheckRereadable("name a regular file", s.WebConfigFile, s.Resign.CredentialsFile, s.Resign.ClientKeyFile); err != nil {
		return collector.Policy{}, nil, err
	}
	policy := collector.Policy{
		TapHosts: s.TapHosts, OtherHosts: s.OtherHosts, ConnectTo: s.ConnectTo, RootCAs: roots,
		Mark:  s.UpstreamMark,
		Proxy: out.forHost,
	}
	if s.UpstreamScheme == "https" {
		policy.UpstreamScheme = "https"
	}
	if s.Resolver != (upstream.DNS{}) {
		policy.Resolver = s.Resolver
	}
	return policy, classify.New(catalog), nil
}

// loadRoots returns the system's CA certificates and those of a file. If only the
// system's are needed, it returns nil, which means the same.
func loadRoots(flag, file string) (*x509.CertPool, error) {
	if file == "" && trustProblem(os.Getenv) == nil {
		return nil, nil
	}
	roots, err := systemRoots()
	if err != nil || file == "" {
		return roots, err
	}
	pem, err := config.ReadFile(file)
	if err != nil {
		return nil, usererror.At("--"+flag, usererror.Wrap(err, "name a file of CA certificates that this user can read"))
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usererror.At("--"+flag, usererror.New(file+" contains no PEM certificate", "name a file with CERTIFICATE blocks"))
	}
	return roots, nil
}

// systemRoots returns the CA certificates of the system, or of SSL_CERT_FILE and
// SSL_CERT_DIR if they are valid.
func systemRoots() (*x509.CertPool, error) {
	if trustProblem(os.Getenv) == nil {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("read the system's CA certificates: %w", err)
		}
		return roots, nil
	}
	data, err := ca.SystemRoots()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data)
	return roots, nil
}

// listenError adds the setting and a hint to an error of listening on an address.
func listenError(setting, address string, err error) error {
	advice := "choose another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "choose another address, or stop the process that uses it"
	case errors.Is(err, syscall.EACCES):
		advice = "choose a port from 1024, or allow lower ports: CAP_NET_BIND_SERVICE (AmbientCapabilities= in systemd, securityContext.capabilities.add: [NET_BIND_SERVICE] in Kubernetes), or sysctl net.ipv4.ip_unprivileged_port_start"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "choose an address that this machine has"
	}
	return usererror.At("--"+setting+"="+address, usererror.Wrap(err, advice))
}
