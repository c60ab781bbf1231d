package push

import (
	"encoding/hex"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const cumulative = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE

// started is the start of series whose creation time is not known.
var started = time.Now()

// convert returns the metrics of a registry, gathered now, in the form of OTLP.
func convert(families []*dto.MetricFamily, now time.Time) []*metricspb.Metric {
	all := make([]*metricspb.Metric, 0, len(families))
	for _, f := range families {
		m := &metricspb.Metric{Name: f.GetName(), Description: f.GetHelp()}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{
				AggregationTemporality: cumulative, IsMonotonic: true, DataPoints: points(f, now, counter),
			}}
		case dto.MetricType_SUMMARY:
			m.Data = &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: points(f, now, summary)}}
		case dto.MetricType_HISTOGRAM:
			if isNative(f.GetMetric()[0].GetHistogram()) {
				m.Data = &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{
					AggregationTemporality: cumulative, DataPoints: points(f, now, exponential),
				}}
				break
			}
			m.Data = &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{
				AggregationTemporality: cumulative, DataPoints: points(f, now, histogram),
			}}
		default: // a gauge, or of no type
			m.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: points(f, now, gauge)}}
		}
		all = append(all, m)
	}
	return all
}

// points returns the points of a family.
func points[T any](f *dto.MetricFamily, now time.Time, one func(*dto.Metric, point) T) []T {
	all := make([]T, 0, len(f.GetMetric()))
	for _, m := range f.GetMetric() {
		p := point{at: nanoseconds(now)}
		if ms := m.GetTimestampMs(); ms != 0 {
			p.at = nanoseconds(time.UnixMilli(ms))
		}
		for _, l := range m.GetLabel() {
			p.labels = append(p.labels, pair(l.GetName(), l.GetValue()))
		}
		all = append(all, one(m, p))
	}
	return all
}

// point is what the points of all types have in common.
type point struct {
	labels []*commonpb.KeyValue
	at     uint64 // in nanoseconds since 1970
}

func counter(m *dto.Metric, p point) *metricspb.NumberDataPoint {
	c := m.GetCounter()
	x := number(p, c.GetValue())
	x.StartTimeUnixNano, x.Exemplars = start(c.GetCreatedTimestamp()), exemplars(c.GetExemplar())
	return x
}

func gauge(m *dto.Metric, p point) *metricspb.NumberDataPoint {
	if u := m.GetUntyped(); u != nil {
		return number(p, u.GetValue())
	}
	return number(p, m.GetGauge().GetValue())
}

func number(p point, value float64) *metricspb.NumberDataPoint {
	return &metricspb.NumberDataPoint{
		Attributes: p.labels, TimeUnixNano: p.at, Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: value},
	}
}

func summary(m *dto.Metric, p point) *metricspb.SummaryDataPoint {
	s := m.GetSummary()
	x := &metricspb.SummaryDataPoint{
		Attributes: p.labels, StartTimeUnixNano: start(s.GetCreatedTimestamp()), TimeUnixNano: p.at,
		Count: s.GetSampleCount(), Sum: s.GetSampleSum(),
	}
	for _, q := range s.GetQuantile() {
		x.QuantileValues = append(x.QuantileValues, &metricspb.SummaryDataPoint_ValueAtQuantile{Quantile: q.GetQuantile(), Value: q.GetValue()})
	}
	return x
}

