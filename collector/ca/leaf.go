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

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

const (
	// leafLife is the validity of a leaf, including skew before its creation.
	leafLife = 24 * time.Hour
	// lastMoment is how long before its expiry an authority stops signing.
	lastMoment = time.Minute
)

var (
	errNoAuthority = errors.New("the CA has expired, and no new one could be created")
	errPanicked    = errors.New("creating the certificate panicked")
	errServerName  = errors.New("the server name of the ClientHello is not the host of the CONNECT")
)

// leaf is the certificate for one host.
type leaf struct {
	cert  *tls.Certificate
	view  *view     // the authorities it was signed under
	renew time.Time // when to create another
}

// fresh reports whether l may be served. It also checks NotBefore, because a
// clock can be set back.
func (l *leaf) fresh(now time.Time) bool {
	return now.Before(l.renew) && !now.Before(l.cert.Leaf.NotBefore)
}

// Permits reports whether host is one that Certificate signs for.
func (c *CA) Permits(host string) bool {
	return c.permitted.check(hostname.Canonical(host)) == nil
}

// Certificate returns a certificate for host, which may be in upper case and end
// with a dot. The certificate is created by the first call and cached; callers
// must not modify it. It is valid for at most 24 hours, not longer than the CA,
// and has at least a third of its validity left.
//
// The error wraps ErrRefused if host is not permitted. Concurrent calls for the
// same host create one certificate.
func (c *CA) Certificate(host string) (*tls.Certificate, error) {
	name := hostname.Canonical(host)
	if err := c.permitted.check(name); err != nil {
		return nil, err
	}
	host = string(name)
	if cert := c.cache.get(host, c.view.Load(), c.now()); cert != nil {
		c.hits.Add(1)
		return cert, nil
	}
	// singleflight would pass a panic on to every call that waits. Only the one in which it
	// occurred panics; the others return an error.
	var cause any
	cert, err, _ := c.flights.Do(host, func() (_ any, err error) {
		defer func() {
			if cause = recover(); cause != nil {
				err = errPanicked
			}
		}()
		v := c.view.Load()
		if cert := c.cache.get(host, v, c.now()); cert != nil { // created meanwhile
			return cert, nil
		}
		l, err := c.mint(host, v)
		if err != nil {
			return nil, err
		}
		c.cache.put(host, l)
		return l.cert, nil
	})
	if cause != nil {
		panic(cause)
	}
	if err != nil {
		return nil, err
	}
	return cert.(*tls.Certificate), nil //nolint:forcetypeassert // as returned above
}

// mint creates a leaf for a permitted host.
func (c *CA) mint(host string, v *view) (*leaf, error) {
	now := c.now()
	a, until := v.signer(host, now, c.cfg.Overlap)
	if a == nil {
		// The clock was changed, or Maintain is not running.
		if err := c.Refresh(); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoAuthority, err)
		}
		v = c.view.Load()
		if a, until = v.signer(host, now, c.cfg.Overlap); a == nil {
			return nil, errNoAuthority
		}
	}
	cert, err := a.sign(host, now)
	if err != nil {
		return nil, fmt.Errorf("create a certificate for %q: %w", host, err)
	}
	c.minted.Add(1)
	renew := now.Add(cert.Leaf.NotAfter.Sub(now) * 2 / 3)
	if !until.IsZero() && until.Before(renew) {
		renew = until
	}
	return &leaf{cert: cert, view: v, renew: renew}, nil
}

// sign creates a certificate for host, which must be permitted.
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

// TLSConfig returns the configuration with which to serve a program that asked
// for a connection to host: HTTP/1.1 over TLS 1.2 or later, with a certificate
// for host. The handshake fails if the program's ClientHello names another
// server. The configuration is shared by all connections for host, which can
// resume each other's sessions; callers must not modify it.
//
// The errors are those of Certificate.
func (c *CA) TLSConfig(host string) (*tls.Config, error) {
	if _, err := c.Certificate(host); err != nil {
		return nil, err
	}
	host = string(hostname.Canonical(host))
	return c.cache.config(host, func() *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if hello.ServerName != "" && string(hostname.Canonical(hello.ServerName)) != host {
					return nil, errServerName
				}
				return c.Certificate(host)
			},
		}
	}), nil
}
