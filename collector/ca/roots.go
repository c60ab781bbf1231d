package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// rootFiles are where systems keep their roots in one file; the first that can
// be read counts.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, distroless
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
	"/etc/pki/tls/certs/ca-bundle.crt",                  // RHEL 6
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/ssl/cert.pem",                                 // Alpine, macOS, OpenBSD, FreeBSD
	"/usr/local/share/certs/ca-root-nss.crt",            // FreeBSD, DragonFly
	"/etc/openssl/certs/ca-certificates.crt",            // NetBSD
}

// SystemRoots returns the roots in PEM that a program in this environment
// trusts: those of SSL_CERT_FILE and SSL_CERT_DIR where they are set, which
// replace the system's. It may hold anything else besides certificates, and
// certificates twice.
func SystemRoots() ([]byte, error) {
	files := rootFiles
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		files = []string{f}
	}
	var roots []byte
	for _, f := range files {
		data, err := readRoots(f)
		if err == nil {
			roots = data
			break
		}
		if len(files) == 1 {
			return nil, fmt.Errorf("read SSL_CERT_FILE: %w", err)
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("SSL_CERT_DIR")) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("read SSL_CERT_DIR: %w", err)
		}
		for _, e := range entries {
			data, err := readRoots(filepath.Join(dir, e.Name()))
			if err != nil {
				continue // links that lead nowhere are usual there
			}
			roots = slices.Concat(roots, []byte("\n"), data)
		}
	}
	if len(roots) == 0 {
		return nil, errors.New("the system has no trusted roots where they are usually kept: install ca-certificates, or name a file in SSL_CERT_FILE")
	}
	return roots, nil
}

// readRoots reads a file, or what a link leads to.
func readRoots(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, maxPublicFile)
}

// mergeBundle returns the certificates of roots, each once, and ours after
// them. All else in roots is left out, and so are certificates that taps made:
// the environment may lead to a bundle of ours, also of an earlier day.
func mergeBundle(roots, ours []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(roots) + len(ours))
	seen := make(map[[sha256.Size]byte]bool)
	for block, rest := pem.Decode(roots); block != nil; block, rest = pem.Decode(rest) {
		sum := sha256.Sum256(block.Bytes)
		if block.Type != blockCert || seen[sum] || isOurs(block.Bytes) {
			continue
		}
		seen[sum] = true
		pem.Encode(&b, &pem.Block{Type: blockCert, Bytes: block.Bytes}) //nolint:errcheck // memory takes all
	}
	if len(seen) == 0 {
		return nil, errors.New("there is no certificate among the trusted roots")
	}
	b.Write(ours)
	return b.Bytes(), nil
}

// isOurs reports whether a certificate was made by a tap.
func isOurs(der []byte) bool {
	if !bytes.Contains(der, []byte(organization)) {
		return false // most are told without being parsed
	}
	cert, err := x509.ParseCertificate(der)
	return err == nil && slices.Contains(cert.Subject.Organization, organization)
}
