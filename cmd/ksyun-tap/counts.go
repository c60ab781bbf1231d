package main

import (
	"fmt"

	dto "github.com/prometheus/client_model/go"
)

// counted holds the numbers of calls in the metrics.
type counted struct {
	calls, failed     int
	codes, categories map[string]bool
	kinds             map[kind]int // failed calls
}

// kind groups failed calls.
type kind struct{ action, code, status, category string }

func countCalls(t *tap) (counted, error) {
	c := counted{codes: map[string]bool{}, categories: map[string]bool{}, kinds: map[kind]int{}}
	families, err := t.metrics.Gatherer().Gather()
	if err != nil {
		return c, fmt.Errorf("read the tap's metrics: %w", err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			n := int(m.GetCounter().GetValue())
			switch f.GetName() {
			case "ksyun_api_requests_total":
				c.calls += n
			case "ksyun_api_errors_total":
				c.failed += n
				c.codes[label(m, "code")] = true
				c.categories[label(m, "category")] = true
				c.kinds[kind{label(m, "action"), label(m, "code"), label(m, "status"), label(m, "category")}] += n
			}
		}
	}
	return c, nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
