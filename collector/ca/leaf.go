package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

const (
	// leafLife is the whole validity of a leaf, of which skew lies in the past.
	leafLife = 24 * time.Hour
	// lastMoment is the end of an authority in which it signs no more.
	lastMoment = time.Minute
)

var (
	errNoAuthority = errors.New("the CA has expired, and no other could be made")
	errServerName  = errors.New("the server name is not the host the connection was asked for")
)

// leaf is a certificate for one host.
type leaf struct {
	cert  *tls.Certificate
	view  *view     // the authorities it was made under
	renew time.Time // when to make another
}

// fresh reports whether l may be served. Clocks are also set back.
func (l *leaf) fresh(now time.Time) bool {
	return now.Before(l.renew) && !now.Before(l.cert.Leaf.NotBefore)
}

// Certificate returns a certificate for host, which is compared without case
// and last dot. It is made at the first call and kept; callers must not change
// it. Its validity is at most 24 hours, never beyond the CA's, and what is
// returned has at least a third of it to go.
//
// The error is ErrRefused, wrapped, for a host that is not permitted. It is
// safe for concurrent use; concurrent calls for one host make one certificate.
func (c *CA) Certificate(host string) (*tls.Certificate, error) {
	host = canonical(host)
	if err := c.permitted.check(host); err != nil {
		c.refused.Add(1)
		return nil, err
	}
	v := c.view.Load()
	cert, f, mine := c.cache.get(host, v, c.now())
	switch {
	case cert != nil:
		c.hits.Add(1)
		return cert, nil
	case mine:
		c.fly(host, v, f)
	default:
		<-f.done
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.leaf.cert, nil
}

// fly makes the certificate that others may wait for.
func (c *CA) fly(host string, v *view, f *flight) {
	f.err = errNoAuthority // stands if the rest panics
	defer c.cache.land(host, f)
	f.leaf, f.err = c.mint(host, v)
}

// mint makes a leaf for a permitted host.
func (c *CA) mint(host string, v *view) (*leaf, error) {
	now := c.now()
	a, until := v.signer(host, now, c.overlap)
	if a == nil {
		// The clock leapt, or nobody calls Maintain.
		if err := c.Refresh(); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoAuthority, err)
		}
		v = c.view.Load()
		if a, until = v.signer(host, now, c.overlap); a == nil {
			return nil, errNoAuthority
		}
	}
	cert, err := a.sign(host, now)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %q: %w", host, err)
	}
	c.minted.Add(1)
	renew := now.Add(cert.Leaf.NotAfter.Sub(now) * 2 / 3)
	if !until.IsZero() && until.Before(renew) {
		renew = until
	}
	return &leaf{cert: cert, view: v, renew: renew}, nil
}

// sign makes a certificate for host, which must be permitted.
func (a *authority) sign(host string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	from, to := now.Add(-skew), now.Add(leafLife-skew)
	if from.Before(a.cert.NotBefore) {
		from = a.cert.NotBefore
	}
	if to.After(a.cert.NotAfter) {
		to = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		DNSNames:              []string{host},
		NotBefore:             from,
		NotAfter:              to,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId:          id,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: parsed}, nil
}

// TLSConfig returns what to serve a program with that asked for a connection to
// host: HTTP/1.1 over TLS 1.2 or later, under a certificate for host, refused
// if the program then names another server. The configuration is shared by all
// connections for host, which can resume each other's sessions; callers must
// not change it.
//
// The errors are Certificate's. Nothing has been sent then: the caller can
// still refuse the connection, or pass it on unseen.
func (c *CA) TLSConfig(host string) (*tls.Config, error) {
	if _, err := c.Certificate(host); err != nil {
		return nil, err
	}
	host = canonical(host)
	return c.cache.config(host, func() *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if hello.ServerName != "" && canonical(hello.ServerName) != host {
					c.refused.Add(1)
					return nil, errServerName
				}
				return c.Certificate(host)
			},
		}
	}), nil
}
