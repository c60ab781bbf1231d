//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

const minutesOfDay = 24 * 60

// kind is a call and its expected classification, which follows the vendor's
// documents and not the tap.
type kind struct {
	call                                        cloudmonitor.CallSpec
	outcome, code, typ, status, category, blame string
	items                                       int // that fail
}

func (k *kind) failed() bool { return k.category != "" }

func statParams() url.Values {
	return url.Values{
		"Namespace": {"KEC"}, "MetricName": {"cpu.utilizition.total"}, "InstanceID": {"00000000-aaaa-4bbb-8ccc-000000000001"},
		"StartTime": {"2026-11-20T00:00:00Z"}, "EndTime": {"2026-11-20T00:10:00Z"}, "Period": {"60"}, "Aggregate": {"Average"},
	}
}

func succeeds(c cloudmonitor.CallSpec) *kind {
	return &kind{call: c, outcome: "success", status: "200"}
}

func with(c cloudmonitor.CallSpec, change func(*cloudmonitor.CallSpec)) cloudmonitor.CallSpec {
	change(&c)
	return c
}

func does(c cloudmonitor.CallSpec, do cloudmonitor.Directive) cloudmonitor.CallSpec {
	c.Do = do
	return c
}

var (
	wellStats  = succeeds(stats)
	wellList   = succeeds(list)
	wellRemote = succeeds(remote)
	wellBatch  = succeeds(batch)
	slow       = succeeds(does(stats, cloudmonitor.Directive{Delay: 150 * time.Millisecond}))
	long       = succeeds(with(stats, func(c *cloudmonitor.CallSpec) {
		c.Params = statParams()
		c.Params.Set("EndTime", "2026-11-20T12:00:00Z")
	}))

	wrongKey = &kind{with(stats, func(c *cloudmonitor.CallSpec) { c.As.SecretKey = "rotated" }), "error", "SignatureDoesNotMatch", "sender", "403", "auth", "credential", 0}
	noPolicy = &kind{with(stats, func(c *cloudmonitor.CallSpec) { c.As = denied }), "error", "InvalidAuthenticationCode", "sender", "403", "permission", "credential", 0}
	skewed   = &kind{
		with(list, func(c *cloudmonitor.CallSpec) { c.Sign, c.Skew, c.Params = "simple", -time.Hour, url.Values{} }),
		"error", "InvalidTimestamp", "sender", "400", "clock", "credential", 0,
	}
	tooMany   = &kind{does(stats, cloudmonitor.Directive{Error: "LimitExceeded"}), "error", "LimitExceeded", "sender", "409", "throttled", "quota", 0}
	timeOut   = &kind{does(stats, cloudmonitor.Directive{Error: "ServiceTimeout"}), "error", "ServiceTimeout", "receiver", "500", "timeout", "provider", 0}
	regionOut = &kind{does(remote, cloudmonitor.Directive{Error: "ServiceUnavailable", Status: 503}), "error", "ServiceUnavailable", "receiver", "503", "server", "provider", 0}
	masked    = &kind{does(stats, cloudmonitor.Directive{Error: "ServiceTimeout", Status: 200}), "masked", "ServiceTimeout", "receiver", "200", "timeout", "provider", 0}
	partial   = &kind{does(batch, cloudmonitor.Directive{Partial: 2}), "partial", "none", "sender", "200", "permission", "credential", 2} // the items' messages speak of a policy
	unknown   = &kind{does(list, cloudmonitor.Directive{Error: "BrandNewError", Status: 418}), "error", "BrandNewError", "sender", "418", "unknown", "client", 0}
	reset     = &kind{does(list, cloudmonitor.Directive{Fault: "reset"}), "proxy", "none", "unknown", "none", "network", "network", 0}
	odd       = &kind{does(list, cloudmonitor.Directive{Error: "ServiceTimeout", Status: 700}), "error", "ServiceTimeout", "receiver", "_other", "timeout", "provider", 0}
	dryRun    = &kind{call: with(stats, func(c *cloudmonitor.CallSpec) {
		c.Params = statParams()
		c.Params.Set("DryRun", "true")
	}), outcome: "dry_run", status: "412"}
	hanging = &kind{call: with(list, func(c *cloudmonitor.CallSpec) { c.Do.Fault, c.Version = "hang", "2010-05-25" }), outcome: "canceled", status: "none"}
)

