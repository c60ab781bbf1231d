// Package trust reads the CA certificates that the tap trusts, and adds the tap's own
// to those that programs trust.
package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Ignored returns SSL_CERT_FILE if it is set and not valid.
func Ignored() []usererror.Ignored {
	const name = "SSL_CERT_FILE"
	file := os.Getenv(name)
	if file == "" {
		return nil
	}
	if data, err := readRegular(file); err != nil || !bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
		return []usererror.Ignored{{Variable: name, Reason: "does not name a readable file of PEM certificates; the system's CAs are trusted instead"}}
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

// Roots returns the system's CA certificates and those of the file that a flag names.
// If only the system's are needed, it returns nil, which means the same.
func Roots(flag, file string) (*x509.CertPool, error) {
	if file == "" && Ignored() == nil {
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
	if Ignored() == nil {
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

// Merge writes the certificates of own, which is a file or a directory, and
// the tap's CA to the file name, and returns name. It returns "" if own contains no
// readable certificates.
func Merge(name, own, ca string) (string, error) {
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
