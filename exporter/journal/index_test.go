package journal

import (
	"strconv"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

func TestIndexForgetsWithTheRing(t *testing.T) {
	j := New(8)
	for i := range 1000 {
		j.Add(&record.Record{RequestID: strconv.Itoa(i)})
		if len(j.newest) > 8 {
			t.Fatalf("%d request IDs indexed for 8 records", len(j.newest))
		}
	}
}
