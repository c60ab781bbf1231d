package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

// BenchmarkPages measures what the pages cost with a full journal of the last hour.
func BenchmarkPages(b *testing.B) {
	for _, size := range []int{1000, 10_000} {
		opts := web.Options{Journal: journal.New(size), Groups: groups.New(0), Activity: new(activity.Activity)}
		start := time.Now().Add(-time.Hour)
		ids := record.NewIDs()
		var failures []*record.Record
		for _, a := range attempt.All() {
			if r := new(record.Maker).New(a.Observation); r.Failed() {
				r.Diagnose(diagnosis.New().Diagnose(a.Observation, diagnosis.Attempt{}))
				failures = append(failures, r)
			}
		}
		for i := range size {
			r := *failures[i%len(failures)]
			r.Time = start.Add(time.Duration(i) * time.Hour / time.Duration(size))
			r.ID = ids.Next(r.Time).String()
			opts.Groups.Add(&r)
			opts.Journal.Add(&r)
		}
		h := web.NewHandler(opts)
		for _, path := range []string{"/", "/?action=ListMetrics", "/?view=list", "/?text=5b1f-4c6e", "/programs", "/api/v1/failures/5b1f-4c6e", "/api/v1/failures?text=5b1f-4c6e", "/api/v1/failures", "/api/v1/groups"} {
			b.Run(fmt.Sprintf("%d%s", size, path), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
					r.Host = "localhost"
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					if w.Code != http.StatusOK && w.Code != http.StatusNotFound {
						b.Fatal(w.Code)
					}
				}
			})
		}
	}
}
