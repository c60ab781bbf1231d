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

// authority is a root for programs to trust and, under it, the certificate that
// signs leaves. Both are bound to the permitted names: Java heeds that only of
// the lower one, and some programs only of the root. The root's key is gone: it
// signed once. An authority does not change once made.
type authority struct {
	root *x509.Certificate
	cert *x509.Certificate // signs
	key  *ecdsa.PrivateKey // of cert
	// published is since when programs can trust it, in UTC and whole seconds;
	// zero before that.
	published time.Time
}

// newAuthority makes an authority, not yet published.
func newAuthority(p *permitted, now time.Time, validity time.Duration) (*authority, error) {
	root, rootKey, err := newSigner("root", 1, p, now, validity, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	cert, key, err := newSigner("CA", 0, p, now, validity, root, rootKey)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	return &authority{root: root, cert: cert, key: key}, nil
}

// newSigner makes a certificate that signs others, below it no more than below
// further ones. It is signed by parent, or by itself where parent is nil.
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
		// Each has a name of its own: verifiers find issuers by name first.
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
		// Constraints on DNS names leave IP addresses open.
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
	b := *a
	b.published = t.UTC().Truncate(time.Second)
	return &b
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

// The PEM blocks of key.pem, for each authority the root, the certificate under
// it and its key, and a header of the root's.
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

// parseKeys reads what encodeKeys wrote, and nothing else: a file that is
// damaged, or an authority that is not as narrow as ours are, is an error. The
// errors quote nothing of the file.
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

// parseAuthority reads two certificates and a key, and returns what follows
// them.
func parseAuthority(data []byte) (a *authority, rest []byte, err error) {
	rootBlock, data := nextBlock(data)
	certBlock, data := nextBlock(data)
	keyBlock, rest := nextBlock(data)
	switch {
	case rootBlock == nil || rootBlock.Type != blockCert:
		return nil, nil, errors.New("no certificate where one should be")
	case certBlock == nil || certBlock.Type != blockCert:
		return nil, nil, errors.New("no second certificate where one should be")
	case keyBlock == nil || keyBlock.Type != blockKey:
		return nil, nil, errors.New("no private key where one should be")
	}
	a = new(authority)
	if a.root, err = x509.ParseCertificate(rootBlock.Bytes); err != nil {
		return nil, nil, errors.New("the certificate cannot be read")
	}
	if a.cert, err = x509.ParseCertificate(certBlock.Bytes); err != nil {
		return nil, nil, errors.New("the second certificate cannot be read")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, errors.New("the private key cannot be read")
	}
	var ok bool
	if a.key, ok = key.(*ecdsa.PrivateKey); !ok || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, nil, errors.New("the private key is not the certificate's")
	}
	if text, ok := rootBlock.Headers[headerPublished]; ok {
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
	root, cert := a.root, a.cert
	switch {
	case a.key.Curve != elliptic.P256():
		return errors.New("the key is not on P-256")
	case root.CheckSignature(root.SignatureAlgorithm, root.RawTBSCertificate, root.Signature) != nil,
		root.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil:
		return errors.New("a certificate is damaged: its signature is wrong")
	case !bytes.Equal(cert.RawIssuer, root.RawSubject) || !cert.NotBefore.Equal(root.NotBefore) || !cert.NotAfter.Equal(root.NotAfter):
		return errors.New("the certificates do not belong together")
	case !signsOnly(root, 1) || !signsOnly(cert, 0):
		return errors.New("a certificate is not one this program makes: its usage is wider")
	case !bound(root) || !bound(cert) || !slices.Equal(root.PermittedDNSDomains, cert.PermittedDNSDomains):
		return errors.New("a certificate is not one this program makes: it is good for all names")
	}
	return nil
}

// signsOnly reports whether c is for signing certificates of servers alone,
// with below others between.
func signsOnly(c *x509.Certificate, below int) bool {
	return c.IsCA && c.MaxPathLen == below && c.MaxPathLenZero == (below == 0) && c.KeyUsage == x509.KeyUsageCertSign &&
		slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) && len(c.UnknownExtKeyUsage) == 0
}

// bound reports whether c is good for some names alone, and for no address.
func bound(c *x509.Certificate) bool {
	return c.PermittedDNSDomainsCritical && len(c.PermittedDNSDomains) > 0 && !slices.Contains(c.PermittedDNSDomains, "") &&
		excludesAll(c.ExcludedIPRanges) && len(c.PermittedIPRanges) == 0
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