// histogram returns a point with the buckets of a classic histogram, whose counts are
// those of each bucket and not of all up to it. The last bucket is the one up to +Inf,
// which a registry may leave out.
func histogram(m *dto.Metric, p point) *metricspb.HistogramDataPoint {
	h := m.GetHistogram()
	x := &metricspb.HistogramDataPoint{
		Attributes: p.labels, StartTimeUnixNano: start(h.GetCreatedTimestamp()), TimeUnixNano: p.at,
		Count: h.GetSampleCount(), Sum: h.SampleSum,
	}
	before := uint64(0)
	for _, b := range h.GetBucket() {
		x.Exemplars = append(x.Exemplars, exemplars(b.GetExemplar())...)
		if math.IsInf(b.GetUpperBound(), +1) {
			break
		}
		x.ExplicitBounds = append(x.ExplicitBounds, b.GetUpperBound())
		x.BucketCounts = append(x.BucketCounts, b.GetCumulativeCount()-before)
		before = b.GetCumulativeCount()
	}
	x.BucketCounts = append(x.BucketCounts, h.GetSampleCount()-before)
	return x
}

// isNative reports whether h is a native histogram. The registry sets at least one of
// these, even if there are no observations.
func isNative(h *dto.Histogram) bool {
	return h.GetZeroThreshold() > 0 || h.GetZeroCount() > 0 || len(h.GetPositiveSpan()) > 0 || len(h.GetNegativeSpan()) > 0
}

// exponential returns a point with the buckets of a native histogram.
func exponential(m *dto.Metric, p point) *metricspb.ExponentialHistogramDataPoint {
	h := m.GetHistogram()
	return &metricspb.ExponentialHistogramDataPoint{
		Attributes: p.labels, StartTimeUnixNano: start(h.GetCreatedTimestamp()), TimeUnixNano: p.at,
		Count: h.GetSampleCount(), Sum: h.SampleSum, Scale: h.GetSchema(),
		ZeroCount: h.GetZeroCount(), ZeroThreshold: h.GetZeroThreshold(),
		Positive:  buckets(h.GetPositiveSpan(), h.GetPositiveDelta()),
		Negative:  buckets(h.GetNegativeSpan(), h.GetNegativeDelta()),
		Exemplars: exemplars(h.GetExemplars()...),
	}
}

// buckets returns the buckets of a native histogram. There, each count is the difference
// to the one before, spans are separated by empty buckets, and the index of a bucket is
// that of its upper bound, while OTLP has that of the lower bound.
func buckets(spans []*dto.BucketSpan, deltas []int64) *metricspb.ExponentialHistogramDataPoint_Buckets {
	x := &metricspb.ExponentialHistogramDataPoint_Buckets{}
	count := int64(0)
	for i, s := range spans {
		if i == 0 {
			x.Offset = s.GetOffset() - 1
		} else {
			x.BucketCounts = append(x.BucketCounts, make([]uint64, s.GetOffset())...)
		}
		for _, delta := range deltas[:s.GetLength()] {
			count += delta
			x.BucketCounts = append(x.BucketCounts, uint64(count)) //nolint:gosec // not negative
		}
		deltas = deltas[s.GetLength():]
	}
	return x
}

// exemplars returns the exemplars that are not nil.
func exemplars(from ...*dto.Exemplar) (all []*metricspb.Exemplar) {
	for _, e := range from {
		if e == nil {
			continue
		}
		x := &metricspb.Exemplar{
			TimeUnixNano: nanoseconds(e.GetTimestamp().AsTime()), Value: &metricspb.Exemplar_AsDouble{AsDouble: e.GetValue()},
		}
		for _, l := range e.GetLabel() {
			id, err := hex.DecodeString(l.GetValue())
			switch {
			case l.GetName() == "trace_id" && err == nil && len(id) == 16:
				x.TraceId = id
			case l.GetName() == "span_id" && err == nil && len(id) == 8:
				x.SpanId = id
			default:
				x.FilteredAttributes = append(x.FilteredAttributes, pair(l.GetName(), l.GetValue()))
			}
		}
		all = append(all, x)
	}
	return all
}

// start returns the start of a series.
func start(created *timestamppb.Timestamp) uint64 {
	if created.IsValid() {
		return nanoseconds(created.AsTime())
	}
	return nanoseconds(started)
}

// nanoseconds returns t as OTLP has it: 0 for times before 1970.
func nanoseconds(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }
