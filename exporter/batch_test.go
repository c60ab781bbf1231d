package exporter_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/exporter"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// TestBatches checks when queued observations are served.
func TestBatches(t *testing.T) {
	const batch = 512
	synctest.Test(t, func(t *testing.T) {
		j := journal.New(4 * batch)
		p := exporter.New(exporter.Options{Metrics: metrics.New(), Journal: j})
		served := 0
		// observe makes n observations. Of these and of those before, the number of
		// served ones must then be the given number. No time passes.
		observe := func(n, of int) {
			t.Helper()
			served += of
			for range n {
				p.Observe(attempt.Get("error_throttled"))
			}
			synctest.Wait() // until the goroutine behind the queue waits
			assert.Equal(t, served, j.Stats().Entries, "observations were served")
		}
		observe(1, 1)       // the first one at once
		observe(batch-1, 0) // these wait for more
		observe(1, batch)
		observe(batch-1, 0)
		observe(1, batch)
		observe(3, 0)
		time.Sleep(time.Second) //nolint:forbidigo // of the bubble
		observe(0, 3)
		observe(1, 1) // the first one after a pause at once
		observe(5, 0)
		assert.NoError(t, p.Shutdown(t.Context()))
		observe(0, 5)
	})
}

// TestSettle checks that Settle waits for what is queued, and for nothing else.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.New(0)
		p := exporter.New(exporter.Options{Metrics: metrics.New(), Journal: j, QueueSize: 8})
		settle := func(want bool, entries int) {
			t.Helper()
			if waited, got := p.Settle(t.Context()), j.Stats().Entries; waited != want || got != entries {
				t.Errorf("waited: %v, want %v; %d entries, want %d", waited, want, got, entries)
			}
		}
		settle(false, 0)
		p.Observe(attempt.Get("error_throttled"))
		synctest.Wait() // it is served, and the worker waits for more
		settle(false, 1)
		fail := func() {
			for range 3 {
				p.Observe(attempt.Get("error_throttled"))
			}
		}
		fail()
		begin := time.Now()
		settle(true, 4)
		if took := time.Since(begin); took >= 5*time.Millisecond { // of the bubble
			t.Errorf("the worker's pause was not ended: %v", took)
		}
		synctest.Wait()
		fail()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.True(t, p.Settle(ctx), "did not wait")
		synctest.Wait() // the worker goes on nevertheless
		settle(false, 7)
		assert.NoError(t, p.Shutdown(t.Context()))
		settle(false, 7)
	})
}
