package picture

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
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

// series is a series of a query's result: its labels, and its values by step since
// Source.From, of which one that is missing is NaN. A query for the newest values has
// one step.
type series struct {
	labels model.Metric
	values []float64
}

// reduce is one of Grafana's calculations.
func (s series) reduce(calc string) float64 {
	values := slices.DeleteFunc(slices.Clone(s.values), math.IsNaN)
	if len(values) == 0 {
		return math.NaN()
	}
	switch calc {
	case "max":
		return slices.Max(values)
	case "min":
		return slices.Min(values)
	case "sum":
		sum := 0.0
		for _, v := range values {
			sum += v
		}
		return sum
	}
	return values[len(values)-1] // lastNotNull
}

// legend fills the format of a query's legend with the labels.
func (s series) legend(format string) string {
	for name, value := range s.labels {
		format = strings.ReplaceAll(format, "{{"+string(name)+"}}", string(value))
	}
	return format
}

// step returns the time between two points of a target.
func (s Source) step(t dashboards.Target) time.Duration {
	step := s.To.Sub(s.From) / points
	if least, err := model.ParseDuration(t.Interval); err == nil {
		step = max(step, time.Duration(least))
	}
	return step
}

// ask sends a query.
func (s Source) ask(ctx context.Context, t dashboards.Target) ([]series, error) {
	client, err := api.NewClient(api.Config{Address: s.URL})
	if err != nil {
		return nil, err
	}
	prom, step := promv1.NewAPI(client), s.step(t)
	expr := t.At(dashboards.Zoom{Interval: step, Rate: max(step, 5*time.Minute), Range: s.To.Sub(s.From)})
	var all []series
	if t.Instant {
		response, _, _, err := prom.Query(ctx, expr, s.To)
		vector, ok := response.(model.Vector)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: %v, %w", expr, response, err)
		}
		for _, x := range vector {
			all = append(all, series{x.Metric, []float64{float64(x.Value)}})
		}
		return all, nil
	}
	response, _, _, err := prom.QueryRange(ctx, expr, promv1.Range{Start: s.From, End: s.To, Step: step})
	matrix, ok := response.(model.Matrix)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: %v, %w", expr, response, err)
	}
	for _, x := range matrix {
		if len(x.Values) == 0 { // a native histogram is no number
			continue
		}
		values := slices.Repeat([]float64{math.NaN()}, int(s.To.Sub(s.From)/step)+1)
		for _, v := range x.Values {
			values[v.Timestamp.Time().Sub(s.From)/step] = float64(v.Value)
		}
		all = append(all, series{x.Metric, values})
	}
	return all, nil
}
