package exporter

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/evidence"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal/disk"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// The labels of values that an attempt does not have.
const (
	noCredential = "none"
	unknown      = "unknown" // a version
	anyValue     = "any"     // of a limit for all services or versions
)

// register registers the collectors of the queue, the diagnoser and the sinks.
func (p *Pipeline) register() {
	p.metrics.Register(metrics.NewCollector(func() chan *queued { return p.queue },
		metrics.Read(metrics.QueueLength, func(q chan *queued) int { return len(q) }),
		metrics.Read(metrics.QueueCapacity, func(q chan *queued) int { return cap(q) }),
	))
	p.metrics.Register(metrics.NewCollector(p.clocks,
		clockRow(metrics.ClockSkew, func(c diagnosis.Clock) time.Duration { return c.Skew.Offset }),
		clockRow(metrics.ClockUncertainty, func(c diagnosis.Clock) time.Duration { return c.Skew.Uncertainty }),
	))
	p.metrics.Register(metrics.NewCollector(p.programs,
		metrics.Each(metrics.ProgramInfo, func(all []diagnosis.Client, send metrics.Send) {
			for _, c := range all {
				send(1, c.Program, string(c.Signing), c.Scheme)
			}
		}),
	))
	p.metrics.Register(newCredentialCollector(p.diagnoser), newCallCollector(p.diagnoser), newQuotaCollector(p.diagnoser), newSizeCollector(p.diagnoser))
	if p.journal != nil {
		p.metrics.Register(metrics.NewCollector(p.journal.Stats,
			metrics.Read(metrics.JournalEntries, func(s journal.Stats) int { return s.Entries }),
			metrics.Read(metrics.JournalCapacity, func(s journal.Stats) int { return s.Capacity }),
			metrics.Read(metrics.JournalEvicted, func(s journal.Stats) uint64 { return s.Evicted }),
		))
	}
	if p.disk != nil {
		p.metrics.Register(metrics.NewCollector(p.disk.Stats,
			metrics.Read(metrics.JournalFileHealthy, func(s disk.Stats) float64 { return number(s.Healthy) }),
			metrics.Read(metrics.JournalFileEntries, func(s disk.Stats) int { return s.Entries }),
			metrics.Read(metrics.JournalFileBytes, func(s disk.Stats) int64 { return s.Bytes }),
			metrics.Read(metrics.JournalWritten, func(s disk.Stats) uint64 { return s.Written }),
			metrics.Read(metrics.JournalWriteLost, func(s disk.Stats) uint64 { return s.Lost }),
			metrics.Read(metrics.JournalWriteFailures, func(s disk.Stats) uint64 { return s.Failures }),
			metrics.Read(metrics.JournalCorrupt, func(s disk.Stats) uint64 { return s.Corrupt }),
		))
	}
	if p.evidence != nil {
		p.metrics.Register(metrics.NewCollector(p.evidence.Stats,
			metrics.Read(metrics.EvidenceEntries, func(s evidence.Stats) int { return s.Entries }),
			metrics.Read(metrics.EvidenceBytes, func(s evidence.Stats) int64 { return s.Bytes }),
			metrics.Read(metrics.EvidenceEvicted, func(s evidence.Stats) uint64 { return s.Evicted }),
		))
	}
	if p.groups != nil {
		p.metrics.Register(metrics.NewCollector(p.groups.Stats,
			metrics.Read(metrics.FailureGroups, func(s groups.Stats) int { return s.Groups }),
			metrics.Read(metrics.FailureGroupsEvicted, func(s groups.Stats) uint64 { return s.Evicted }),
		))
	}
	if p.feed != nil {
		p.metrics.Register(metrics.NewCollector(p.feed.Stats,
			metrics.Read(metrics.EventSubscribers, func(s feed.Stats) int { return s.Subscribers }),
			metrics.Read(metrics.EventSubscribersDropped, func(s feed.Stats) uint64 { return s.Dropped }),
		))
	}
}

// clocks returns the client clocks to expose as metrics.
func (p *Pipeline) clocks() []diagnosis.Clock {
	all := p.diagnoser.Clocks(time.Now())
	return all[:min(len(all), metrics.MaxClients)]
}

// programs returns the programs to expose as metrics.
func (p *Pipeline) programs() []diagnosis.Client {
	all := p.diagnoser.Programs(time.Now())
	return all[:min(len(all), metrics.MaxPrograms)]
}

// clockRow returns a row with one series per clock. The client "self" is
// ksyun-tap, or the program that embeds it.
func clockRow(f metrics.Family, value func(diagnosis.Clock) time.Duration) metrics.Row[[]diagnosis.Clock] {
	return metrics.Each(f, func(all []diagnosis.Clock, send metrics.Send) {
		for _, c := range all {
			client := "self"
			if c.Client.IsValid() {
				client = c.Client.String()
			}
			send(value(c).Seconds(), client)
		}
	})
}

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
				send(number(c.Expired), c.Name, "token")
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

// newSizeCollector returns the collector of the sizes of requests.
func newSizeCollector(d *diagnosis.Diagnoser) prometheus.Collector {
	return metrics.NewCollector(func() []diagnosis.RequestSize { return d.RequestSizes(time.Now()) },
		metrics.Each(metrics.RequestSizeUsed, func(all []diagnosis.RequestSize, send metrics.Send) {
			for _, s := range all {
				send(s.Used, cmp.Or(s.Credential, noCredential), s.Action, cmp.Or(s.Version, unknown), string(s.Limit))
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
