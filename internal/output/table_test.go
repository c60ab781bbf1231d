package output

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// TestTable checks how a table fits the width of a terminal.
func TestTable(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	print := func(width int, colours bool) string {
		var out strings.Builder
		table := NewTable(&out, now, "TIME", "CODE", "STATUS", "BLAME")
		table.width, table.colours = width, colours
		table.Add(classify.BlameQuota, []string{"too many\ncalls in this minute, 请求过于频繁", ""}, table.Time(now.Add(-time.Minute)), "LimitExceeded", "409", "quota")
		table.Add("", nil, table.Time(now.AddDate(0, 0, -1)), "中文", "-", "-")
		require.NoError(t, table.Flush())
		return out.String()
	}
	wide := `TIME                     CODE           STATUS  BLAME
11:59:00.000             LimitExceeded  409     quota
    too many calls in this minute, 请求过于频繁
2026-11-25 12:00:00.000  中文           -       -
`
	narrow := `TIME                     CODE
11:59:00.000             LimitExceeded
    too many calls in this minute,
    请求过于频繁
2026-11-25 12:00:00.000  中文
`
	assert.Equal(t, wide, print(0, false))
	assert.Equal(t, narrow, print(40, false))
	assert.Contains(t, print(0, true), "\x1b[33mLimitExceeded  \x1b[0m409")
}
