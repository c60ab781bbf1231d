package classify

import (
	"strings"
	"testing"
	"time"
)

func TestQuerySize(t *testing.T) {
	const hour = `"StartTime":"2026-03-18T05:00:00Z","EndTime":"2026-03-18T06:00:00Z"`
	const metric = `{"InstanceID":"i-1","MetricName":"cpu"}`
	for _, tt := range []struct {
		name, target, body string
		want               Size
	}{
		{"one metric", "/?StartTime=2026-03-18T05%3A00%3A00Z&EndTime=2026-03-18T06%3A00%3A00Z&Period=60", "", Size{Records: 60}},
		{"rounded up", "/?StartTime=2026-03-18T05%3A00%3A00Z&EndTime=2026-03-18T05%3A00%3A01Z&Period=60", "", Size{Records: 1}},
		{"milliseconds", "/?start=1773813600000&end=1773817200000&period=300", "", Size{Records: 12}},
		{"no period", "/?StartTime=2026-03-18T05:00:00Z&EndTime=2026-03-18T06:00:00Z", "", Size{}},
		{"no interval", "/?Period=60", "", Size{}},
		{"reversed", "/?StartTime=2026-03-18T06:00:00Z&EndTime=2026-03-18T05:00:00Z&Period=60", "", Size{}},
		{"centuries", "/?StartTime=0001-01-02T00:00:00Z&EndTime=9999-01-01T00:00:00Z&Period=1", "", Size{Records: maxRecords}},
		{"a batch", "/", `{` + hour + `,"Period":"60","Metrics":[` + metric + `,` + metric + `]}`, Size{Metrics: 2, Records: 120}},
		{"a batch, the interval last", "/", `{"Metrics":[` + metric + `],"Period":60,` + hour + `}`, Size{Metrics: 1, Records: 60}},
		{"the interval in the query", "/?StartTime=2026-03-18T05:00:00Z&EndTime=2026-03-18T06:00:00Z&Period=60", `{"Metrics":[` + metric + `]}`, Size{Metrics: 1, Records: 60}},
		{"intervals and periods of their own", "/", `{` + hour + `,"Period":60,"Metrics":[{"Period":300},{"EndTime":"2026-03-18T05:10:00Z"},{"Dimensions":[{"Period":1}]}]}`, Size{Metrics: 3, Records: 12 + 10 + 60}},
		{"a batch without an interval", "/", `{"Metrics":[` + metric + `]}`, Size{Metrics: 1}},
		{"strings", "/", `{` + hour + `,"Period":60,"Metrics":["a","b"]}`, Size{Metrics: 2, Records: 120}},
		{"an empty batch", "/", `{` + hour + `,"Period":60,"Metrics":[]}`, Size{}},
		{"metrics that are no list", "/", `{` + hour + `,"Period":60,"Metrics":"a"}`, Size{Records: 60}},
		{"cut off", "/", `{` + hour + `,"Period":60,"Metrics":[` + metric + `,` + metric + `,{"Inst`, Size{Metrics: 3, Records: 180}},
		{"201 metrics", "/", `{` + hour + `,"Period":60,"Metrics":[` + strings.Repeat(metric+",", 200) + metric + `]}`, Size{Metrics: 201, Records: 201 * 60}},
	} {
		q := ReadQuery([]byte(tt.target), []byte(tt.body))
		if got := q.Size(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestQueryPeriod(t *testing.T) {
	const metric = `{"InstanceID":"i-1","MetricName":"cpu"}`
	of := func(period string) string { return `{"InstanceID":"i-1","MetricName":"cpu","Period":` + period + `}` }
	for _, tt := range []struct {
		name, target, body string
		want               time.Duration
	}{
		{"of the request", "/?Period=60", "", time.Minute},
		{"not given", "/?StartTime=2026-03-18T05:00:00Z", "", 0},
		{"a batch", "/", `{"Period":300,"Metrics":[` + metric + `,` + metric + `]}`, 5 * time.Minute},
		{"the period last", "/", `{"Metrics":[` + metric + `],"Period":"300"}`, 5 * time.Minute},
		{"the period in the query", "/?Period=300", `{"Metrics":[` + metric + `]}`, 5 * time.Minute},
		{"of the metrics", "/", `{"Metrics":[` + of("600") + `,` + of(`"300"`) + `]}`, 5 * time.Minute},
		{"of all metrics, which are longer than that of the request", "/", `{"Period":60,"Metrics":[` + of("300") + `,` + of("600") + `]}`, 5 * time.Minute},
		{"of some metrics, the others are shorter", "/", `{"Period":60,"Metrics":[` + of("300") + `,` + metric + `]}`, time.Minute},
		{"of some metrics, the others are longer", "/", `{"Period":600,"Metrics":[` + metric + `,` + of("300") + `]}`, 5 * time.Minute},
		{"of a dimension, which is no metric", "/", `{"Period":300,"Metrics":[{"Dimensions":[{"Period":60}]}]}`, 5 * time.Minute},
		{"of some metrics only", "/", `{"Metrics":[` + of("300") + `,` + metric + `]}`, 0},
		{"one cannot be read", "/", `{"Period":300,"Metrics":[` + of(`"5m"`) + `,` + metric + `]}`, 0},
		{"metrics that are strings", "/", `{"Period":300,"Metrics":["a","b"]}`, 5 * time.Minute},
		{"an empty batch", "/", `{"Period":300,"Metrics":[]}`, 5 * time.Minute},
		{"a batch longer than what is read", "/", `{"Period":300,"Metrics":[` + strings.Repeat(metric+",", MaxReadQuery/len(metric)) + of("60") + `]}`, 0},
	} {
		q := ReadQuery([]byte(tt.target), []byte(tt.body))
		if got := q.Period(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// BenchmarkQuerySize measures the size of a full batch, body and all.
func BenchmarkQuerySize(b *testing.B) {
	body := []byte(`{"StartTime":"2026-03-18T05:00:00Z","EndTime":"2026-03-18T05:30:00Z","Period":60,"Metrics":[` +
		strings.Repeat(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"},`, 199) + `{}]}`)
	target := []byte("/?Action=GetMetricStatisticsBatch&Version=2018-11-14")
	b.ReportAllocs()
	for b.Loop() {
		q := ReadQuery(target, body)
		if q.Size().Metrics != 200 {
			b.Fatal(q.Size())
		}
	}
}
