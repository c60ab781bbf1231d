package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// functions returns the functions of templates in a language.
func functions(l diagnosis.Language) template.FuncMap {
	return template.FuncMap{
		"t":       translator(l),
		"word":    wordIn(l),
		"in":      func(t diagnosis.Text) string { return t.In(l) },
		"static":  static.url,
		"title":   title,
		"minute":  timeElement("minute", "15:04"),
		"clock":   timeElement("clock", "15:04:05"),
		"moment":  timeElement("moment", "2006-01-02 15:04Z"),
		"stamp":   timeElement("stamp", "2006-01-02 15:04:05Z"),
		"took":    took,
		"count":   count,
		"percent": percent,
		"share":   share,
		"iso":     iso,
		"ago":     func(now, t time.Time) string { return span(l, now.Sub(t)) },
		"subject": subjectIn(l),
		"status":  statusBeside,
	}
}

// timeElement returns the function that returns a time in UTC as an element that the
// script converts to local time. The format of the script is that of layout.
func timeElement(style, layout string) func(time.Time) template.HTML {
	return func(t time.Time) template.HTML {
		if t.IsZero() {
			return ""
		}
		t = t.UTC()
		full := t.Format("2006-01-02 15:04:05.000Z")
		return template.HTML(fmt.Sprintf(`<time datetime="%s" data-style="%s" title="%s">%s</time>`, //nolint:gosec // only formatted times
			iso(t), style, full, t.Format(layout)))
	}
}

// iso formats a time for scripts.
func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// took formats a duration in seconds with three significant digits.
func took(seconds float64) string {
	switch ms := seconds * 1000; {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case seconds < 100:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return fmt.Sprintf("%.0f s", seconds)
}

// span formats the time since something with one unit.
func span(l diagnosis.Language, d time.Duration) string {
	units := map[diagnosis.Language][4]string{
		diagnosis.English: {"%d s", "%d min", "%d h", "%d days"}, diagnosis.Chinese: {"%d 秒", "%d 分钟", "%d 小时", "%d 天"},
	}[l]
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf(units[0], int(d.Seconds()))
	case d < 2*time.Hour && d != time.Hour:
		return fmt.Sprintf(units[1], int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf(units[2], int(d.Hours()))
	}
	return fmt.Sprintf(units[3], int(d.Hours()/24))
}

// count formats a number with separators of thousands.
func count(n any) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// percent formats a share from 0 to 1 with two significant digits.
func percent(share float64) string {
	switch p := share * 100; {
	case p == 0:
		return "0 %"
	case p < 0.01:
		return "< 0.01 %"
	case p < 0.1:
		return strconv.FormatFloat(p, 'f', 2, 64) + " %"
	case p < 10:
		return strings.TrimSuffix(strconv.FormatFloat(p, 'f', 1, 64), ".0") + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}
