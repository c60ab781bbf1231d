package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// organization identifies certificates made by a tap.
const organization = "ksyun-tap"

// skew is how far the start of a validity lies in the past, for programs whose
// clocks are slow.
const skew = time.Hour

// authority is a root certificate, which programs trust, and the intermediate
// certificate under it, which signs leaves. Both have name constraints, because
// Java applies only those of the intermediate, and some programs only those of
// the root. The root's key was discarded after it signed the intermediate.
// An authority is immutable.
type authority struct {
	root *x509.Certificate
	cert *x509.Certificate // the intermediate
	key  *ecdsa.PrivateKey // of cert
	// published is the time since when programs can trust it, in UTC and whole
	// seconds. It is zero before publication.
	published time.Time
}

// newAuthority creates an authority that is not published yet.
func newAuthority(p *permitted, now time.Time, validity time.Duration) (*authority, error) {
	root, rootKey, err := newSigner("root", 1, p, now, validity, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("create a CA: %w", err)
	}
	cert, key, err := newSigner("CA", 0, p, now, validity, root, rootKey)
	if err != nil {
		return nil, fmt.Errorf("create a CA: %w", err)
	}
	return &authority{root: root, cert: cert, key: key}, nil
}

// newSigner creates a CA certificate and its key. At most below further CA
// certificates are allowed between it and a leaf. It is signed by parent, or
// by itself if parent is nil.
func newSigner(what string, below int, p *permitted, now time.Time, validity time.Duration,
	parent *x509.Certificate, parentKey *ecdsa.PrivateKey,
) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		// The common name is unique, because verifiers find issuers by name.
		Subject:      pkix.Name{Organization: []string{organization}, CommonName: "ksyun-tap interception " + what + " " + hex.EncodeToString(id[:4])},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(validity),
		KeyUsage:     x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId: id,

		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            below,
		MaxPathLenZero:        below == 0,

		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         p.domains,
		// Name constraints for DNS do not restrict IP addresses.
		ExcludedIPRanges: allAddresses,
	}
	if parent == nil {
		template.AuthorityKeyId = id
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

var allAddresses = []*net.IPNet{
	{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
}

// newSerial returns a random serial number of 128 bits.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return new(big.Int).SetBytes(b[:])
}

// keyID returns the identifier of a key according to RFC 7093, section 2, method
// 1.
func keyID(key *ecdsa.PublicKey) ([]byte, error) {
	point, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(point)
	return sum[:20], nil
}

// withPublished returns a copy of a that was published at t.
func (a *authority) withPublished(t time.Time) *authority {
	b := *a
	b.published = t.UTC().Truncate(time.Second)
	return &b
}

// live reports whether a is valid for long enough to sign a leaf.
func (a *authority) live(now time.Time) bool {
	return !now.Before(a.cert.NotBefore) && now.Before(a.cert.NotAfter.Add(-lastMoment))
}

// covers reports whether the name constraints permit host.
func (a *authority) covers(host string) bool {
	return slices.ContainsFunc(a.cert.PermittedDNSDomains, func(d string) bool { return hostname.Name(host).IsUnder(hostname.Name(d)) })
}

// fingerprint returns the SHA-256 of a certificate in the format of openssl x509
// -fingerprint -sha256.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	var b strings.Builder
	for i, c := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", c)
	}
	return b.String()
}

// The PEM blocks of key.pem: for each authority the root, the intermediate and
// its key. The time of publication is a header of the root's block.
const (
	blockCert       = "CERTIFICATE"
	blockKey        = "PRIVATE KEY"
	headerPublished = "Published"
)

// maxAuthorities limits the number of authorities. Rotation needs at most five;
// the rest is for changes of the permitted names.
const maxAuthorities = 16

// encodeKeys returns the contents of key.pem.
func encodeKeys(all []*authority) ([]byte, error) {
	var b bytes.Buffer
	for _, a := range all {
		key, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return nil, errors.New("a private key cannot be encoded")
		}
		root := &pem.Block{Type: blockCert, Bytes: a.root.Raw}
		if !a.published.IsZero() {
			root.Headers = map[string]string{headerPublished: a.published.Format(time.RFC3339)}
		}
		for _, block := range []*pem.Block{root, {Type: blockCert, Bytes: a.cert.Raw}, {Type: blockKey, Bytes: key}} {
			if err := pem.Encode(&b, block); err != nil {
				return nil, errors.New("a private key cannot be encoded")
			}
		}
	}
	return b.Bytes(), nil
}

