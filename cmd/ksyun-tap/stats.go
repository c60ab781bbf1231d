package main

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/pathcheck"
)

// metricsOptions returns options for the ways in that s enables.
func (t *tap) metricsOptions(s *config.Settings) metrics.Options {
	o := metrics.Options{Proxy: t.proxyStats}
	if s.CSMListen != "" {
		o.CSM = t.csmStats
	}
	if s.CheckInterval > 0 {
		o.Path = t.pathStats
		for _, stage := range pathcheck.Stages() {
			o.PathStages = append(o.PathStages, string(stage))
		}
	}
	if len(s.Resign.Listen) > 0 {
		o.Resign = t.resignStats
	}
	if s.Intercept {
		o.CANotAfter = func() time.Time { return t.ca.NotAfter() }
		for _, reason := range collector.HandshakeReasons() {
			o.HandshakeReasons = append(o.HandshakeReasons, string(reason))
		}
	}
	return o
}

// proxyStats returns the counters of the proxy for the metrics.
func (t *tap) proxyStats() metrics.ProxyStats {
	if t.proxy == nil {
		return metrics.ProxyStats{}
	}
	s := t.proxy.Stats()
	return metrics.ProxyStats{
		ClientConnections:    s.ClientConnections,
		UpstreamConnections:  s.UpstreamConnections,
		ConnectionsAccepted:  s.Accepted,
		ConnectionsRefused:   s.Refused,
		ConnectionsReclaimed: s.Reclaimed,
		BufferBytes:          s.BufferBytes,
		BytesReceived:        s.RequestBytes,
		BytesSent:            s.ResponseBytes,
		Dials:                s.Dials,
		Panics:               s.Panics,
		UnobservedRequests:   s.Unobserved,
		Intercepted:          s.Intercepted,
		Tunnels:              s.Tunnels,
		TappedTunnels:        s.TappedTunnels,
		OpenTunnels:          s.OpenTunnels,
		NotRedirected:        s.Direct,
		Looped:               s.Looped,
	}
}

// csmStats returns the counters of client-side monitoring for the metrics.
func (t *tap) csmStats() metrics.CSMStats {
	s := t.csm.Stats()
	return metrics.CSMStats{
		Datagrams:  s.Datagrams,
		Attempts:   s.Attempts,
		Announced:  s.AttemptsAnnounced,
		Duplicates: s.DuplicatesByID + s.DuplicatesByTime,
		Rejected:   s.Malformed + s.Oversized + s.Unknown,
	}
}
