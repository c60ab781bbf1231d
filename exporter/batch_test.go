package exporter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// TestBatches checks when queued observations are served.
func TestBatches(t *testing.T) {
	const batch = 128
	synctest.Test(t, func(t *testing.T) {
		j := journal.New(0)
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
			if got := j.Stats().Entries; got != served {
				t.Errorf("%d observations were served, want %d", got, served)
			}
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
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		observe(0, 5)
	})
}
