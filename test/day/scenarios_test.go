package day

import (
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

// The errors that scenarios ask the gateway for.
var (
	serverError = cloudmonitor.Directive{Error: "ServiceTimeout"}
	outage      = cloudmonitor.Directive{Error: "INTERNAL_FAILURE"}
	throttled   = cloudmonitor.Directive{Error: "LimitExceeded"}
	noData      = cloudmonitor.Directive{Empty: true}
)

// innocent are scenarios in which nothing is to be found, each near to one in which
// something is.
var innocent = []scenario{
	{"poll every minute", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 90, func(_ int, at time.Time) attempt { return get(by, 100+p.number, at) })
	}},
	{"the same list every minute", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 90, func(int, time.Time) attempt { return metrics(by, "EIP") })
	}},
	{"two pages of one list", func(p *plan) {
		by := p.shared()
		for i := range 30 {
			p.send(time.Duration(i)*2*minute, list(by, "ListAlarmPolicy", 1, 10, 15))
			p.send(time.Duration(i)*2*minute+second, list(by, "ListAlarmPolicy", 2, 10, 15))
		}
	}},
	{"two clients ask the same once", func(p *plan) {
		a, b := p.shared(), p.shared()
		p.send(5*minute, metrics(a, "NAT"))
		p.send(5*minute+10*second, metrics(b, "NAT"))
	}},
	{"clock ten minutes off works", func(p *plan) {
		by := p.shared()
		by.skew = -10 * minute
		p.every(0, minute, 60, func(_ int, at time.Time) attempt { return get(by, 200+p.number, at) })
		p.skew(30*minute, by)
	}},
	{"clock fourteen minutes ahead works", func(p *plan) {
		by := p.shared()
		by.skew = 14 * minute
		p.every(0, minute, 60, func(_ int, at time.Time) attempt { return get(by, 200+p.number, at) })
		p.skew(30*minute, by)
	}},
	{"a single 500", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			if a := get(by, 300+p.number, at); i == 30 {
				return a.with(serverError).refused()
			}
			return get(by, 300+p.number, at)
		})
	}},
	{"always empty", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 60, func(_ int, at time.Time) attempt {
			a := get(by, 400+p.number, at).with(noData)
			a.must = []diagnosis.Cause{diagnosis.CauseDataNone}
			return a
		})
	}},
	{"dry run", func(p *plan) {
		by := p.shared()
		p.every(0, 5*minute, 12, func(_ int, at time.Time) attempt {
			a := get(by, 500+p.number, at)
			a.params.Set("DryRun", "true")
			a.want = classify.OutcomeDryRun
			return a
		})
	}},
	{"presigned, simple and XML programs", func(p *plan) {
		for n, by := range []*program{
			{sign: "presigned"}, {sign: "simple"}, {accept: "*/*"},
		} {
			known := p.shared()
			by.addr, by.agent, by.key = known.addr, known.agent, known.key
			p.every(0, minute, 30, func(i int, at time.Time) attempt { return get(by, 600+1000*n+10*p.number+i%3, at) })
		}
	}},
	{"resets and closed connections", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 40, func(i int, at time.Time) attempt {
			a := get(by, 700+p.number, at)
			switch i {
			case 10:
				a.fault, a.want = classify.FaultReset, classify.OutcomeProxy
			case 20:
				a.fault, a.want = classify.FaultClosed, classify.OutcomeProxy
			case 30:
				a.fault, a.want = classify.FaultCanceled, classify.OutcomeCanceled
			}
			return a
		})
	}},
	{"never permitted", func(p *plan) {
		key := p.credential()
		p.keys[len(p.keys)-1].Denied = []string{"GetMetricStatistics"}
		by := p.program(key)
		p.every(0, minute, 30, func(_ int, at time.Time) attempt { return get(by, 1, at).refused() })
		p.every(10*second, minute, 30, func(int, time.Time) attempt { return metrics(by, "KEC") })
	}},
	{"resource of another account", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 40, func(i int, at time.Time) attempt {
			if i%4 != 3 {
				return get(by, 800+p.number, at)
			}
			a := get(by, 801, at).refused()
			a.reply = &reply{status: 403, body: `{"requestid":"1","error":{"type":"sender","code":"ProductNotOwned","message":"[801(KEC)] product does not belong to this user"}}`}
			return a
		})
	}},
	{"two equal calls in one second", func(p *plan) {
		by := p.shared()
		p.send(minute, metrics(by, "SLB"))
		p.send(minute+300*time.Millisecond, metrics(by, "SLB"))
	}},
	{"a failing poll every minute", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 30, func(int, time.Time) attempt { return metrics(by, "NOSUCH").refused() })
	}},
	{"requests without data by themselves", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 40, func(int, time.Time) attempt { return list(by, "DescribePolicyObject", 1, 50, 20) })
	}},
	{"two refusals while a key spreads", func(p *plan) { p.twoRefusals(p.program(p.credential())) }},
	{"two refusals of a temporary key", func(p *plan) { p.twoRefusals(p.program(p.temporary("token"))) }},
	{"a failing poll every ten seconds", func(p *plan) {
		by := p.shared()
		p.every(0, 10*second, 60, func(int, time.Time) attempt { return metrics(by, "NOWHERE").refused() })
	}},
	{"an outage at a low rate", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 20, func(_ int, at time.Time) attempt { return get(by, 1, at).with(serverError).refused() })
	}},
	{"throttled by others, asked again a minute later", func(p *plan) {
		by := p.program(p.credential())
		p.send(0, get(by, 1, p.start))
		p.every(2*minute, minute, 20, func(_ int, at time.Time) attempt {
			return get(by, 1, at).with(throttled).refused(diagnosis.CauseQuotaShared)
		})
	}},
	{"throttled in the first minute of a key", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, 10*second, 5, func(_ int, at time.Time) attempt { return get(by, 1, at).with(throttled).refused() })
	}},
	{"denied for one of two instances", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 30, func(_ int, at time.Time) attempt { return get(by, 1, at) })
		p.every(20*second, minute, 30, func(i int, at time.Time) attempt {
			a := get(by, 2, at).refused()
			a.reply = kop(403, "InvalidAuthenticationCode", "lack of policy to [monitor:getmetricstatistics] the resources[2]")
			if i == 0 { // that it depends on the instance shows later
				a.may = []diagnosis.Cause{diagnosis.CausePermissionLost}
			}
			return a
		})
	}},
	{"an earlier time without data", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 20, func(_ int, at time.Time) attempt { return get(by, 2200+p.number, at) })
		p.every(10*minute+30*second, minute, 5, func(_ int, at time.Time) attempt {
			a := withoutData(by, 2200+p.number, at, -8*24*hour, -7*24*hour)
			a.must = []diagnosis.Cause{diagnosis.CauseDataNone}
			return a
		})
	}},
	{"two programs of one address read one list", func(p *plan) {
		a := p.shared()
		b := *a
		b.agent = "program/2.0"
		for i := range 10 {
			after := time.Duration(i) * 5 * minute
			p.send(after, list(a, "ListAlarmPolicy", 1, 10, 15))
			p.send(after+20*second, list(&b, "ListAlarmPolicy", 1, 10, 15))
			p.send(after+40*second, list(a, "ListAlarmPolicy", 2, 10, 15))
			p.send(after+50*second, list(&b, "ListAlarmPolicy", 2, 10, 15))
		}
	}},
	{"pages read at the same time", func(p *plan) {
		by := p.shared()
		for i := range 10 {
			after := time.Duration(i) * 5 * minute
			for n, page := range []int{1, 1, 2, 2} {
				p.send(after+time.Duration(n)*second/2, list(by, "DescribeAlarmReceives", page, 10, 15))
			}
		}
	}},
	{"batches of exactly 200 metrics", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 20, func(i int, at time.Time) attempt {
			if i == 10 {
				return batch(by, 200, at).with(serverError).refused()
			}
			return batch(by, 200, at)
		})
		p.event(diagnosis.CauseSizeNear, by.key, 0, minute)
	}},
	{"batch with an instance without data", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 20, func(_ int, at time.Time) attempt {
			a := batch(by, 2, at)
			a.reply = &reply{status: 200, body: strings.Replace(halfEmpty, "{time}", at.Add(-3*minute).UTC().Format(stamp), 1)}
			return a
		})
	}},
	{"29 days ago, without data", func(p *plan) {
		p.empty(withoutData, -30*24*hour, -29*24*hour, diagnosis.CauseDataNone)
	}},
	{"the last ten minutes, without data", func(p *plan) { p.empty(withoutData, -10*minute, 0, diagnosis.CauseDataNone) }},
	{"interval of no length", func(p *plan) { p.empty(withoutData, -10*minute, -10*minute, diagnosis.CauseDataNone) }},
	{"interval that ends in the future", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 20, func(_ int, at time.Time) attempt { return interval(by, 2100+p.number, at, -hour, 8*hour) })
	}},
}

// clocks are scenarios of clocks.
var clocks = []scenario{
	{"clock behind", func(p *plan) {
		by := p.shared()
		by.skew = -20*minute - 13*second
		p.every(0, minute, 60, func(_ int, at time.Time) attempt {
			return get(by, 1, at).refused(diagnosis.CauseClockSkew)
		})
		p.skew(30*minute, by)
	}},
	{"clock ahead, simple signature", func(p *plan) {
		by := p.shared()
		by.skew, by.sign = 51*minute+29*second, "simple"
		p.every(0, minute, 60, func(_ int, at time.Time) attempt {
			return get(by, 1, at).refused(diagnosis.CauseClockSkew)
		})
	}},
	{"clock drifts off and is set", func(p *plan) {
		by := *p.shared()
		p.every(0, minute, 120, func(i int, at time.Time) attempt {
			one := by
			if i < 100 {
				one.skew = -time.Duration(i) * 11 * second
			}
			a := get(&one, 900+p.number, at)
			if one.skew < -15*minute {
				a = a.refused(diagnosis.CauseClockSkew)
			}
			return a
		})
	}},
	{"local time as UTC", func(p *plan) {
		by := p.shared()
		by.skew = 8 * hour
		p.every(0, minute, 40, func(_ int, at time.Time) attempt { return get(by, 1, at).refused(diagnosis.CauseClockZone) })
	}},
	{"clock seven hours and 43 minutes ahead", func(p *plan) {
		by := p.shared()
		by.skew = 7*hour + 43*minute
		p.every(0, minute, 40, func(_ int, at time.Time) attempt { return get(by, 1, at).refused(diagnosis.CauseClockSkew) })
	}},
	{"clock behind at midnight", func(p *plan) { // the day of the scope is the one before, like that of the date
		by := p.shared()
		by.skew = -10 * minute
		midnight := p.start.Truncate(24 * hour).Add(24 * hour).Sub(p.start)
		p.every(midnight, minute, 8, func(_ int, at time.Time) attempt { return get(by, 1, at) })
		wrong := *by
		wrong.key.SecretKey = "another"
		p.every(midnight+30*second, minute, 8, func(_ int, at time.Time) attempt {
			return get(&wrong, 1, at).refused(diagnosis.CauseSecretWrong, diagnosis.CauseClockRight)
		})
	}},
	{"queue of requests signed ten minutes before", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 40, func(i int, at time.Time) attempt {
			a := get(by, 1000+p.number, at)
			if i%5 == 4 {
				a.signed = 10 * minute
			}
			return a
		})
	}},
	{"local time as UTC, India", func(p *plan) {
		by := p.shared()
		by.skew, by.sign = 5*hour+30*minute+2*second, "simple"
		p.every(0, minute, 40, func(_ int, at time.Time) attempt { return get(by, 1, at).refused(diagnosis.CauseClockZone) })
	}},
	{"queue of signed requests", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			a := get(by, 1000+p.number, at)
			if i > 10 && i%5 == 0 {
				a.signed = 21*minute + time.Duration(i)*second
				a = a.refused(diagnosis.CauseSignatureStale)
			}
			return a
		})
	}},
	{"presigned address used too long", func(p *plan) {
		by := p.shared()
		by.sign = "presigned"
		p.every(0, minute, 40, func(i int, at time.Time) attempt {
			a := get(by, 1100+p.number, at)
			if i >= 20 {
				a.signed = 31*minute + time.Duration(i)*second
				a = a.refused(diagnosis.CauseSignatureStale)
			}
			return a
		})
	}},
}

