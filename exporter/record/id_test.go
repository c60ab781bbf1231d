package record_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// TestIDsAscend checks that IDs ascend with the clock, and also while it stands or is
// set back.
func TestIDsAscend(t *testing.T) {
	ids := record.NewIDs()
	last := ""
	for _, d := range []time.Duration{0, 0, 0, -time.Hour, time.Microsecond, 31 * time.Microsecond, time.Second, time.Hour, 0, 24 * 365 * 200 * time.Hour} {
		id := ids.Next(attempt.Start.Add(d)).String()
		if id <= last || len(id) != record.IDLength {
			t.Errorf("%q after %q", id, last)
		}
		if !record.IsID(id) || url.PathEscape(id) != id || url.QueryEscape(id) != id {
			t.Errorf("%q is not safe in a URL", id)
		}
		assert.False(t, classify.MakeRequestID(id).IsZero(), "looks like a secret")
		assert.Equal(t, id, redact.Text(id), "looks like a secret")
		last = id
	}
	if id := ids.Next(time.Time{}).String(); id <= last {
		t.Errorf("%q after %q", id, last)
	}
}

// TestIDsDiffer checks that IDs are unique in one process and among several that
// make them at the same time.
func TestIDsDiffer(t *testing.T) {
	const workers, each = 8, 2000
	a, b := record.NewIDs(), record.NewIDs()
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := make(map[string]bool)
	for range workers {
		wg.Go(func() {
			for range each {
				one, other := a.Next(attempt.Start).String(), b.Next(attempt.Start).String()
				mu.Lock()
				seen[one], seen[other] = true, true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	// The two suffixes are equal once in a million times.
	if n := len(seen); n != 2*workers*each {
		t.Errorf("%d different IDs of %d", n, 2*workers*each)
	}
}

func TestIsID(t *testing.T) {
	for _, bad := range []string{"00000000-1111-4222-8333-444444444403", "A", "i", "l", "o", "u", "0 ", "é", strings.Repeat("0", record.IDLength+1)} {
		assert.False(t, record.IsID(bad), "%q is an ID", bad)
	}
	for _, good := range []string{"", "0", "z", strings.Repeat("z", record.IDLength)} {
		assert.True(t, record.IsID(good), "%q is no ID", good)
	}
}

// TestRequestIDSource checks where the ID of an attempt is from.
func TestRequestIDSource(t *testing.T) {
	id := classify.MakeRequestID("00000000-1111-4222-8333-444444444403")
	for _, tt := range []struct {
		id   classify.RequestID
		from classify.RequestIDSource
		want classify.RequestIDSource
	}{
		{classify.RequestID{}, "", ""},
		{classify.RequestID{}, classify.RequestIDTap, ""}, // it was removed as a secret
		{id, "", classify.RequestIDVendor},
		{id, classify.RequestIDProgram, classify.RequestIDProgram},
		{id, classify.RequestIDTap, classify.RequestIDTap},
	} {
		o := &classify.Observation{Verdict: classify.Verdict{RequestID: tt.id, RequestIDSource: tt.from}}
		assert.Equal(t, tt.want, new(record.Maker).New(o).RequestIDSource, "%v from %q", tt.id, tt.from)
	}
}

// TestDimensions checks that every dimension has the JSON key of a field and a value
// for every attempt.
func TestDimensions(t *testing.T) {
	for _, d := range record.Dimensions() {
		found := false
		for _, a := range attempt.All() {
			r := new(record.Maker).New(a.Observation)
			v := d.Value(r)
			assert.True(t, d.Matches(r, strings.ToUpper(v)), "%s: %s does not match its own value %q", a.Name, d.Name, v)
			if v != record.None {
				found = true
			}
			known := d.Values == nil
			for _, k := range d.Values {
				known = known || k == v
			}
			assert.True(t, known, "%s: %s is %q, which is not one of its values", a.Name, d.Name, v)
		}
		// These are set behind New.
		if !found && d.Name != "group" && d.Name != "cause" && d.Name != "call_id" {
			t.Errorf("no attempt has a %s", d.Name)
		}
		if got, ok := record.DimensionNamed(d.Name); !ok || got.Name != d.Name {
			t.Errorf("%s is not found by its name", d.Name)
		}
	}
	_, ok := record.DimensionNamed("error_code")
	assert.False(t, ok, "found a dimension that does not exist")
}

// TestFollow checks that IDs are greater than one of an earlier process, even if the
// clock was set back meanwhile.
func TestFollow(t *testing.T) {
	for range 20 { // the suffixes are random
		earlier := record.NewIDs().Next(attempt.Start.Add(time.Hour)).String()
		ids := record.NewIDs()
		ids.Follow("not an ID")
		ids.Follow(earlier)
		ids.Follow(record.NewIDs().Next(attempt.Start).String())
		next := ids.Next(attempt.Start).String()
		if later := ids.Next(attempt.Start.Add(2 * time.Hour)).String(); next <= earlier || later <= next {
			t.Errorf("%q and %q after %q", next, later, earlier)
		}
	}
}

func TestFirstID(t *testing.T) {
	first := record.FirstID(attempt.Start)
	if id := record.NewIDs().Next(attempt.Start).String(); id < first {
		t.Errorf("%q is less than %q, the first at its time", id, first)
	}
	if id := record.NewIDs().Next(attempt.Start.Add(-time.Microsecond)).String(); id >= first {
		t.Errorf("%q is not less than %q, the first after it", id, first)
	}
}
