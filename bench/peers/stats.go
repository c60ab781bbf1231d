//go:build linux

package main

import (
	"math"
	"slices"
	"time"
)

// sample holds the measurements of one contender in one round.
type sample struct {
	perSecond float64
	cpu       time.Duration // of the proxy, per call
	p50, p99  time.Duration
	rss       float64 // of the proxy, in bytes
	proxy     float64 // share of its core that the proxy used
	load      float64 // share of their core that load, upstream and receiver used
	others    float64 // share of a core that everything else on the machine used
}

// measured holds the samples of one load, by contender and round.
type measured map[string][]sample

// metric is a figure that is compared with nginx's. direct is the sample without a proxy
// of the same round.
type metric struct {
	name   string
	higher bool // higher is better
	of     func(s, direct sample) float64
}

var (
	throughput = metric{"throughput", true, func(s, _ sample) float64 { return s.perSecond }}
	cpuTime    = metric{"CPU per call", false, func(s, _ sample) float64 { return float64(s.cpu) }}
	addedP50   = metric{"added p50", false, func(s, direct sample) float64 { return float64(s.p50 - direct.p50) }}
	addedP99   = metric{"added p99", false, func(s, direct sample) float64 { return float64(s.p99 - direct.p99) }}
)

// ratio is the median over the rounds of a contender's figure divided by nginx's in the
// same round, with its standard error, and the smallest and the largest.
type ratio struct{ median, err, low, high float64 }

// ratios compares a contender with nginx. ok is false if either was not measured, or if
// nginx added no time, so that the ratio is undefined.
func (m measured) ratios(name string, by metric) (r ratio, ok bool) {
	var all []float64
	for i := range min(len(m[name]), len(m[nginx])) {
		var without sample
		if i < len(m[direct]) {
			without = m[direct][i]
		}
		if base := by.of(m[nginx][i], without); base > 0 {
			all = append(all, by.of(m[name][i], without)/base)
		}
	}
	if len(all) == 0 {
		return ratio{}, false
	}
	return ratio{median(all), medianError(all), slices.Min(all), slices.Max(all)}, true
}

// medianError returns the standard error of the median, whatever the distribution of the
// values: the number of values below the true median is n/2 ± √n/2, and the values with these
// ranks are two standard errors apart.
func medianError(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := float64(len(sorted))
	rank := func(r float64) float64 { // from 0, between two values if it is no integer
		r = min(max(r, 0), n-1)
		low := int(r)
		return sorted[low] + (r-math.Floor(r))*(sorted[min(low+1, len(sorted)-1)]-sorted[low])
	}
	return (rank((n-1+math.Sqrt(n))/2) - rank((n-1-math.Sqrt(n))/2)) / 2
}

// medianOf returns the median of a field over samples.
func medianOf[T float64 | time.Duration](samples []sample, field func(sample) T) T {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = float64(field(s))
	}
	return T(median(values))
}

// median returns NaN if there are no values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile returns the smallest of the sorted values that a share q do not exceed.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}
