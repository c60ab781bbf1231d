package exporter

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// The labels of values that an attempt does not have.
const (
	noCredential = "none"
	unknown      = "unknown" // a service or an action
)

// newCredentialCollector returns the collector of credentials.
func newCredentialCollector(d *diagnosis.Diagnoser) prometheus.Collector {
	return metrics.NewCollector(func() []diagnosis.Credential { return d.Credentials(time.Now()) },
		metrics.Each(metrics.CredentialErrors, func(all []diagnosis.Credential, send metrics.Send) {
			for _, c := range all {
				for category, n := range c.Errors {
					send(float64(n), cmp.Or(c.Name, noCredential), string(category))
				}
			}
		}),
		metrics.Each(metrics.CredentialRefused, func(all []diagnosis.Credential, send metrics.Send) {
			for _, c := range all {
				if c.Name == "" || c.Name == diagnosis.OtherCredential {
					continue
				}
				send(number(c.Refused), c.Name, "key")
				send(number(c.Denied > 0), c.Name, "permission")
			}
		}),
	)
}

// newCallCollector returns the collector of calls and retries.
func newCallCollector(d *diagnosis.Diagnoser) prometheus.Collector {
	return metrics.NewCollector(func() []diagnosis.Calls { return d.Calls(time.Now()) },
		metrics.Each(metrics.Calls, func(all []diagnosis.Calls, send metrics.Send) {
			for _, c := range all {
				for outcome, n := range c.Outcomes {
					send(float64(n), cmp.Or(c.Service, unknown), cmp.Or(c.Action, unknown), string(outcome))
				}
			}
		}),
		metrics.Each(metrics.Retries, func(all []diagnosis.Calls, send metrics.Send) {
			for _, c := range all {
				for result, n := range c.Retries {
					send(float64(n), cmp.Or(c.Service, unknown), cmp.Or(c.Action, unknown), string(result))
				}
			}
		}),
		metrics.EachHistogram(metrics.CallAttempts, func(all []diagnosis.Calls, send func(metrics.Histogram, ...string)) {
			for _, c := range all {
				h := metrics.Histogram{Sum: float64(c.AttemptsSum), Buckets: make(map[float64]uint64, len(c.Attempts))}
				for i, n := range c.Attempts {
					h.Count += n
					h.Buckets[float64(diagnosis.AttemptBuckets[i])] = h.Count
				}
				send(h, cmp.Or(c.Service, unknown), cmp.Or(c.Action, unknown))
			}
		}),
	)
}

// number returns 1 for true and 0 for false.
func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
