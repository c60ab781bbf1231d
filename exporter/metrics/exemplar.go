package metrics

import (
	"encoding/hex"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// exemplarOf returns the labels which lead from a metric to the attempt o: its
// trace, where that is exported, and its request ID. nil if there is neither.
//
// The library panics over more than prometheus.ExemplarMaxRunes in all. A
// request ID of full length leaves no room for the span's ID, which the trace
// tells too.
func exemplarOf(o *classify.Observation) prometheus.Labels {
	id := o.Verdict.RequestID
	if !o.Span.Exported && id.IsZero() {
		return nil
	}
	labels := make(prometheus.Labels, 3)
	runes := 0
	add := func(name, value string) {
		if n := len(name) + len(value); runes+n <= prometheus.ExemplarMaxRunes {
			labels[name] = value
			runes += n
		}
	}
	if o.Span.Exported {
		add("trace_id", hex.EncodeToString(o.Span.TraceID[:]))
	}
	if !id.IsZero() {
		add("request_id", id.String())
	}
	if o.Span.Exported {
		add("span_id", hex.EncodeToString(o.Span.SpanID[:]))
	}
	return labels
}

// observe adds v to h, with the exemplar if there is one.
func observe(h prometheus.Observer, v float64, exemplar prometheus.Labels) {
	if e, ok := h.(prometheus.ExemplarObserver); ok && exemplar != nil {
		e.ObserveWithExemplar(v, exemplar)
		return
	}
	h.Observe(v)
}

// increment adds one to c, with the exemplar if there is one.
func increment(c prometheus.Counter, exemplar prometheus.Labels) {
	if e, ok := c.(prometheus.ExemplarAdder); ok && exemplar != nil {
		e.AddWithExemplar(1, exemplar)
		return
	}
	c.Inc()
}
