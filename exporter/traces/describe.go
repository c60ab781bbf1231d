package traces

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// attributes takes the attributes of a span or of an event, one after the other, so that
// they are encoded without a list of them.
type attributes interface {
	text(attribute.Key, string)
	number(attribute.Key, int)
	truth(attribute.Key, bool)
}

// pairs are attributes in the form of the SDK.
type pairs []attribute.KeyValue

func (p *pairs) text(k attribute.Key, v string) { *p = append(*p, k.String(v)) }
func (p *pairs) number(k attribute.Key, v int)  { *p = append(*p, k.Int(v)) }
func (p *pairs) truth(k attribute.Key, v bool)  { *p = append(*p, k.Bool(v)) }

// limiter passes on the attributes of a span within the limits. Empty texts are omitted.
type limiter struct {
	to     attributes
	limits otlp.Limits
	n      int // number of attributes
}

// admit counts an attribute and reports whether there is room for it.
func (l *limiter) admit() bool {
	l.n++
	return l.n <= l.limits.Count
}

func (l *limiter) text(k attribute.Key, v string) {
	if v == "" || !l.admit() {
		return
	}
	l.to.text(k, l.limits.Truncate(v))
}

func (l *limiter) number(k attribute.Key, v int) {
	if l.admit() {
		l.to.number(k, v)
	}
}

func (l *limiter) truth(k attribute.Key, v bool) {
	if l.admit() {
		l.to.truth(k, v)
	}
}

// dropped returns the number of attributes for which there was no room.
func (l *limiter) dropped() int { return max(0, l.n-l.limits.Count) }

// describe passes the attributes of the span, which is of the kind k, to to, within the
// limits. It returns the number of attributes that were dropped.
func (s *span) describe(k *kind, to attributes) (dropped int) {
	l := limiter{to: to, limits: s.origin.limits}
	s.identify(&l)
	k.describe(&l)
	return l.dropped()
}

// identify passes the attributes to l that distinguish the span from others of its kind.
func (s *span) identify(l *limiter) {
	r := s.record
	l.text(attrRequestID.Key, r.RequestID)
	l.text(attrFailureID.Key, r.ID)
	l.text(attrCallID.Key, r.CallID)
	if r.Attempt > 1 {
		l.number(semconv.HTTPRequestResendCountKey, r.Attempt-1)
	}
	l.text(semconv.URLFullKey, r.URL)
	if r.Outcome == classify.OutcomePartial {
		l.number(attrFailedItems.Key, r.FailedItems)
	}
}

// describeDiagnosis passes the attributes of the event for a diagnosis to to. As in the
// SDK, the limits of span attributes do not apply to event attributes.
func describeDiagnosis(to attributes, d *diagnosis.Diagnosis) {
	to.text(attrCause.Key, string(d.Cause))
	to.text(attrCertainty.Key, string(d.Certainty))
	to.text(attrEvidence.Key, d.Evidence.English)
	to.text(attrAdvice.Key, d.Advice.Do.English)
}
