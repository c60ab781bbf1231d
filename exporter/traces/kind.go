package traces

import (
	"net/netip"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// kind is what the span of an attempt may have in common with other spans. It has all that
// its methods use.
type kind struct {
	action, code             string // first, because they are most likely to differ
	status                   int
	host                     string
	port                     uint16
	upstream                 netip.AddrPort
	method, methodOriginal   string
	protocol, agent          string
	operation                record.Operation
	service, version, region string
	requestIDSource          classify.RequestIDSource
	outcome                  classify.Outcome
	credential               string
	source                   classify.Source
	errorType, innerCode     string
	side                     classify.Type
	category                 classify.Category
	blame                    classify.Blame
	retryable                bool
	cause                    diagnosis.Cause
	certainty                diagnosis.Certainty
}

// kindOf returns the kind of the span of an attempt.
func kindOf(a recorded) kind {
	r, d := a.record, a.details
	k := kind{
		action: r.Action, code: r.Code, status: r.Status, host: r.Host, port: d.Port, upstream: r.Upstream,
		method: r.Method, methodOriginal: d.MethodOriginal, protocol: r.Protocol, agent: r.UserAgent,
		operation: d.Operation, service: r.Service, version: r.Version, region: r.Region, requestIDSource: r.RequestIDSource,
		outcome: r.Outcome, credential: r.Credential, source: r.Source, errorType: r.Kind, innerCode: r.InnerCode,
		side: r.Type, category: r.Category, blame: r.Blame, retryable: r.Retryable,
	}
	if c := r.Cause(); c != nil {
		k.cause, k.certainty = c.Cause, c.Certainty
	}
	return k
}

// name returns the operation, or the method if the operation is not known. Span
// names must have low cardinality, so nothing is taken from the request as it is.
func (k *kind) name() string {
	switch o := k.operation; {
	case o.Service != "" && o.Action != "":
		return o.Service + "." + o.Action
	case o.Action != "":
		return o.Action
	case k.method == classify.MethodOther || k.method == "":
		return "HTTP"
	default:
		return k.method
	}
}

// provider is the value of cloud.provider. OpenTelemetry does not define one for
// Ksyun.
const provider = "kingsoft_cloud"

// describe passes the attributes that all spans of the kind have to l.
func (k *kind) describe(l *limiter) {
	l.text(semconv.HTTPRequestMethodKey, k.method)
	l.text(semconv.HTTPRequestMethodOriginalKey, k.methodOriginal)
	l.text(semconv.ServerAddressKey, k.host)
	if k.port != 0 {
		l.number(semconv.ServerPortKey, int(k.port))
	}
	if k.status != 0 {
		l.number(semconv.HTTPResponseStatusCodeKey, k.status)
	}
	l.text(semconv.ErrorTypeKey, k.errorType)
	if k.upstream.IsValid() {
		l.text(semconv.NetworkPeerAddressKey, k.upstream.Addr().String())
		l.number(semconv.NetworkPeerPortKey, int(k.upstream.Port()))
	}
	l.text(semconv.NetworkProtocolVersionKey, k.protocol)
	l.text(semconv.UserAgentOriginalKey, k.agent)
	if k.operation.Service != "" {
		l.text(semconv.ServicePeerNameKey, "ksyun."+k.operation.Service)
	}
	l.text(semconv.CloudProviderKey, provider)
	l.text(semconv.CloudRegionKey, k.region)

	l.text(attrRequestIDSource.Key, string(k.requestIDSource))
	l.text(attrService.Key, k.service)
	l.text(attrAction.Key, k.action)
	l.text(attrVersion.Key, k.version)
	l.text(attrOutcome.Key, string(k.outcome))
	l.text(attrCredential.Key, k.credential)
	l.text(attrSource.Key, string(k.source))
	if k.outcome.Failed() {
		l.text(attrCode.Key, k.code)
		l.text(attrInnerCode.Key, k.innerCode)
		l.text(attrType.Key, string(k.side))
		l.text(attrCategory.Key, string(k.category))
		l.text(attrBlame.Key, string(k.blame))
		l.truth(attrRetryable.Key, k.retryable)
	}
	l.text(attrCause.Key, string(k.cause))
	l.text(attrCertainty.Key, string(k.certainty))
}

// kinds are the kinds of the last spans, encoded: most spans are of one of them.
type kinds struct {
	all  [4]encodedKind
	next int // to be displaced
}

// encodedKind are the name and the attributes of the spans of a kind.
type encodedKind struct {
	kind          kind
	before, after int // number of attributes of the span before those of the kind, and with them
	name          string
	attributes    []byte
}

// of returns the name and the attributes of the spans of a kind that have attributes to l
// already, which it adds to.
func (all *kinds) of(k *kind, l *limiter) *encodedKind {
	for i := range all.all {
		if e := &all.all[i]; e.kind == *k && e.before == l.n {
			l.n = e.after
			return e
		}
	}
	e := &all.all[all.next]
	all.next = (all.next + 1) % len(all.all)
	m := message{e.attributes[:0], spanAttributes}
	*e = encodedKind{kind: *k, before: l.n, name: k.name()}
	l.to = &m
	k.describe(l)
	e.after, e.attributes = l.n, m.b
	return e
}
