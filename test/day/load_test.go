package day

import (
	"fmt"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// attemptsOf plans the attempts of one call: the first one at a time, the others
// after the pauses.
func (p *plan) attemptsOf(after time.Duration, pauses []time.Duration, each func(n int) attempt) {
	p.send(after, each(0))
	for n, pause := range pauses {
		after += pause
		a := each(n + 1)
		a.retry = true
		p.send(after, a)
	}
}

// pauses are those of the vendor's Go SDK between the attempts of a call.
var pauses = []time.Duration{600 * time.Millisecond, 1300 * time.Millisecond, 2500 * time.Millisecond}

// loads are scenarios of calls, retries, redundant calls and limits.
var loads = []scenario{
	{"retries that succeed", func(p *plan) {
		by := p.shared()
		for i := range 30 {
			after := time.Duration(i) * minute
			a := get(by, 3000+p.number, p.start.Add(after))
			p.attemptsOf(after, pauses[:i%3+1], func(n int) attempt {
				if n > i%3 {
					return a
				}
				failed := a.with(serverError).refused()
				if n > 0 {
					failed.result = diagnosis.RetryFailed
				}
				return failed
			})
		}
	}},
	{"retries that fail", func(p *plan) {
		by := p.shared()
		for i := range 20 {
			after := time.Duration(i) * minute
			a := get(by, 3100+p.number, p.start.Add(after)).with(serverError).refused()
			a.result = diagnosis.RetryFailed
			p.attemptsOf(after, pauses, func(int) attempt { return a })
		}
	}},
	{"retries of a wrong parameter", func(p *plan) {
		by := p.shared()
		for i := range 10 {
			after := time.Duration(i) * minute
			p.attemptsOf(after, pauses[:2], func(int) attempt {
				a := metrics(by, "WRONG").refused()
				a.result = diagnosis.RetryWasted
				return a
			})
		}
		p.event(diagnosis.CauseRetryWasted, by.key, 0, minute)
	}},
	{"throttled by others, retried at once", func(p *plan) {
		by := p.program(p.credential())
		p.send(0, get(by, 1, p.start))
		for i := range 20 {
			after := time.Duration(i+2) * minute
			a := get(by, 1, p.start.Add(after)).with(throttled)
			p.attemptsOf(after, pauses, func(n int) attempt {
				one := a.refused(diagnosis.CauseQuotaShared)
				if n > 0 {
					one.must = append(one.must, diagnosis.CauseRetryThrottled)
				}
				one.result = diagnosis.RetryThrottled
				return one
			})
		}
	}},
	{"limit exceeded", func(p *plan) {
		// 240 different batches in each of five minutes, of which the API allows 180. Some
		// of the tap's last 60 seconds are of the minute before.
		by := p.program(p.credential())
		begin := p.start.Truncate(minute).Sub(p.start) + minute
		for m := range 5 {
			for i := range 240 {
				after := begin + time.Duration(m)*minute + time.Duration(i)*250*time.Millisecond
				a := batch(by, 1+i%20, p.start.Add(after).Add(-time.Duration(i+240*m)*minute))
				a.took = 40 * time.Millisecond
				if i >= 180 {
					a = a.refused(diagnosis.CauseQuotaExceeded)
				}
				p.send(after, a)
			}
		}
		p.event(diagnosis.CauseQuotaNear, by.key, begin, begin+minute)
		p.probe(begin+3*minute, "quota_used_ratio", func(d *diagnosis.Diagnoser, now time.Time) string {
			for _, q := range d.Quotas(now) {
				if q.Credential == hash(by.key.AccessKey) && q.Action == "GetMetricStatisticsBatch" {
					if q.Used < 240.0/180*55/60-0.01 || q.Used > 240.0/180+0.01 || q.Limit != 180 { // counted in steps of five seconds
						return fmt.Sprintf("%+v, want 1.33 of 180", q)
					}
					return ""
				}
			}
			return "not known"
		})
	}},
	{"near the limit", func(p *plan) {
		by := p.program(p.credential())
		for i := range 800 { // 160 a minute
			after := time.Duration(i) * 375 * time.Millisecond
			p.send(after, batch(by, 1+i%20, p.start.Add(after).Add(-time.Duration(i)*minute)))
		}
		p.event(diagnosis.CauseQuotaNear, by.key, 40*second, 2*minute)
	}},
	{"far from the limit", func(p *plan) {
		by := p.program(p.credential())
		for i := range 600 { // 120 a minute
			after := time.Duration(i) * 500 * time.Millisecond
			p.send(after, batch(by, 1+i%20, p.start.Add(after).Add(-time.Duration(i)*minute)))
		}
	}},
	{"batches near their size", func(p *plan) {
		many, long := p.program(p.credential()), p.program(p.credential())
		p.every(0, minute, 30, func(_ int, at time.Time) attempt { return batch(many, 190, at) })
		p.every(0, minute, 30, func(_ int, at time.Time) attempt { return wide(long, 45, at, 2*hour) })
		p.event(diagnosis.CauseSizeNear, many.key, 0, minute)
		p.event(diagnosis.CauseSizeNear, long.key, 0, minute)
		p.probe(20*minute, "request_size_used_ratio", func(d *diagnosis.Diagnoser, now time.Time) string {
			got := map[string]float64{}
			for _, s := range d.RequestSizes(now) {
				got[s.Credential+" "+string(s.Limit)] = s.Used
			}
			for k, want := range map[string]float64{
				hash(many.key.AccessKey) + " metrics": 190. / 200, hash(many.key.AccessKey) + " records": 190 * 5. / 6000,
				hash(long.key.AccessKey) + " metrics": 45. / 200, hash(long.key.AccessKey) + " records": 45 * 120. / 6000,
			} {
				if got[k] != want {
					return fmt.Sprintf("%s: %v, want %v", k, got[k], want)
				}
			}
			return ""
		})
	}},
	{"requests beyond their size", func(p *plan) {
		by := p.program(p.credential())
		large := kop(400, "BadRequest", "Request information is too large")
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			a := batch(by, 201+i, at)
			switch i % 3 {
			case 1:
				a = wide(by, 60, at, 2*hour)
			case 2: // of one metric; the simulator has no data that is so old
				a = interval(by, 1, at, -50*24*hour, 0)
				a.reply = large
			}
			return a.refused(diagnosis.CauseSizeExceeded)
		})
	}},
	{"a large batch that times out", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 20, func(_ int, at time.Time) attempt {
			return batch(by, 250, at).with(serverError).refused(diagnosis.CauseSizeExceeded)
		})
	}},
	{"large requests within their size", func(p *plan) {
		by := p.program(p.credential())
		p.every(0, minute, 30, func(_ int, at time.Time) attempt { return wide(by, 70, at, hour) })
		p.every(10*second, minute, 30, func(_ int, at time.Time) attempt {
			a := interval(by, 2, at, -29*24*hour, -hour)
			a.params.Set("Period", "3600")
			return a
		})
		p.every(20*second, minute, 30, func(i int, at time.Time) attempt { // an outage
			a := wide(by, 70, at, hour)
			if i >= 25 {
				a = a.with(serverError).refused()
			}
			return a
		})
	}},
	{"the same query every ten seconds", func(p *plan) {
		by := p.shared()
		for i := range 180 {
			p.send(time.Duration(i)*10*second, metrics(by, "PEER"))
		}
	}},
	{"batches with periods of their own", func(p *plan) {
		slow, mixed := p.program(p.credential()), p.program(p.credential())
		p.every(0, minute, 60, func(int, time.Time) attempt {
			a := batch(slow, 3, p.start).periods(600, 300, 900)
			a.lasts = 5 * minute
			return a
		})
		p.every(10*second, minute, 60, func(int, time.Time) attempt { return batch(mixed, 3, p.start).periods(600, 60, 900) })
		p.every(20*second, minute, 60, func(int, time.Time) attempt { return batch(mixed, 2, p.start).periods(600) })
	}},
	{"four clients ask the same", func(p *plan) {
		key := sharedKeys[p.number%len(sharedKeys)]
		for n := range 4 {
			by := p.program(key)
			p.every(time.Duration(n)*5*second, minute, 40, func(_ int, _ time.Time) attempt { return metrics(by, "DCGW") })
		}
	}},
	{"a change that is made twice", func(p *plan) {
		by := p.shared()
		for i := range 10 {
			p.send(time.Duration(i)*5*second, attempt{by: by, action: "PutMetricData", version: "2017-07-01", body: `{"Namespace":"custom"}`})
		}
	}},
	{"throttled because calls are redundant", func(p *plan) {
		by := p.program(p.credential())
		begin := p.start.Truncate(minute).Sub(p.start) + minute
		for i := range 240 { // the same batch four times a second
			after := begin + time.Duration(i)*240*time.Millisecond
			a := batch(by, 3, p.start.Add(begin))
			if a.took = 40 * time.Millisecond; i >= 180 {
				a = a.refused(diagnosis.CauseQuotaExceeded, diagnosis.CauseCallsRedundant)
			}
			if i > 180 { // the same request within eight seconds of a failure is a retry
				a.retry, a.result = true, diagnosis.RetryThrottled
				a.must = append(a.must, diagnosis.CauseRetryThrottled)
			}
			p.send(after, a)
		}
		p.event(diagnosis.CauseQuotaNear, by.key, begin, begin+minute)
	}},
}
