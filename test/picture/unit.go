package picture

import (
	"math"
	"strconv"
	"time"
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
		return number(v/(1<<20), decimals) + " MiB"
	case "Bps":
		return number(v/1e3, decimals) + " kB/s"
	case "dateTimeFromNow":
		d := time.Until(time.UnixMilli(int64(v)))
		if d < 0 {
			return short(-d) + " ago"
		}
		return "in " + short(d)
	case "dateTimeAsIso":
		return time.UnixMilli(int64(v)).UTC().Format(time.DateTime)
	}
	return number(v, decimals)
}

func number(v float64, decimals *int) string {
	if decimals != nil {
		return strconv.FormatFloat(v, 'f', *decimals, 64)
	}
	if a := math.Abs(v); a >= 1e6 {
		return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " M"
	} else if a >= 1e4 {
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + " K"
	}
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func short(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}