// parseKeys parses the contents of key.pem, strictly as encodeKeys writes them. A
// damaged file is an error, and so is an authority without the usual
// restrictions. Errors quote nothing of the file.
func parseKeys(data []byte) ([]*authority, error) {
	var all []*authority
	for len(bytes.TrimSpace(data)) > 0 {
		if len(all) == maxAuthorities {
			return nil, fmt.Errorf("it holds more than %d authorities", maxAuthorities)
		}
		a, rest, err := parseAuthority(data)
		if err != nil {
			return nil, fmt.Errorf("authority %d: %w", len(all)+1, err)
		}
		all, data = append(all, a), rest
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no authority")
	}
	return all, nil
}

// parseAuthority parses two certificates and a key, and returns the rest of data.
func parseAuthority(data []byte) (a *authority, rest []byte, err error) {
	rootBlock, data := nextBlock(data)
	certBlock, data := nextBlock(data)
	keyBlock, rest := nextBlock(data)
	switch {
	case rootBlock == nil || rootBlock.Type != blockCert:
		return nil, nil, errors.New("the root certificate is missing")
	case certBlock == nil || certBlock.Type != blockCert:
		return nil, nil, errors.New("the intermediate certificate is missing")
	case keyBlock == nil || keyBlock.Type != blockKey:
		return nil, nil, errors.New("the private key is missing")
	}
	a = new(authority)
	if a.root, err = x509.ParseCertificate(rootBlock.Bytes); err != nil {
		return nil, nil, errors.New("the root certificate cannot be parsed")
	}
	if a.cert, err = x509.ParseCertificate(certBlock.Bytes); err != nil {
		return nil, nil, errors.New("the intermediate certificate cannot be parsed")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, errors.New("the private key cannot be parsed")
	}
	var ok bool
	if a.key, ok = key.(*ecdsa.PrivateKey); !ok || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, nil, errors.New("the private key does not belong to the certificate")
	}
	if text, ok := rootBlock.Headers[headerPublished]; ok {
		if a.published, err = time.Parse(time.RFC3339, text); err != nil || a.published.IsZero() {
			return nil, nil, errors.New("the time of publication cannot be parsed")
		}
		a.published = a.published.UTC()
	}
	if err := a.narrow(); err != nil {
		return nil, nil, err
	}
	return a, rest, nil
}

// nextBlock returns the PEM block that data begins with, or nil if it begins with
// anything else. pem.Decode would skip that, and damage would go unnoticed.
func nextBlock(data []byte) (*pem.Block, []byte) {
	data = bytes.TrimSpace(data)
	if !bytes.HasPrefix(data, []byte("-----BEGIN ")) {
		return nil, data
	}
	block, rest := pem.Decode(data)
	if block == nil || bytes.Count(data[:len(data)-len(rest)], []byte("-----BEGIN ")) != 1 {
		return nil, data
	}
	return block, rest
}

// narrow returns an error unless a has the restrictions that newAuthority sets.
func (a *authority) narrow() error {
	root, cert := a.root, a.cert
	switch {
	case a.key.Curve != elliptic.P256():
		return errors.New("the key is not on P-256")
	case root.CheckSignature(root.SignatureAlgorithm, root.RawTBSCertificate, root.Signature) != nil,
		root.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil:
		return errors.New("a certificate is damaged: its signature is invalid")
	case !bytes.Equal(cert.RawIssuer, root.RawSubject) || !cert.NotBefore.Equal(root.NotBefore) || !cert.NotAfter.Equal(root.NotAfter):
		return errors.New("the certificates do not belong together")
	case !signsOnly(root, 1) || !signsOnly(cert, 0):
		return errors.New("a certificate was not made by this program: its key usage is too wide")
	case !bound(root) || !bound(cert) || !slices.Equal(root.PermittedDNSDomains, cert.PermittedDNSDomains):
		return errors.New("a certificate was not made by this program: it has no name constraints")
	}
	return nil
}

// signsOnly reports whether c may only sign server certificates, with at most
// below CA certificates in between.
func signsOnly(c *x509.Certificate, below int) bool {
	return c.IsCA && c.MaxPathLen == below && c.MaxPathLenZero == (below == 0) && c.KeyUsage == x509.KeyUsageCertSign &&
		slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) && len(c.UnknownExtKeyUsage) == 0
}

// bound reports whether c is restricted to some DNS names and excludes all IP
// addresses.
func bound(c *x509.Certificate) bool {
	return c.PermittedDNSDomainsCritical && len(c.PermittedDNSDomains) > 0 && !slices.Contains(c.PermittedDNSDomains, "") &&
		excludesAll(c.ExcludedIPRanges) && len(c.PermittedIPRanges) == 0
}

// excludesAll reports whether ranges contain all IP addresses.
func excludesAll(ranges []*net.IPNet) bool {
	for _, all := range allAddresses {
		if !slices.ContainsFunc(ranges, func(r *net.IPNet) bool { return r.String() == all.String() }) {
			return false
		}
	}
	return true
}
