package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/resign"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// resigning is a re-signing address with the sources of its credentials.
type resigning struct {
	collector.ResignAddress
	keys  *resign.Source
	local *resign.Source // nil if programs' signatures are not verified
}

// openResign reads the files of the re-signing address.
func openResign(s *config.Settings) (*resigning, error) {
	r := &s.Resign
	host := hostname.Canonical(r.Upstream.Hostname())
	if !s.Taps(host) {
		return nil, usererror.New(fmt.Sprintf("--resign.upstream=%s is not tapped", r.Upstream), "tap it with --tap.host="+string(host))
	}
	o := &resigning{}
	var err error
	if o.keys, err = resign.OpenSource(r.CredentialsFile); err != nil {
		return nil, usererror.At("--resign.credentials-file", err)
	}
	cfg := resign.Config{Credentials: o.keys.Credentials, Host: r.Upstream.Host, Region: r.Region, Service: r.Service}
	if r.ClientKeyFile != "" {
		if o.local, err = resign.OpenSource(r.ClientKeyFile); err != nil {
			return nil, usererror.At("--resign.client-key-file", err)
		}
		cfg.Local = o.local.Credentials
	}
	o.ResignAddress = collector.ResignAddress{Signer: resign.New(cfg), Upstream: r.Upstream, Allow: r.Allow}
	if r.CertFile != "" {
		if o.TLS, err = followTLS(r); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// followTLS returns a configuration that reads the certificate files again for
// each connection. If that fails, it uses what was last read.
func followTLS(r *config.Resign) (*tls.Config, error) {
	load := func() (*tls.Config, error) {
		cert, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		if err != nil {
			return nil, usererror.At("--resign.cert-file, --resign.key-file", err)
		}
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{cert}}
		if r.ClientCAFile == "" {
			return cfg, nil
		}
		pem, err := os.ReadFile(r.ClientCAFile)
		if err != nil {
			return nil, usererror.At("--resign.client-ca-file", usererror.Wrap(err, "name a file of CA certificates that this user can read"))
		}
		cfg.ClientCAs, cfg.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, usererror.At("--resign.client-ca-file", usererror.New(r.ClientCAFile+" contains no PEM certificate", "name a file with CERTIFICATE blocks"))
		}
		return cfg, nil
	}
	first, err := load()
	if err != nil {
		return nil, err
	}
	var good atomic.Pointer[tls.Config]
	good.Store(first)
	cfg := first.Clone()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if now, err := load(); err == nil {
			good.Store(now)
		}
		return good.Load(), nil
	}
	return cfg, nil
}

// reload reads the credentials at once, instead of waiting for Watch.
func (o *resigning) reload() error {
	if o == nil {
		return nil
	}
	for _, source := range []*resign.Source{o.keys, o.local} {
		if source == nil {
			continue
		}
		if _, err := source.Reload(); err != nil {
			return err
		}
	}
	return nil
}

// watchKeys reads a source again while it changes, and logs that.
func (t *tap) watchKeys(ctx context.Context, source *resign.Source, what string) {
	source.Watch(ctx, func(err error) {
		if err != nil {
			t.log.Error("cannot read the "+what+"; those read last remain in use", zap.Error(err))
			return
		}
		t.log.Info("read new " + what)
	})
}
