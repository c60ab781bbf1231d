package picture

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// Source is what is drawn: a Prometheus, and the time to show.
type Source struct {
	URL      string
	From, To time.Time
}

// points is how many values of a series are drawn, at most.
const points = 288

// series is what Prometheus answers: one value, or many.
type series struct {
	labels map[string]string
	values []model.SamplePair
}

// last is the newest value.
func (s series) last() float64 { return float64(s.values[len(s.values)-1].Value) }

// step is the time between two points of a target.
func (s Source) step(t dashboards.Target) time.Duration {
	step := s.To.Sub(s.From) / points
	if least, err := model.ParseDuration(t.Interval); err == nil {
		step = max(step, time.Duration(least))
	}
	return step
}

func (s Source) ask(ctx context.Context, t dashboards.Target) ([]series, error) {
	client, err := api.NewClient(api.Config{Address: s.URL})
	if err != nil {
		return nil, err
	}
	prom := promv1.NewAPI(client)
	step := s.step(t)
	expr := t.At(dashboards.Zoom{Interval: step, Rate: max(step, 5*time.Minute), Range: s.To.Sub(s.From)})
	var response model.Value
	if t.Instant {
		response, _, _, err = prom.Query(ctx, expr, s.To)
	} else {
		response, _, _, err = prom.QueryRange(ctx, expr, promv1.Range{Start: s.From, End: s.To, Step: step})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var all []series
	switch response := response.(type) {
	case model.Vector:
		for _, x := range response {
			all = append(all, series{text(x.Metric), []model.SamplePair{{Timestamp: x.Timestamp, Value: x.Value}}})
		}
	case model.Matrix:
		for _, x := range response {
			if len(x.Values) > 0 { // a native histogram is no number
				all = append(all, series{text(x.Metric), x.Values})
			}
		}
	default:
		return nil, fmt.Errorf("%s: gives a %s", expr, response.Type())
	}
	return all, nil
}

func text(m model.Metric) map[string]string {
	labels := make(map[string]string, len(m))
	for k, v := range m {
		labels[string(k)] = string(v)
	}
	return labels
}