// alsoWrong are the second causes of those that have two.
var alsoWrong = map[string]diagnosis.Cause{
	"X-Amz-Date missing": "field_missing", // it is signed
	"both forms":         "dates_differ",  // they are signed at different times
}

// credentials are scenarios of keys, signatures and permissions.
var credentials = []scenario{
	{"wrong secret", func(p *plan) {
		by := p.shared()
		by.key.SecretKey += "\n"
		p.every(0, minute, 60, func(_ int, at time.Time) attempt {
			return get(by, 1, at).refused(diagnosis.CauseSecretWrong, diagnosis.CauseClockRight)
		})
	}},
	{"wrong secret, clock ten minutes off", func(p *plan) {
		by := p.shared()
		by.key.SecretKey, by.skew = "another", 10*minute
		p.every(0, minute, 40, func(_ int, at time.Time) attempt {
			return get(by, 1, at).refused(diagnosis.CauseSecretWrong, diagnosis.CauseClockRight)
		})
	}},
	{"wrong secret, simple signature", func(p *plan) {
		by := p.shared()
		by.key.SecretKey, by.sign = "another", "simple"
		p.every(0, minute, 40, func(_ int, at time.Time) attempt {
			return get(by, 1, at).refused(diagnosis.CauseSecretWrong, diagnosis.CauseClockRight)
		})
	}},
	{"wrong signatures of many kinds", func(p *plan) {
		by := p.shared()
		i := 0
		for _, s := range cloudmonitor.SigningScenarios() {
			// One wrong time of a program whose clock is right is not a wrong clock.
			cause := diagnosis.Cause(s.Cause)
			if !s.Wrong() || cause == diagnosis.CauseClockSkew {
				continue
			}
			for n := range 4 {
				after := time.Duration(i)*20*second + time.Duration(n)*30*minute
				a := attempt{name: "wrong signature: " + s.Name, by: by, wire: whole(s.Bytes(by.key, p.start.Add(after)))}.refused(cause)
				if also, ok := alsoWrong[s.Name]; ok {
					a.must = append(a.must, also)
				}
				a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
				p.send(after, a)
			}
			i++
		}
	}},
	{"right signatures of many kinds", func(p *plan) {
		by := p.shared()
		for i, s := range cloudmonitor.SigningScenarios() {
			if !s.Wrong() {
				after := time.Duration(i) * 2 * minute
				p.send(after, attempt{by: by, wire: whole(s.Bytes(by.key, p.start.Add(after)))})
				wrong := by.key
				wrong.SecretKey = "another"
				p.send(after+minute, attempt{
					name: wrongSecret + s.Name, by: by, wire: whole(s.Bytes(wrong, p.start.Add(after+minute))),
				}.refused(diagnosis.CauseSecretWrong, diagnosis.CauseClockRight))
			}
		}
	}},
	{"unknown key", func(p *plan) {
		by := p.program(p.unknown())
		p.every(0, minute, 40, func(_ int, at time.Time) attempt {
			a := get(by, 1, at).refused(diagnosis.CauseKeyUnknown)
			a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
			return a
		})
	}},
	{"key revoked and restored", func(p *plan) {
		key := p.credential()
		by := p.program(key)
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			a := get(by, 1, at)
			if i >= 20 && i < 40 {
				a = a.refused(diagnosis.CauseKeyRevoked, diagnosis.CauseKeyUnknown)
				a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
			}
			return a
		})
		p.change(20*minute-second, func(s *cloudmonitor.Server) { s.Revoke(key.AccessKey) })
		p.change(40*minute-second, func(s *cloudmonitor.Server) { s.SetCredential(key) })
		p.event(diagnosis.CauseKeyRevoked, key, 20*minute, 24*minute)
		p.event(diagnosis.CauseKeyRecovered, key, 40*minute, 42*minute)
	}},
	{"key rotated in time", func(p *plan) {
		before, after := p.program(p.credential()), p.program(p.credential())
		after.addr = before.addr
		p.every(0, minute, 20, func(_ int, at time.Time) attempt { return get(before, 1, at) })
		p.every(20*minute, minute, 20, func(_ int, at time.Time) attempt { return get(after, 1, at) })
		p.change(25*minute, func(s *cloudmonitor.Server) { s.Revoke(before.key.AccessKey) })
	}},
	{"permission lost and given back", func(p *plan) {
		key := p.credential()
		by := p.program(key)
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			a := get(by, 1, at)
			if i >= 20 && i < 40 {
				a = a.refused(diagnosis.CausePermissionLost)
			}
			return a
		})
		p.every(15*second, minute, 60, func(int, time.Time) attempt { return metrics(by, "KEC") })
		denied := key
		denied.Denied = []string{"GetMetricStatistics"}
		p.change(20*minute-second, func(s *cloudmonitor.Server) { s.SetCredential(denied) })
		p.change(40*minute-second, func(s *cloudmonitor.Server) { s.SetCredential(key) })
		p.event(diagnosis.CausePermissionLost, key, 20*minute, 26*minute)
		p.event(diagnosis.CauseKeyRecovered, key, 40*minute, 42*minute)
	}},
	{"expired token among good ones", func(p *plan) {
		good, old := p.temporary("token-a"), p.temporary("token-b")
		expired := old
		expired.TokenExpired = true
		for i, by := range []*program{p.program(good), p.program(old)} {
			p.every(time.Duration(i)*10*second, minute, 40, func(n int, at time.Time) attempt {
				a := get(by, i+1, at)
				if i == 1 && n >= 20 {
					a = a.refused(diagnosis.CauseKeyExpired, diagnosis.CauseTokenExpired)
					a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
				}
				return a
			})
		}
		p.event(diagnosis.CauseKeyExpired, old, 20*minute, 24*minute)
		p.change(20*minute+5*second, func(s *cloudmonitor.Server) { s.SetCredential(expired) })
	}},
	{"temporary key no longer known", func(p *plan) {
		key := p.temporary("token")
		by := p.program(key)
		p.every(0, minute, 40, func(n int, at time.Time) attempt {
			a := get(by, 1, at)
			if n >= 20 {
				a = a.refused(diagnosis.CauseKeyExpired, diagnosis.CauseTokenRefused, diagnosis.CauseKeyUnknown)
				a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
			}
			return a
		})
		p.event(diagnosis.CauseKeyExpired, key, 20*minute, 24*minute)
		p.change(20*minute-second, func(s *cloudmonitor.Server) { s.Revoke(key.AccessKey) })
	}},
	{"temporary keys replaced in time", func(p *plan) {
		keys := [...]cloudmonitor.Credential{p.temporary("token-a"), p.temporary("token-b"), p.temporary("token-c")}
		by := p.program(keys[0])
		p.every(0, minute, 60, func(n int, at time.Time) attempt {
			now := *by
			now.key = keys[n/20]
			return get(&now, 1, at)
		})
		for i, key := range keys[:2] {
			key.TokenExpired = true
			p.change(time.Duration(i+1)*20*minute+30*second, func(s *cloudmonitor.Server) { s.SetCredential(key) })
		}
	}},
	{"key used by a second program", func(p *plan) {
		first := p.program(p.credential())
		second := p.program(first.key)
		second.agent = "program/2.0"
		named := func(by *program, name string) func(int, time.Time) attempt {
			return func(_ int, at time.Time) attempt {
				a := get(by, 1, at)
				a.name = name
				return a
			}
		}
		p.every(0, minute, 10, named(first, "new key"))
		p.every(10*minute, minute, 10, named(second, ""))
	}},
	{"key used in another region", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 10, func(_ int, at time.Time) attempt { return get(by, 1, at) })
		other := *by
		other.region = "cn-shanghai-2"
		p.every(10*minute, minute, 10, func(_ int, at time.Time) attempt { return get(&other, 1, at) })
		p.every(20*minute, minute, 10, func(_ int, at time.Time) attempt {
			a := get(by, 1, at)
			a.name = "key back in its first region"
			return a
		})
	}},
	{"key used for another service", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 10, func(_ int, at time.Time) attempt { return get(by, 1, at) })
		a := attempt{by: by, host: "kec.api.ksyun.com", service: "monitor", action: "DescribeInstances", version: "2016-03-04"}
		a.service = "kec"
		a.reply = &reply{status: 200, body: `{"RequestId":"1","InstancesSet":[]}`}
		p.send(12*minute, a)
		p.every(13*minute, minute, 10, func(_ int, at time.Time) attempt {
			a := get(by, 1, at)
			a.name = "key back at its first service"
			return a
		})
	}},
}

