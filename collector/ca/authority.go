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
)

// organization marks the certificates of ours among others.
const organization = "ksyun-tap"

// skew is how far certificates are dated back, for programs whose clocks are
// slow.
const skew = time.Hour

// authority is one certificate that signs leaves, with its key. It does not
// change once made.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// published is since when programs can trust it, in UTC and whole seconds;
	// zero before that.
	published time.Time
}

// newAuthority makes an authority, not yet published.
func newAuthority(p *permitted, now time.Time, validity time.Duration) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		// Each has a name of its own: verifiers find issuers by name first.
		Subject:        pkix.Name{Organization: []string{organization}, CommonName: "ksyun-tap interception CA " + hex.EncodeToString(id[:4])},
		NotBefore:      now.Add(-skew),
		NotAfter:       now.Add(validity),
		KeyUsage:       x509.KeyUsageCertSign,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId:   id,
		AuthorityKeyId: id,

		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,

		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         p.domains,
		// Constraints on DNS names leave IP addresses open.
		ExcludedIPRanges: allAddresses,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

var allAddresses = []*net.IPNet{
	{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
}

// newSerial returns a random number of 128 bits.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return new(big.Int).SetBytes(b[:])
}

// keyID identifies a key as in RFC 7093, 2, method 1.
func keyID(key *ecdsa.PublicKey) ([]byte, error) {
	point, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(point)
	return sum[:20], nil
}

// withPublished returns a copy published at t.
func (a *authority) withPublished(t time.Time) *authority {
	return &authority{cert: a.cert, key: a.key, published: t.UTC().Truncate(time.Second)}
}

// live reports whether a is within its validity, with time left for a leaf.
func (a *authority) live(now time.Time) bool {
	return !now.Before(a.cert.NotBefore) && now.Before(a.cert.NotAfter.Add(-lastMoment))
}

// covers reports whether the constraints permit host.
func (a *authority) covers(host string) bool {
	return slices.ContainsFunc(a.cert.PermittedDNSDomains, func(d string) bool { return isUnder(host, d) })
}

// fingerprint is spelled as openssl x509 -fingerprint -sha256 does.
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

// The PEM blocks of key.pem, a pair for each authority, and the header of the
// certificate's.
const (
	blockCert       = "CERTIFICATE"
	blockKey        = "PRIVATE KEY"
	headerPublished = "Published"
)

// maxAuthorities bounds how many are kept. Rotation by time needs five at most;
// the rest is for changes of the permitted names.
const maxAuthorities = 16

// encodeKeys spells authorities with their keys for key.pem.
func encodeKeys(all []*authority) ([]byte, error) {
	var b bytes.Buffer
	for _, a := range all {
		key, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return nil, errors.New("a private key cannot be encoded")
		}
		cert := &pem.Block{Type: blockCert, Bytes: a.cert.Raw}
		if !a.published.IsZero() {
			cert.Headers = map[string]string{headerPublished: a.published.Format(time.RFC3339)}
		}
		if err := errors.Join(pem.Encode(&b, cert), pem.Encode(&b, &pem.Block{Type: blockKey, Bytes: key})); err != nil {
			return nil, errors.New("a private key cannot be encoded")
		}
	}
	return b.Bytes(), nil
}

// parseKeys reads what encodeKeys wrote, and nothing else: a file that is
// damaged, or an authority that is not as narrow as ours are, is an error. The
// errors quote nothing of the file.
func parseKeys(data []byte) ([]*authority, error) {
	var all []*authority
	for len(bytes.TrimSpace(data)) > 0 {
		if len(all) == maxAuthorities {
			return nil, fmt.Errorf("it holds more than %d authorities", maxAuthorities)
		}
		a, rest, err := parsePair(data)
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

// parsePair reads a certificate and its key, and returns what follows them.
func parsePair(data []byte) (a *authority, rest []byte, err error) {
	certBlock, data := nextBlock(data)
	keyBlock, rest := nextBlock(data)
	switch {
	case certBlock == nil || certBlock.Type != blockCert:
		return nil, nil, errors.New("no certificate where one should be")
	case keyBlock == nil || keyBlock.Type != blockKey:
		return nil, nil, errors.New("no private key where one should be")
	}
	a = new(authority)
	if a.cert, err = x509.ParseCertificate(certBlock.Bytes); err != nil {
		return nil, nil, errors.New("the certificate cannot be read")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, errors.New("the private key cannot be read")
	}
	var ok bool
	if a.key, ok = key.(*ecdsa.PrivateKey); !ok || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, nil, errors.New("the private key is not the certificate's")
	}
	if text, ok := certBlock.Headers[headerPublished]; ok {
		if a.published, err = time.Parse(time.RFC3339, text); err != nil || a.published.IsZero() {
			return nil, nil, errors.New("the time of publication cannot be read")
		}
		a.published = a.published.UTC()
	}
	if err := a.narrow(); err != nil {
		return nil, nil, err
	}
	return a, rest, nil
}

// nextBlock returns the block that data begins with, nil where anything else
// comes first: pem.Decode would skip it, and damage would pass for absence.
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

// narrow returns an error unless a is bound as newAuthority binds.
func (a *authority) narrow() error {
	c := a.cert
	switch {
	case a.key.Curve != elliptic.P256():
		return errors.New("the key is not on P-256")
	case c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil:
		return errors.New("the certificate is damaged: its signature is wrong")
	case !c.IsCA || !c.MaxPathLenZero || c.MaxPathLen != 0 || c.KeyUsage != x509.KeyUsageCertSign ||
		!slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || len(c.UnknownExtKeyUsage) > 0:
		return errors.New("the certificate is not one this program makes: its usage is wider")
	case !c.PermittedDNSDomainsCritical || len(c.PermittedDNSDomains) == 0 || slices.Contains(c.PermittedDNSDomains, "") ||
		!excludesAll(c.ExcludedIPRanges) || len(c.PermittedIPRanges) > 0:
		return errors.New("the certificate is not one this program makes: it is good for all names")
	}
	return nil
}

// excludesAll reports whether ranges are all addresses.
func excludesAll(ranges []*net.IPNet) bool {
	for _, all := range allAddresses {
		if !slices.ContainsFunc(ranges, func(r *net.IPNet) bool { return r.String() == all.String() }) {
			return false
		}
	}
	return true
}
