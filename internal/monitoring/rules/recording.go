package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// windows are the windows over which availability is recorded.
var windows = []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"}

// Windows up to half an hour are recorded from the taps' own series. An hour is two
// half hours, and a longer window is the sum of the 5-minute records, with a missing
// one counting as zero: a month of a thousand taps has more samples than Prometheus
// reads for a query. As these records are differences of counters, each failure is
// in exactly one of them and the sums are exact.

// Selectors of the calls that count for availability, which excludes dry runs and
// calls canceled by the program, and of the failures that count: those caused by
// the provider or the network, including errors inside a 200.
const (
	Counted = `outcome!~"dry_run|canceled"`
	Faults  = `blame=~"provider|network"`
)

// RecordLabels returns the labels of a recorded series except those of the scrape:
// the service, and the labels named by its level.
func RecordLabels(record string) []string {
	level, _, _ := strings.Cut(record, ":")
	return append([]string{"service"}, strings.Split(level, "_")...)
}

// recording returns the recording rules on availability, named
// level:metric:operations.
func recording() []Rule {
	var all []Rule
	for _, w := range windows {
		length := seconds(w)
		known := "instance:ksyun_tap:known" + w
		raw := length <= seconds("30m")
		if raw {
			all = append(all, Rule{Record: known, Expr: KnownTaps(w, strconv.Itoa(length))})
		}
		for _, of := range []struct{ metric, series string }{
			{"requests", "ksyun_api_attempts_total"},
			{"errors_provider", "ksyun_api_attempts_total{" + Faults + "}"},
		} {
			record := "service:ksyun_api_" + of.metric
			var expr string
			switch {
			case raw:
				expr = fmt.Sprintf("sum by (%s) %s / %d", by, Events(of.series, w, known), length)
			case w == "1h":
				expr = fmt.Sprintf("(%[1]s + (%[1]s offset 30m or 0 * %[1]s)) / 2", record+":rate30m")
			default:
				expr = fmt.Sprintf("sum_over_time(%s:rate5m[%s:5m]) * 300 / %d", record, w, length)
			}
			all = append(all, Rule{Record: record + ":rate" + w, Expr: expr})
		}
		all = append(all, Rule{
			Record: "service:ksyun_api_errors_provider:ratio_rate" + w,
			Expr:   fmt.Sprintf("service:ksyun_api_errors_provider:rate%[1]s\n/\n(service:ksyun_api_requests:rate%[1]s > 0)", w),
		})
	}
	return all
}

// burnRates returns the alerts on the error budget. Each has a long window, and
// a short one so that it resolves soon after the failures stop (Google's SRE
// workbook, chapter 5).
func burnRates() []Rule {
	var all []Rule
	for _, b := range []struct{ factor, long, short, severity, forHowLong, share string }{
		{"14.4", "1h", "5m", "critical", "2m", "2 % of the month's budget in an hour"},
		{"6", "6h", "30m", "critical", "15m", "5 % of the month's budget in 6 hours"},
		{"3", "1d", "2h", "warning", "1h", "10 % of the month's budget in a day"},
		{"1", "3d", "6h", "warning", "3h", "10 % of the month's budget in 3 days"},
	} {
		all = append(all, Rule{
			Alert: "KsyunApiErrorBudgetBurn",
			Expr: fmt.Sprintf(`service:ksyun_api_errors_provider:ratio_rate%[1]s > (%[3]s * %%(errorBudget)s)
and
service:ksyun_api_errors_provider:ratio_rate%[2]s > (%[3]s * %%(errorBudget)s)
and
service:ksyun_api_errors_provider:rate%[1]s * %[4]d > %%(minBurnFailures)s`, b.long, b.short, b.factor, seconds(b.long)),
			For:         b.forHowLong,
			Labels:      map[string]string{"severity": b.severity, "blame": "provider", "window": b.long},
			Summary:     "Calls fail because of the API or the network so often that the error budget is being used up.",
			SummaryZH:   "因云端或网络原因的失败正在过快消耗错误预算。",
			Calls:       "blame=provider",
			Advice:      adviceFor(classify.CategoryServer),
			Panel:       Panel{OverviewUID, 9, nil},
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) failed over " + b.long + " because of the provider or the network: " + b.share + " is used up at this rate.",
		})
	}
	return all
}

func seconds(window string) int {
	d, err := model.ParseDuration(window)
	if err != nil {
		panic("rules: " + err.Error())
	}
	return int(time.Duration(d).Seconds())
}
