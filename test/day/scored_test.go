package day

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// TestScore checks that what is missing or wrong lowers the figures.
func TestScore(t *testing.T) {
	s := newScore()
	o := &classify.Observation{End: epoch}
	skewed := &attempt{by: new(program), must: []diagnosis.Cause{diagnosis.CauseClockSkew}}
	s.attempt("", o, skewed, []diagnosis.Cause{diagnosis.CauseClockSkew})
	s.attempt("", o, skewed, []diagnosis.Cause{diagnosis.CauseClockZone})
	s.attempt("", o, &attempt{by: new(program)}, []diagnosis.Cause{diagnosis.CauseClockSkew})
	s.attempt("", o, &attempt{by: new(program), may: []diagnosis.Cause{diagnosis.CauseClockRight}}, []diagnosis.Cause{diagnosis.CauseClockRight})
	s.count("metric", "calls", 10, 9)
	s.notice(diagnosis.Notice{Time: epoch, Credential: "a", Diagnosis: diagnosis.Diagnosis{Cause: diagnosis.CauseKeyRevoked}})
	s.notice(diagnosis.Notice{Time: epoch.Add(time.Hour), Credential: "a", Diagnosis: diagnosis.Diagnosis{Cause: diagnosis.CauseKeyRevoked}})
	s.events([]event{{diagnosis.CauseKeyRevoked, "a", epoch, epoch}, {diagnosis.CauseKeyRevoked, "b", epoch, epoch}})

	for name, want := range map[string]tally{
		"clock_skew": {truth: 2, given: 2, right: 1}, "clock_zone": {given: 1}, "metric": {truth: 10, given: 9, right: 9},
		"event key_revoked": {truth: 2, given: 2, right: 1},
	} {
		assert.Equal(t, want, *s.row(name), name)
	}
	assert.Nil(t, s.rows["clock_right"], "what may be given is counted")
	if low := s.low(); len(low) != 4 || !slices.Contains(low, "metric: precision 1.0000, recall 0.9000") {
		t.Errorf("below the goal: %v", low)
	}
}
