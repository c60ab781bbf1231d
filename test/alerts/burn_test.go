package alerts

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

const burnTableFile = "../../internal/monitoring/rules/burnrates.md"

// burnRow is a program of which few calls fail, so that a failure more or less
// matters.
type burnRow struct {
	what, rate string
	program    program
	most       float64 // the number of failures by which a window may be wrong
}

func burnRows(end float64) []burnRow {
	var all []burnRow
	for _, r := range []struct {
		rate float64
		of   int
	}{{0.1, 20}, {0.4, 50}, {1, 100}, {3, 200}, {10, 500}, {60, 1000}} {
		all = append(all, burnRow{
			what: fmt.Sprintf("one call in %d fails", r.of), rate: fmt.Sprintf("%v/min", r.rate),
			program: always(steady(r.rate, 0.37), oneIn(r.of, broken)...),
		})
	}
	all = append(all,
		burnRow{
			what: "one call in 60 fails", rate: "60 calls every 5 min",
			program: always(bursts(60, 10, 300, 291), oneIn(60, broken)...),
		},
		burnRow{
			what: "one call in 30 fails", rate: "30 calls every hour",
			program: always(bursts(30, 40, hour, 1000), oneIn(30, broken)...),
		})
	restarted := always(steady(1, 0.37), oneIn(50, broken)...)
	restarted.lives = hourly(timeline{end: end})
	all = append(all, burnRow{what: "one call in 50 fails; the tap is restarted every hour", rate: "1/min", program: restarted, most: 2})
	missed := always(steady(1, 0.37), oneIn(50, broken)...)
	for second := 1800.0; second < end; second += 1740 {
		missed.down = append(missed.down, span{second, second + 60})
	}
	all = append(all, burnRow{what: "one call in 50 fails; one scrape in 29 fails", rate: "1/min", program: missed, most: 2})
	return all
}

// TestBurnRatesAreExact replays programs with few failures, and compares what the
// recording rules count with the truth, each hour and for every window: eight
// hours, and three and a half days with -full.
func TestBurnRatesAreExact(t *testing.T) {
	t.Parallel()
	end, windows := 8*hour, []string{"5m", "30m", "1h", "2h", "6h"}
	if *full {
		end, windows = 84*hour, append(windows, "1d", "3d")
	}
	w := newWorld(t, false, "ksyun-tap.api", "ksyun-tap.tap")
	rows := burnRows(end)
	offset := func(i int) float64 { return float64((i*7 + 3) % 60) }
	for i, row := range rows {
		w.add(strconv.Itoa(i), offset(i), row.program)
	}
	type deviation struct{ most, truth, recorded float64 }
	worst := make([]map[string]deviation, len(rows))
	for i := range worst {
		worst[i] = map[string]deviation{}
	}
	for h := 1; h <= int(end/hour); h++ {
		w.run((h-1)*60, h*60)
		now := float64(h) * hour
		for i, row := range rows {
			for _, window := range windows {
				d, err := model.ParseDuration(window)
				require.NoError(t, err)
				seconds := float64(d) / 1e9
				if now < seconds+hour {
					continue
				}
				// What the scrapes at both ends of the window have seen.
				seen := span{now - seconds - 60 + offset(i), now - 60 + offset(i)}
				truth := 0.0
				row.program.calls(seen, func(_ float64, k *kind) {
					if k == broken {
						truth++
					}
				})
				recorded := seconds * w.query(fmt.Sprintf(`service:ksyun_api_errors_provider:rate%s{job="%d"}`, window, i), now)
				off := math.Abs(recorded - truth)
				if off > row.most+1e-6 {
					t.Errorf("%s, %s: %.3f failures in %s at %.0f h, want %.0f", row.what, row.rate, recorded, window, now/hour, truth)
				}
				if last, ok := worst[i][window]; !ok || off >= last.most {
					worst[i][window] = deviation{off, truth, recorded}
				}
			}
		}
	}
	var table bytes.Buffer
	table.WriteString("| what happens | calls |")
	for _, window := range windows {
		fmt.Fprintf(&table, " %s |", window)
	}
	fmt.Fprintf(&table, "\n|---|---|%s\n", strings.Repeat("---|", len(windows)))
	for i, row := range rows {
		fmt.Fprintf(&table, "| %s | %s |", row.what, row.rate)
		for _, window := range windows {
			d := worst[i][window]
			fmt.Fprintf(&table, " %.4g of %.0f |", d.recorded, d.truth)
		}
		table.WriteString("\n")
	}
	t.Logf("\n%s", table.String())
	if !*full {
		return
	}
	compareTable(t, burnTableFile, table.Bytes())
}
