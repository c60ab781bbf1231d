package day

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// hidden are scenarios of responses that look successful.
var hidden = []scenario{
	{"error in a 200", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			a := get(by, 1200+p.number, at)
			if i%3 == 0 {
				a = a.with(cloudmonitor.Directive{Error: "ServiceTimeout", Status: 200, Shape: []string{"monitor", "gateway", "no-type"}[i/3%3]}).refused("masked")
				a.want = classify.OutcomeMasked
			}
			return a
		})
	}},
	{"flat code in a 200 without data", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 30, func(i int, _ time.Time) attempt {
			a := flat(by, []string{"LimitExceeded", "ServiceTimeout", "404"}[i%3], 0)
			a.want, a.must = classify.OutcomeMasked, []diagnosis.Cause{"masked"}
			return a
		})
	}},
	{"flat codes that mean nothing", func(p *plan) { // beside data, of success, and unknown
		by := p.shared()
		p.every(0, minute, 40, func(i int, _ time.Time) attempt {
			return flat(by, []string{"LimitExceeded", "404", "200", "QUERY_DONE"}[i%4], []int{3, 3, 0, 0}[i%4])
		})
	}},
	{"batch that fails in part", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			a := batch(by, 5, at)
			if i%2 == 0 {
				a.do, a.want, a.must = cloudmonitor.Directive{Partial: 2}, classify.OutcomePartial, []diagnosis.Cause{"items_failed"}
			}
			return a
		})
	}},
	{"local time with Z", func(p *plan) { p.empty(interval, 7*hour, 8*hour, diagnosis.CauseIntervalZone) }},
	{"seven hours and 43 minutes ahead", func(p *plan) {
		p.empty(interval, 7*hour, 7*hour+43*minute, diagnosis.CauseIntervalFuture)
	}},
	{"the future", func(p *plan) { p.empty(interval, 20*minute, 47*minute, diagnosis.CauseIntervalFuture) }},
	{"the last minute", func(p *plan) { p.empty(interval, -minute, 0, diagnosis.CauseIntervalRecent) }},
	{"older than the data is kept", func(p *plan) {
		p.empty(withoutData, -40*24*hour, -31*24*hour, diagnosis.CauseIntervalOld)
	}},
	{"reversed interval", func(p *plan) { p.empty(withoutData, 0, -hour, diagnosis.CauseIntervalReversed) }},
	{"data stops and comes back", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 90, func(i int, at time.Time) attempt {
			a := get(by, 1300+p.number, at)
			if i >= 30 && i < 60 {
				a = a.with(noData)
				a.must = []diagnosis.Cause{diagnosis.CauseDataStopped}
			}
			return a
		})
	}},
	{"stale data", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 60, func(i int, at time.Time) attempt {
			a := interval(by, 1400+p.number, at, -2*hour, 0)
			if i >= 20 {
				a = a.with(cloudmonitor.Directive{Stale: 40 * minute})
				a.must = []diagnosis.Cause{diagnosis.CauseDataStale}
			}
			return a
		})
	}},
	{"data ten minutes late", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 60, func(_ int, at time.Time) attempt {
			return interval(by, 1500+p.number, at, -2*hour, 0).with(cloudmonitor.Directive{Stale: 10 * minute})
		})
	}},
	{"first page only", func(p *plan) {
		by := p.shared()
		p.every(0, 2*minute, 30, func(i int, _ time.Time) attempt {
			a := list(by, "DescribeAlarmReceives", 1, 10, 25)
			if i > 0 {
				a.must = []diagnosis.Cause{diagnosis.CausePagesUnread}
			}
			return a
		})
	}},
	{"HTML and text in a 200", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 20, func(_ int, at time.Time) attempt {
			a := get(by, 1600+p.number, at).refused("masked")
			a.want, a.reply = classify.OutcomeMasked, &reply{200, "<html><head><title>Sign in</title></head><body>Please sign in.</body></html>", "text/html"}
			return a
		})
	}},
}

