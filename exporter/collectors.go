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
	unknown      = "unknown" // a version
	anyValue     = "any"     // of a limit for all services or versions
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
					send(float64(n), c.Service, c.Action, string(outcome))
				}
			}
		}),
		metrics.Each(metrics.Retries, func(all []diagnosis.Calls, send metrics.Send) {
			for _, c := range all {
				for result, n := range c.Retries {
					send(float64(n), c.Service, c.Action, string(result))
				}
			}
		}),
		metrics.Each(metrics.RedundantCalls, func(all []diagnosis.Calls, send metrics.Send) {
			for _, c := range all {
				for reason, n := range c.Redundant {
					send(float64(n), c.Service, c.Action, string(reason))
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
				send(h, c.Service, c.Action)
			}
		}),
	)
}

// newQuotaCollector returns the collector of limits and their use.
func newQuotaCollector(d *diagnosis.Diagnoser) prometheus.Collector {
	each := func(f metrics.Family, value func(diagnosis.Quota) (float64, bool)) metrics.Row[[]diagnosis.Quota] {
		return metrics.Each(f, func(all []diagnosis.Quota, send metrics.Send) {
			for _, q := range all {
				if v, ok := value(q); ok {
					send(v, cmp.Or(q.Credential, noCredential), q.Action, cmp.Or(q.Version, unknown))
				}
			}
		})
	}
	return metrics.NewCollector(func() []diagnosis.Quota { return d.Quotas(time.Now()) },
		metrics.Each(metrics.QuotaLimit, func(_ []diagnosis.Quota, send metrics.Send) {
			for _, l := range d.Limits() {
				if l.PerMinute > 0 {
					send(float64(l.PerMinute), cmp.Or(l.Service, anyValue), l.Action, cmp.Or(l.Version, anyValue))
				}
			}
		}),
		each(metrics.QuotaUsed, func(q diagnosis.Quota) (float64, bool) { return q.Used, true }),
		each(metrics.QuotaExhaustion, func(q diagnosis.Quota) (float64, bool) { return q.Exhausted.Seconds(), q.Approaching }),
	)
}

// number returns 1 for true and 0 for false.
func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
