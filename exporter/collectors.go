package exporter

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// noCredential is the label of attempts without a credential.
const noCredential = "none"

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

// number returns 1 for true and 0 for false.
func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