// phase is additional calls from one minute until before another.
type phase struct {
	name     string
	from, to int
	tap      int
	call     *kind
	each     int // calls a minute
}

func hours(h float64) int { return int(h * 60) }

var dayScript = []phase{
	{"usual", 0, minutesOfDay, 0, wellStats, 2},
	{"usual", 0, minutesOfDay, 0, wellList, 1},
	{"usual", 0, minutesOfDay, 0, wellRemote, 1},
	{"usual", 0, minutesOfDay, 0, wellBatch, 1},
	{"usual", 0, hours(21), 1, wellList, 1},
	{"usual", hours(22), minutesOfDay, 1, wellList, 1},

	{"keys were rotated", hours(2), hours(3), 0, wrongKey, 4},
	{"too many calls", hours(4), hours(5), 0, tooMany, 4},
	{"slow", hours(5), hours(5.5), 0, slow, 1},
	{"outage", hours(6), hours(7), 0, timeOut, 8},
	{"one region fails", hours(8), hours(9), 0, regionOut, 4},
	{"errors inside 200", hours(10), hours(11), 0, masked, 2},
	{"partial responses", hours(12), hours(13), 0, partial, 4},
	{"no policy", hours(13), hours(14), 0, noPolicy, 3},
	{"clock off", hours(14), hours(15), 0, skewed, 2},
	{"a new code", hours(15), hours(16), 0, unknown, 2},
	{"resets", hours(16), hours(17), 0, reset, 2},
	{"dry runs", hours(17), hours(17.9), 0, dryRun, 2},
	{"statuses of no sense", hours(23), minutesOfDay, 1, odd, 1},
	{"long responses", hours(23), minutesOfDay, 1, long, 1},
}

func during(span [2]int, minute int) bool { return span[0] <= minute && minute < span[1] }

// once is a call of one minute.
func once(minute, tap int, k *kind, calls int) phase {
	return phase{"once", minute - 1, minute, tap, k, calls}
}

// hourScript is a quiet hour: 735 calls, of which 14 fail, by 8 codes.
var hourScript = []phase{
	{"usual", 0, 60, 0, wellStats, 6},
	{"usual", 0, 60, 0, wellList, 2},
	{"usual", 0, 60, 0, wellBatch, 1},
	{"usual", 0, 60, 1, wellList, 3},
	once(30, 0, wellRemote, 1),

	once(1, 0, wrongKey, 1), once(33, 1, wrongKey, 2),
	once(8, 0, noPolicy, 1), once(52, 1, noPolicy, 1),
	once(12, 1, skewed, 1),
	once(19, 0, tooMany, 2),
	once(23, 0, timeOut, 1),
	once(27, 0, regionOut, 1),
	once(41, 0, masked, 1),
	once(44, 0, partial, 1),
	once(47, 0, reset, 1),
	once(60, 1, unknown, 1),
}

// dayMoments are minutes at which all rates are steady.
var dayMoments = []int{
	hours(1), hours(2.5), hours(3.4), hours(4.5), hours(5.3), hours(6.5), hours(8.5), hours(10.5), hours(12.5), hours(13.5), hours(14.5),
	hours(15.5), hours(16.5), hours(17.5), hours(19.3), hours(20.5), hours(21.5), hours(22.5), hours(23.5), minutesOfDay,
}

// The calls of the day.
var (
	stats  = cloudmonitor.CallSpec{Action: "GetMetricStatistics", Version: "2010-05-25", As: good, Params: statParams()}
	list   = cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good}
	remote = cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good, Region: "cn-shanghai-2"}
	batch  = cloudmonitor.CallSpec{
		Method: http.MethodPost, Action: "GetMetricStatisticsBatch", Version: "2018-11-14", As: good,
		Body: `{"Namespace":"KEC","Period":"60","StartTime":"2026-11-20T00:00:00Z","EndTime":"2026-11-20T00:10:00Z","Metrics":[` +
			strings.Repeat(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"},`, 4) +
			`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"}]}`,
	}
)

// Times of events other than calls through the proxy.
var (
	deployAt   = hours(18)
	badConfig  = [2]int{hours(19), hours(19.5)}
	waysIn     = [2]int{hours(20), hours(20.6)}
	tapDown    = [2]int{hours(21), hours(22)} // of the second tap
	brokenPath = [2]int{hours(22), hours(23)}
	hangs      = [2]int{hours(3.2), hours(3.5)}
)
