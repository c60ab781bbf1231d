package picture

import (
	"math"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// say writes a value in its unit.
func say(v float64, unit string, decimals *int) string {
	if math.IsNaN(v) {
		return "–"
	}
	switch unit {
	case "percentunit":
		return number(100*v, decimals) + " %"
	case "suffix: /min":
		return number(v, decimals) + " /min"
	case "s":
		if math.Abs(v) < 1 {
			return number(1000*v, decimals) + " ms"
		}
		return number(v, decimals) + " s"
	case "bytes":
		return humanize.IBytes(uint64(v))
	case "Bps":
		return humanize.Bytes(uint64(v)) + "/s"
	case "dateTimeFromNow":
		return humanize.Time(time.UnixMilli(int64(v)))
	case "dateTimeAsIso":
		return time.UnixMilli(int64(v)).UTC().Format(time.DateTime)
	}
	return number(v, decimals)
}

func number(v float64, decimals *int) string {
	switch a := math.Abs(v); {
	case decimals != nil:
		return strconv.FormatFloat(v, 'f', *decimals, 64)
	case a >= 1e4:
		return humanize.SIWithDigits(v, 1, "")
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
