package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
// replace the system's. A variable by which no file can be read counts as not
// set. What is returned may hold anything else besides certificates, and
// certificates twice.
func SystemRoots() ([]byte, error) {
	files := rootFiles
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		files = append([]string{f}, files...)
	}
	var r rootReader
	for _, f := range files {
		if r.read(f) == nil && bytes.Contains(r.pem.Bytes(), []byte("-----BEGIN ")) {
			break
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("SSL_CERT_DIR")) {
		entries, _ := os.ReadDir(dir) // one that is not there has none
		for _, e := range entries {
			r.read(filepath.Join(dir, e.Name())) //nolint:errcheck // links that lead nowhere are usual there
		}
	}
	if r.pem.Len() == 0 {
		return nil, errors.New("the system has no trusted roots where they are usually kept: install ca-certificates, or name a file in SSL_CERT_FILE")
	}
	return r.pem.Bytes(), nil
}

// rootReader reads files one after the other, each once, whatever names and
// links lead to it.
type rootReader struct {
	pem  bytes.Buffer
	seen []fs.FileInfo
}

func (r *rootReader) read(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a file", path)
	}
	if slices.ContainsFunc(r.seen, func(i fs.FileInfo) bool { return os.SameFile(i, info) }) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if int64(r.pem.Len())+info.Size() > maxPublicFile {
		return fmt.Errorf("the trusted roots are larger than %d bytes", maxPublicFile)
	}
	if _, err := io.Copy(&r.pem, io.LimitReader(f, info.Size())); err != nil {
		return err
	}
	r.pem.WriteByte('\n') // where the file does not end in one
	r.seen = append(r.seen, info)
	return nil
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
