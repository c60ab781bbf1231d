package main

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/csm"
	"github.com/ksyun-tap/ksyun-tap/collector/resign"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/pathcheck"
)

// registerCollectors registers a collector for each part that was created.
func (t *tap) registerCollectors() {
	t.metrics.Register(metrics.NewCollector(t.proxy.Stats, proxyRows...))
	if t.ca != nil {
		t.metrics.Register(metrics.NewCollector(t.ca.NotAfter, metrics.Read(metrics.CANotAfter, time.Time.Unix)))
	}
	if t.csm != nil {
		t.metrics.Register(metrics.NewCollector(t.csm.Stats, csmRows...))
	}
	if t.resign != nil {
		t.metrics.Register(
			metrics.NewCollector(t.proxy.Stats, resignRows...),
			metrics.NewCollector(t.resign.keys.Status, keysRows...))
	}
	if t.path != nil {
		t.metrics.Register(metrics.NewCollector(t.path.Status, pathRows...))
	}
}

var proxyRows = []metrics.Row[collector.Stats]{
	metrics.Read(metrics.ClientConnections, func(s collector.Stats) int64 { return s.OpenClients }),
	metrics.Read(metrics.ConnectionsAccepted, func(s collector.Stats) int64 { return s.Accepted }),
	metrics.Read(metrics.ConnectionsRefused, func(s collector.Stats) int64 { return s.Refused }),
	metrics.Read(metrics.ConnectionsReclaimed, func(s collector.Stats) int64 { return s.Reclaimed }),
	metrics.Read(metrics.BufferBytes, func(s collector.Stats) int64 { return s.BufferBytes }),
	metrics.Read(metrics.BytesReceived, func(s collector.Stats) int64 { return s.RequestBytes }),
	metrics.Read(metrics.BytesSent, func(s collector.Stats) int64 { return s.ResponseBytes }),
	metrics.Read(metrics.UpstreamConnections, func(s collector.Stats) int64 { return s.OpenUpstreams }),
	metrics.Read(metrics.Dials, func(s collector.Stats) int64 { return s.Dials }),
	metrics.Read(metrics.Panics, func(s collector.Stats) int64 { return s.Panics }),
	metrics.Read(metrics.Unobserved, func(s collector.Stats) int64 { return s.Unobserved }),
	metrics.Read(metrics.Intercepted, func(s collector.Stats) int64 { return s.Intercepted }),
	metrics.Read(metrics.Tunnels, func(s collector.Stats) int64 { return s.Tunnels }),
	metrics.Read(metrics.TappedTunnels, func(s collector.Stats) int64 { return s.TappedTunnels }),
	metrics.Read(metrics.OpenTunnels, func(s collector.Stats) int64 { return s.OpenTunnels }),
	metrics.Read(metrics.TransparentRefused, func(s collector.Stats) int64 { return s.Direct }, "direct"),
	metrics.Read(metrics.TransparentRefused, func(s collector.Stats) int64 { return s.Looped }, "loop"),
}

var csmRows = []metrics.Row[csm.Stats]{
	metrics.Read(metrics.CSMDatagrams, func(s csm.Stats) int64 { return s.Datagrams }),
	metrics.Read(metrics.CSMAttempts, func(s csm.Stats) int64 { return s.Attempts }),
	metrics.Read(metrics.CSMAnnounced, func(s csm.Stats) int64 { return s.AttemptsAnnounced }),
	metrics.Read(metrics.CSMDuplicates, func(s csm.Stats) int64 { return s.DuplicatesByID + s.DuplicatesByTime }),
	metrics.Read(metrics.CSMRejected, func(s csm.Stats) int64 { return s.Malformed + s.Oversized + s.Unknown }),
}

var resignRows = []metrics.Row[collector.Stats]{
	metrics.Read(metrics.ResignRefused, func(s collector.Stats) int64 { return s.NotAllowed }, "address"),
	metrics.Read(metrics.ResignRefused, func(s collector.Stats) int64 { return s.Unsecured }, "tls"),
}

var keysRows = []metrics.Row[resign.Status]{
	metrics.Read(metrics.ResignReloadOK, func(s resign.Status) float64 { return number(s.OK) }),
	metrics.Read(metrics.ResignReloadTime, func(s resign.Status) int64 { return s.Changed.Unix() }),
}

// pathRows are absent before the first path check.
var pathRows = []metrics.Row[pathcheck.Status]{
	metrics.Read(metrics.PathSuccess, func(s pathcheck.Status) float64 { return number(s.Failed == "") }).When(checked),
	metrics.Each(metrics.PathFailed, func(s pathcheck.Status, send metrics.Send) {
		for _, stage := range pathcheck.Stages() {
			send(number(s.Failed == stage), string(stage))
		}
	}).When(checked),
	metrics.Read(metrics.PathTime, func(s pathcheck.Status) int64 { return s.LastSuccess.Unix() }).When(succeeded),
	metrics.Read(metrics.PathDuration, func(s pathcheck.Status) float64 { return s.Duration.Seconds() }).When(checked),
}

func checked(s pathcheck.Status) bool   { return s.Done }
func succeeded(s pathcheck.Status) bool { return !s.LastSuccess.IsZero() }

// number returns 1 for true and 0 for false.
func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
