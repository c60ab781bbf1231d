package trust

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// JavaPassword is Java's default password. A trust store contains no secret.
const JavaPassword = "changeit"

// maxTrustStore is the maximum size of a trust store, in bytes.
const maxTrustStore = 16 << 20

// ReadJava reads the certificates of a trust store in PKCS #12 or JKS format.
func ReadJava(name, password string) ([]*x509.Certificate, error) {
	data, err := readRegular(name)
	if err != nil {
		return nil, err
	}
	if len(data) > maxTrustStore {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxTrustStore)
	}
	for _, p := range []string{password, JavaPassword, ""} {
		if certificates, err := pkcs12.DecodeTrustStore(data, p); err == nil {
			return certificates, nil
		}
	}
	store := keystore.New()
	if err := store.Load(bytes.NewReader(data), []byte(cmp.Or(password, JavaPassword))); err != nil {
		return nil, fmt.Errorf("%s is not a PKCS #12 or JKS trust store, or its password is another", name)
	}
	var certificates []*x509.Certificate
	for _, alias := range store.Aliases() {
		entry, err := store.GetTrustedCertificateEntry(alias)
		if err != nil {
			continue // a key
		}
		if cert, err := x509.ParseCertificate(entry.Certificate.Content); err == nil {
			certificates = append(certificates, cert)
		}
	}
	if len(certificates) == 0 {
		return nil, errors.New("the trust store contains no certificate")
	}
	return certificates, nil
}

// EncodeJava returns a trust store of PEM certificates and more certificates.
func EncodeJava(data []byte, more ...*x509.Certificate) ([]byte, error) {
	var certificates []*x509.Certificate
	seen := map[string]bool{}
	add := func(c *x509.Certificate) {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			certificates = append(certificates, c)
		}
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		// Java ignores certificates that it cannot parse, too.
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			add(c)
		}
	}
	for _, c := range more {
		add(c)
	}
	store, err := pkcs12.Modern.EncodeTrustStore(certificates, JavaPassword)
	if err != nil {
		return nil, fmt.Errorf("create a trust store for Java: %w", err)
	}
	return store, nil
}