// scopes are scenarios in which many calls fail in the same way.
var scopes = []scenario{
	{"outage of one action in one region", func(p *plan) {
		programs := []*program{p.shared(), p.shared(), p.shared()}
		for i, by := range programs {
			by.region = []string{"cn-beijing-6", "cn-guangzhou-1", "cn-guangzhou-1"}[i]
			p.every(time.Duration(i)*7*second, minute, 60, func(n int, at time.Time) attempt {
				a := get(by, 1700+i, at)
				if n >= 30 && n < 40 && i > 0 {
					a = a.with(outage).refused()
				}
				return a
			})
			p.every(time.Duration(i)*7*second+20*second, minute, 60, func(int, time.Time) attempt { return list(by, "ListAlarmPolicy", 1, 10, 5) })
		}
		since := p.start.Add(30 * minute)
		p.probe(38*minute, "scope", func(d *diagnosis.Diagnoser, now time.Time) string {
			all := d.Incidents(now)
			n := slices.IndexFunc(all, func(i diagnosis.Incident) bool { return i.Kind == "INTERNAL_FAILURE" })
			if n < 0 {
				return "no scope"
			}
			s := all[n]
			switch {
			case !slices.Equal(s.Actions.Names, []string{"GetMetricStatistics"}) || s.Actions.Active < 2:
				return fmt.Sprintf("actions %+v", s.Actions)
			case !slices.Equal(s.Regions.Names, []string{"cn-guangzhou-1"}) || s.Regions.Active < 2:
				return fmt.Sprintf("regions %+v", s.Regions)
			case s.Since.Before(since) || s.Since.After(since.Add(30*second)):
				return "since " + s.Since.String()
			case !strings.HasPrefix(s.Extent.English, "only GetMetricStatistics, only cn-guangzhou-1"):
				return s.Extent.English
			}
			return ""
		})
		p.probe(57*minute, "scope", func(d *diagnosis.Diagnoser, now time.Time) string {
			if _, ok := d.Scope("INTERNAL_FAILURE", now); ok {
				return "not over 15 minutes later"
			}
			return ""
		})
	}},
	{"inventory", func(p *plan) {
		old, plain, safe := p.program(p.credential()), p.program(p.credential()), p.program(p.credential())
		old.agent, old.sign, old.scheme = "inventory-old/1.2.3 (linux)", "simple", "https"
		plain.agent, safe.agent, safe.scheme = "inventory-plain/2.0", "inventory-safe/3.1", "https"
		for n, by := range []*program{old, plain, safe} {
			p.every(time.Duration(n)*second, 15*second, 120, func(i int, at time.Time) attempt {
				a := get(by, 9000+10*p.number+4*n+i%4, at)
				if by != old {
					a.version = "2023-07-12"
				}
				return a
			})
		}
		p.every(5*second, minute, 10, func(int, time.Time) attempt {
			a := metrics(safe, "KEC").refused()
			a.reply = refusal(400, "InventoryCode", "The key AKLTinventory0000001 has no inventory.")
			return a
		})
		p.probe(31*minute, "inventory", func(d *diagnosis.Diagnoser, _ time.Time) string {
			return wrongInventory(d.Inventory(), hash(plain.key.AccessKey))
		})
	}},
	{"failures after a reload", func(p *plan) {
		by := p.shared()
		p.every(0, minute, 30, func(i int, _ time.Time) attempt {
			if i >= 20 {
				a := list(by, "GetAlertUser", 1, 0, 5) // a page of no items is an error
				return a.refused()
			}
			return list(by, "GetAlertUser", 1, 10, 5)
		})
		p.steps = append(p.steps, step{p.start.Add(20*minute - 30*second), func(w *world) { w.d.Note(diagnosis.TriggerReload, w.now) }})
	}},
}

