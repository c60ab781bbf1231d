package day

import (
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// kop is an error of the newer gateway.
func kop(status int, code, message string) *reply {
	return &reply{status: status, body: `{"requestid":"11111111-2222-4333-8444-555555555555","error":{"type":"sender","code":"` + code + `","message":"` + message + `"}}`}
}

// responds plans n attempts, a minute apart, that the gateway answers with r.
func (p *plan) responds(by *program, n int, r *reply, change func(a attempt) attempt) {
	p.every(0, minute, n, func(_ int, at time.Time) attempt {
		a := get(by, 5000+p.number, at)
		a.reply = r
		return change(a)
	})
}

// heldOut are the scenarios of heldout.md, in its order.
var heldOut = []scenario{
	{"KOP clock", func(p *plan) {
		by := p.shared()
		by.skew = -40 * minute
		p.responds(by, 30, kop(400, "InvalidTimestamp", "Invalid Timestamp. Pls in 15mins"), func(a attempt) attempt { return a.refused(diagnosis.CauseClockSkew) })
		p.skew(20*minute, by)
	}},
	{"SigV4 clock", func(p *plan) {
		by := p.shared()
		by.skew = 25 * minute
		p.responds(by, 30, refusal(403, "SignatureDoesNotMatch", "Signature expired:20261123T000000Z is now earlier than the time of the gateway."), func(a attempt) attempt {
			return a.refused(diagnosis.CauseClockSkew)
		})
	}},
	{"wrong secret", func(p *plan) {
		by := p.program(p.credential())
		by.key.SecretKey = "of another account"
		p.responds(by, 30, refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."), func(a attempt) attempt {
			return a.refused(diagnosis.CauseSecretWrong, diagnosis.CauseClockRight)
		})
	}},
	{"wrong service", func(p *plan) {
		by := p.shared()
		p.responds(by, 30, refusal(403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: monitor."), func(a attempt) attempt {
			a.service = "kec"
			a = a.refused("scope_service")
			a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
			return a
		})
	}},
	{"Node date", func(p *plan) {
		by := p.shared()
		p.responds(by, 30, nil, func(a attempt) attempt {
			a.reply = &reply{status: 200, body: strings.Replace(dataOf, "{time}", a.params.Get("EndTime"), 1)}
			a.wire = func(wire string) []byte {
				head, rest, _ := strings.Cut(wire, "X-Amz-Date: ")
				date, rest, _ := strings.Cut(rest, "Z\r\n")
				return []byte(head + "X-Amz-Date: " + date + "+00:00\r\n" + rest)
			}
			return a
		})
	}},
	{"error in 200", func(p *plan) {
		p.responds(p.shared(), 30, &reply{status: 200, body: kop(0, "ServiceTimeout", "Internal Service is unavailable because of time out.").body}, func(a attempt) attempt {
			a.want, a.must = classify.OutcomeMasked, []diagnosis.Cause{"masked"}
			return a
		})
	}},
	{"HTML in 200", func(p *plan) {
		p.responds(p.shared(), 30, &reply{200, "<html>\n<head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "text/html"}, func(a attempt) attempt {
			a.want, a.must = classify.OutcomeMasked, []diagnosis.Cause{"masked"}
			return a
		})
	}},
	{"partial batch", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 30, func(_ int, at time.Time) attempt {
			a := batch(by, 3, at)
			a.do, a.want, a.must = cloudmonitor.Directive{Partial: 1}, classify.OutcomePartial, []diagnosis.Cause{"items_failed"}
			return a
		})
	}},
	{"truncated", func(p *plan) {
		p.responds(p.shared(), 30, nil, func(a attempt) attempt {
			a.fault, a.status, a.want = classify.FaultClosed, 200, classify.OutcomeProxy
			return a
		})
	}},
	{"expired token", func(p *plan) {
		key := p.credential()
		key.Token = "temporary"
		p.keys[len(p.keys)-1].Token = key.Token
		by := p.program(key)
		p.every(0, minute, 40, func(i int, at time.Time) attempt {
			a := get(by, 1, at)
			if i >= 15 {
				a.reply = kop(400, "SecurityTokenExpired", "SecurityTokenExpired")
				a = a.refused(diagnosis.CauseTokenExpired, diagnosis.CauseKeyExpired) // both mean what is to be found
				a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
			}
			return a
		})
		p.event(diagnosis.CauseKeyExpired, key, 15*minute, 20*minute)
	}},
	{"unknown key", func(p *plan) {
		p.responds(p.program(p.unknown()), 30, refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid."), func(a attempt) attempt {
			a = a.refused(diagnosis.CauseKeyUnknown)
			a.may = []diagnosis.Cause{diagnosis.CauseClockRight}
			return a
		})
	}},
	{"lack of policy", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 30, func(_ int, at time.Time) attempt { return get(by, 1, at) })
		p.every(20*second, minute, 30, func(int, time.Time) attempt {
			a := metrics(by, "KEC").refused()
			a.reply, a.category = kop(403, "InvalidAuthenticationCode", "lack of policy to [monitor:listmetrics] the resources[]"), classify.CategoryPermission
			return a
		})
	}},
	{"two equal calls", func(p *plan) {
		by := p.program(p.credential())
		p.send(minute, metrics(by, "KEC"))
		p.send(minute+400*time.Millisecond, metrics(by, "KEC"))
	}},
	{"retried outage", func(p *plan) {
		by := p.shared()
		a := get(by, 1, p.start)
		a.reply = &reply{status: 500, body: kop(0, "ServiceTimeout", "Internal Service is unavailable because of time out.").body}
		failed := a.refused()
		failed.result = diagnosis.RetryFailed
		p.attemptsOf(minute, []time.Duration{second, 2 * second, 3 * second}, func(int) attempt { return failed })
		p.attemptsOf(10*minute, []time.Duration{second}, func(n int) attempt {
			if n == 0 {
				return failed
			}
			return get(by, 1, p.start)
		})
	}},
	{"local time with Z", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 30, func(_ int, at time.Time) attempt {
			a := withoutData(by, 5100, at, 7*hour+50*minute, 8*hour)
			a.must = []diagnosis.Cause{diagnosis.CauseIntervalZone}
			return a
		})
	}},
	{"fresh EndTime", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 30, func(_ int, at time.Time) attempt {
			a := withoutData(by, 5200, at, -90*second, 0)
			a.must = []diagnosis.Cause{diagnosis.CauseIntervalRecent}
			return a
		})
	}},
	{"limit per minute", func(p *plan) {
		by := p.program(p.credential())
		begin := p.start.Truncate(minute).Sub(p.start) + minute
		if !*full {
			return // it is most of the work
		}
		for m := range 3 {
			for i := range 4000 {
				after := begin + time.Duration(m)*minute + time.Duration(i)*14*time.Millisecond
				a := get(by, 20_000+4000*m+i, p.start.Add(after))
				if a.took = 5 * time.Millisecond; i >= 3600 {
					a = a.refused(diagnosis.CauseQuotaExceeded)
				}
				p.send(after, a)
			}
		}
		p.event(diagnosis.CauseQuotaNear, by.key, begin, begin+minute)
	}},
	{"dry run", func(p *plan) {
		p.responds(p.shared(), 30, kop(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."), func(a attempt) attempt {
			a.want = classify.OutcomeDryRun
			return a
		})
	}},
}

// dataOf is a response with a data point at {time}.
const dataOf = `{"getMetricStatisticsResult":{"datapoints":{"member":[{"timestamp":"{time}","average":"1.0"}]},"label":"cpu"},"responseMetadata":{"requestId":"1"}}`
