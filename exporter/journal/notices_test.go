package journal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
)

func TestNoticesAreBounded(t *testing.T) {
	j := journal.New(1)
	assert.Empty(t, j.Notices(), "notices of an empty journal")
	const n = 1000
	for i := range n {
		j.AddNotice(&diagnosis.Notice{Time: time.Unix(int64(i), 0)})
	}
	all := j.Notices()
	if len(all) != 256 || all[0].Time.Unix() != n-1 || all[255].Time.Unix() != n-256 {
		t.Errorf("%d notices, from %v to %v", len(all), all[0].Time, all[len(all)-1].Time)
	}
}