// whole replaces a request.
func whole(wire []byte) func(string) []byte { return func(string) []byte { return wire } }

// twoRefusals plans a key that works, is refused twice, and works again.
func (p *plan) twoRefusals(by *program) {
	p.every(0, minute, 30, func(i int, at time.Time) attempt {
		a := get(by, 1, at)
		if i == 15 || i == 16 {
			a = a.refused()
			a.reply = refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
			a.may = []diagnosis.Cause{
				diagnosis.CauseKeyRevoked, diagnosis.CauseKeyExpired, diagnosis.CauseTokenRefused, diagnosis.CauseKeyUnknown, diagnosis.CauseClockRight,
			}
		}
		return a
	})
}

// halfEmpty is the response to a batch of two instances, one of which has no data.
const halfEmpty = `{"getMetricStatisticsBatchResults":[` +
	`{"instance":"00000000-aaaa-4bbb-8ccc-000000000001","label":"cpu.utilizition.total","datapoints":{"member":[{"timestamp":"{time}","average":"1.0"}]}},` +
	`{"instance":"00000000-aaaa-4bbb-8ccc-000000000002","label":"cpu.utilizition.total","datapoints":{"member":[]}}],` +
	`"responseMetadata":{"requestId":"1"},"errorMessage":[]}`