// wrongInventory returns what is wrong with the inventory of the scenario of that name,
// in which one program uses the credential over plain HTTP.
func wrongInventory(all diagnosis.Inventory, credential string) string {
	newer := map[string]string{}
	for _, v := range all.Versions {
		if v.Action == "GetMetricStatistics" {
			newer[v.Version] = v.Newer
		}
	}
	programs, plain := map[string]bool{}, map[string][]string{} // credentials by program
	for _, u := range all.Programs {
		programs[u.Program] = true
	}
	for _, u := range all.PlainHTTP {
		plain[u.Program] = append(plain[u.Program], u.Credential)
	}
	advised := map[classify.Signing]bool{}
	for _, u := range all.Signatures {
		advised[u.Form] = u.Advice.Do.English != "" && u.Advice.Do.Chinese != ""
	}
	codes := map[string]string{}
	for _, c := range all.UnknownCodes {
		codes[c.Code] = c.Message
	}
	switch {
	case newer["2010-05-25"] != "2023-07-12", newer["2023-07-12"] != "":
		return fmt.Sprintf("versions %v", newer)
	case !programs["inventory-old/1.2"], !programs["inventory-plain/2.0"], !programs["inventory-safe/3.1"]:
		return fmt.Sprintf("programs %v", programs)
	case !slices.Contains(plain["inventory-plain/2.0"], credential), plain["inventory-old/1.2"] != nil, plain["inventory-safe/3.1"] != nil:
		return fmt.Sprintf("over plain HTTP %v", plain)
	case !advised[classify.SigningSimple], advised[classify.SigningSigV4]:
		return fmt.Sprintf("signatures %v", advised)
	case codes["InventoryCode"] != "The key REDACTED has no inventory.", codes["SignatureDoesNotMatch"] != "":
		return fmt.Sprintf("codes %v", codes)
	}
	return ""
}

// empty plans attempts without data for one reason.
func (p *plan) empty(ask func(*program, int, time.Time, time.Duration, time.Duration) attempt, from, to time.Duration, cause diagnosis.Cause) {
	by := p.shared()
	p.every(0, minute, 30, func(_ int, at time.Time) attempt {
		a := ask(by, 2000+p.number, at, from, to)
		a.must = []diagnosis.Cause{cause}
		return a
	})
}

// flat is an attempt whose response has a code beside a list of n items.
func flat(by *program, code string, n int) attempt {
	return attempt{by: by, action: "DescribeAlertHistories", version: "2021-01-01", do: cloudmonitor.Directive{Flat: code, Total: n}}
}

// withoutData is an interval that the gateway answers without data instead of refusing it.
func withoutData(by *program, instance int, at time.Time, from, to time.Duration) attempt {
	a := interval(by, instance, at, from, to)
	a.reply = &reply{status: 200, body: `{"getMetricStatisticsResult":{"datapoints":{"member":[]},"label":"cpu.utilizition.total"},"responseMetadata":{"requestId":"1"}}`}
	return a
}

// refusal is an error of the older gateway.
func refusal(status int, code, message string) *reply {
	return &reply{status: status, body: fmt.Sprintf(`{"RequestId":"11111111-2222-4333-8444-555555555555","Error":{"Type":"Sender","Code":%q,"Message":%q}}`, code, message)}
}

// skew plans a look at the measured clock of the program.
func (p *plan) skew(after time.Duration, by *program) {
	p.probe(after, "clock_skew_seconds", func(d *diagnosis.Diagnoser, now time.Time) string {
		for _, c := range d.Clocks(now) {
			if c.Client.String() == by.addr {
				if off := (c.Skew.Offset - by.skew).Abs(); off > c.Skew.Uncertainty {
					return fmt.Sprintf("%s, want %s", c.Skew.Offset, by.skew)
				}
				return ""
			}
		}
		return "not measured"
	})
}

// fleet returns the programs that poll all day: n programs, each with four queries
// a minute for the given time.
func fleet(n int, day time.Duration) scenario {
	return scenario{"fleet", func(p *plan) {
		for i := range n {
			by := p.program(sharedKeys[i%len(sharedKeys)])
			by.agent = fmt.Sprintf("fleet/%d.0", i%3+1)
			for q := range 4 {
				p.every(time.Duration(q)*13*second, minute, int(day/minute), func(_ int, at time.Time) attempt { return get(by, 10_000+10*i+q, at) })
			}
		}
	}}
}
