package main

import (
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/connlog"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// caConfig returns the configuration of the CA for the tapped hosts.
func caConfig(s *config.Settings) ca.Config {
	cfg := ca.Config{Dir: s.CADir, PublishDir: s.PublishDir}
	for _, host := range s.TapHosts {
		cfg.Permitted = append(cfg.Permitted, host.String())
	}
	return cfg
}

// openCA opens the CA for the tapped hosts.
func openCA(s *config.Settings, log *logs.Logger) (*ca.CA, error) {
	cfg := caConfig(s)
	cfg.OnError = func(err error) { log.Error("cannot maintain the CA for interception", zap.Error(err)) }
	authority, err := ca.Open(cfg)
	if err != nil {
		return nil, usererror.At("--intercept.ca-dir", err)
	}
	log.Info("interception is on",
		zap.String("ca_dir", s.CADir),
		zap.String("trust_dir", s.TrustDir()),
		zap.String("ca_sha256", authority.Fingerprint()),
		zap.Time("ca_not_after", authority.NotAfter()))
	return authority, nil
}

// handshakeFailed returns a function that counts and logs failed handshakes.
func (t *tap) handshakeFailed() func(collector.HandshakeError) {
	count := metrics.Count(t.metrics, metrics.HandshakeErrors, collector.HandshakeReasons())
	log := connlog.Handshakes(t.log.Logger, func() bool { return t.reloaded.Load().settings.OtherHosts != collector.OtherRefuse })
	return func(e collector.HandshakeError) {
		count(e.Reason)
		log(e)
	}
}
