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

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// rootFiles lists where systems keep their roots in one file. The first that can
// be read is used.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, distroless
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
	"/etc/pki/tls/certs/ca-bundle.crt",                  // RHEL 6
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/ssl/cert.pem",                                 // Alpine, macOS, OpenBSD, FreeBSD
	"/usr/local/share/certs/ca-root-nss.crt",            // FreeBSD, DragonFly
	"/etc/openssl/certs/ca-certificates.crt",            // NetBSD
}

// SystemRoots returns the root certificates, in PEM, that a program with our
// environment trusts: those of SSL_CERT_FILE and SSL_CERT_DIR if they are set,
// otherwise the system's. A variable whose files cannot be read is treated as
// not set. The result may contain duplicates and blocks other than certificates.
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
		entries, _ := os.ReadDir(dir) // a missing directory has no entries
		for _, e := range entries {
			r.read(filepath.Join(dir, e.Name())) //nolint:errcheck // broken links are usual there
		}
	}
	if r.pem.Len() == 0 {
		return nil, usererror.New("no trusted root certificates in the usual places", "install ca-certificates, or name a file in SSL_CERT_FILE")
	}
	return r.pem.Bytes(), nil
}

// rootReader concatenates files. It reads each file once, even if several names
// and links lead to it.
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
	r.pem.WriteByte('\n') // in case the file does not end with one
	r.seen = append(r.seen, info)
	return nil
}

// mergeBundle returns the certificates in roots, without duplicates, followed by
// ours. Certificates made by a tap are left out of roots, because the environment
// may name an old bundle of ours. Other blocks are left out as well.
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
		pem.Encode(&b, &pem.Block{Type: blockCert, Bytes: block.Bytes}) //nolint:errcheck // a bytes.Buffer returns no error
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
		return false // avoids parsing most certificates
	}
	cert, err := x509.ParseCertificate(der)
	return err == nil && slices.Contains(cert.Subject.Organization, organization)
}
