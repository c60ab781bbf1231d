package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// problem is what is wrong with an environment variable, which is ignored then.
// It never quotes the value.
type problem struct{ variable, reason string }

func (p problem) String() string { return p.variable + ": " + p.reason }

// environmentProblems returns the variables that are ignored, but for those of
// proxies and of OpenTelemetry.
func environmentProblems() []problem {
	var all []problem
	names, reasons := config.UnknownVariables(os.Environ())
	for i, name := range names {
		all = append(all, problem{name, reasons[i]})
	}
	if p := trustProblem(os.Getenv); p != nil {
		all = append(all, *p)
	}
	return all
}

// trustProblem returns what is wrong with the file of CA certificates that the
// environment names; nil if it is good, or none is named.
func trustProblem(getenv func(string) string) *problem {
	const name = "SSL_CERT_FILE"
	file := getenv(name)
	if file == "" {
		return nil
	}
	if data, err := readRegular(file); err != nil || !bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
		return &problem{name, "names no file of PEM certificates that can be read; the system's CAs are trusted"}
	}
	return nil
}

// readRegular reads a file, but no pipe, which could be waited for without end.
func readRegular(name string) ([]byte, error) {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errNotRegular)
	}
	return os.ReadFile(name)
}

var errNotRegular = errors.New("not a regular file")

// systemRoots returns the CA certificates of the system, or of SSL_CERT_FILE and
// SSL_CERT_DIR where these are good.
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

// listenError is why an address cannot be listened on, and what to do.
func listenError(setting, address string, err error) error {
	advice := "give another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "give another address, or stop what holds it"
	case errors.Is(err, syscall.EACCES):
		advice = "give a port from 1024 on, or the right to ports below: CAP_NET_BIND_SERVICE (AmbientCapabilities= in systemd, securityContext.capabilities.add: [NET_BIND_SERVICE] in Kubernetes), or sysctl net.ipv4.ip_unprivileged_port_start"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "give an address that this machine has"
	}
	return fmt.Errorf("--%s=%s: %w: %s", setting, address, err, advice)
}
